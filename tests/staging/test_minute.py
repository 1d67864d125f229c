"""A minute of load: what it costs in reads of the table, and how long a revoked token lives meanwhile."""

import time

import pytest

from tests.staging.account import Account
from tests.staging.conftest import NAME
from tests.staging.fleet import SIZE, Fleet, Stage, environments, everywhere, spared

pytestmark = pytest.mark.timeout(900)

HALF_SECONDS = 30
IDLE_SECONDS = 5
REFRESH_SECONDS = 1
REVOKED_WITHIN_SECONDS = 60
LIST = "/chaos_experiments/list"


def test_reads_keep_to_one_an_interval_and_a_revoked_token_dies(stage: Stage, account: Account, fleet: Fleet) -> None:
    fleet.wait_until(everywhere(spared("latency_injection")), since=time.time() - 1, seconds=10)
    leaving = account.make_token("leaver", "viewer")
    made = time.time()
    assert stage.call("GET", LIST, token=leaving)[0] == 200  # at once
    time.sleep(IDLE_SECONDS + 1)

    account.revoke(leaving)
    revoked = time.time()
    account.wire.reads.clear()
    accepted = 0
    refused_after: float | None = None
    started = False
    while time.time() < revoked + 2 * HALF_SECONDS:
        if not started and time.time() >= revoked + HALF_SECONDS:
            idle_reads = account.wire.reads.total() - accepted
            stage.start("latency_injection", delay_seconds=0.01, duration_seconds=HALF_SECONDS + 10)
            started = True
        if refused_after is None:
            if stage.call("GET", LIST, token=leaving)[0] == 200:
                accepted += 1
            else:
                refused_after = time.time() - revoked
        time.sleep(0.5)
    reads = account.wire.reads.total() - accepted - idle_reads
    answers = fleet.answers(revoked)
    serving = len(environments(answers))
    stage.stop("latency_injection")
    while refused_after is None and time.time() < revoked + REVOKED_WITHIN_SECONDS + 1:
        if stage.call("GET", LIST, token=leaving)[0] != 200:
            refused_after = time.time() - revoked

    print(
        f"\n{len(answers)} requests in {serving} environments: {idle_reads} reads in {HALF_SECONDS} s idle, "
        f"{reads} in {HALF_SECONDS} s while something ran; token used {revoked - made:.0f} s, then refused "
        f"{refused_after} s after it was revoked",
        end="",
    )
    assert serving >= SIZE
    assert len(answers) > 10 * (idle_reads + reads)
    assert idle_reads <= serving * (HALF_SECONDS / IDLE_SECONDS + 1)
    assert reads <= serving * (HALF_SECONDS / REFRESH_SECONDS + 2)  # the interval before, and the one that it ends in
    assert reads >= SIZE * HALF_SECONDS / REFRESH_SECONDS / 2  # it was load
    assert refused_after is not None
    assert refused_after <= REVOKED_WITHIN_SECONDS


def test_nothing_in_the_logs_shows_a_token(stage: Stage, account: Account) -> None:
    viewer = account.make_token("viewer", "viewer")
    for token in (viewer, stage.token, "chaos_not-a-token"):
        for path in (LIST, "/chaos_experiments/nonsense"):
            stage.call("GET", path, token=token)
        stage.call("POST", "/chaos_experiments/start", token=token, experiment_name=token)
    told = account.log.read_text()
    for function in (NAME, f"{NAME}-bearer_token"):
        events = account.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{function}")["events"]
        assert events, f"{function} has logged nothing"
        told += "\n".join(event["message"] for event in events)
    print(told[-1500:])
    for token in (viewer, stage.token, "chaos_not-a-token"):
        assert token not in told
    assert "Bearer" not in told


def test_who_may_do_what_is_decided_at_the_gateway(stage: Stage, account: Account) -> None:
    viewer = account.make_token("viewer", "viewer")
    body = {"experiment_name": "latency_injection"}
    assert stage.call("GET", LIST, token=viewer)[0] == 200
    for path in ("/start", "/stop"):
        status, content, _ = stage.call("POST", f"/chaos_experiments{path}", token=viewer, **body)
        assert (status, set(content)) == (403, {"Message"})
    assert stage.call("GET", LIST, token="chaos_unknown")[:2] == (
        403,
        {"Message": "User is not authorized to access this resource"},
    )
    assert stage.call("GET", LIST, token="")[:2] == (401, {"message": "Unauthorized"})
    assert stage.call("GET", "/chaos_experiments/test", token="")[0] == 200
