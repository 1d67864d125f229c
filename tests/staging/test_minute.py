"""A minute of load: what it costs in reads of the table, and how long a revoked token lives meanwhile."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.staging.account import Account
from tests.staging.conftest import NAME
from tests.staging.fleet import SIZE, Fleet, Stage, Tell, environments

pytestmark = pytest.mark.timeout(900)

HALF_SECONDS = 30
IDLE_SECONDS = 5
REFRESH_SECONDS = 1
REVOKED_WITHIN_SECONDS = 60
LIST = "/chaos_experiments/list"
NO_READ = "/chaos_experiments/status"
"""Answers 400 where the gateway lets a caller pass, without a look at the table."""


def test_reads_keep_to_one_an_interval_and_a_revoked_token_dies(
    stage: Stage, account: Account, fleet: Fleet, tell: Tell
) -> None:
    leaving = account.make_token("leaver", "viewer")
    assert stage.call("GET", LIST, token=leaving)[0] == 200  # at once
    time.sleep(IDLE_SECONDS + 1)
    with ThreadPoolExecutor(1) as pool:
        account.revoke(leaving)
        refused = pool.submit(seconds_until_refused, stage, leaving)
        began = time.time()
        idle = reads_in(HALF_SECONDS, account)
        stage.start("latency_injection", delay_seconds=0.01, duration_seconds=HALF_SECONDS + 10)
        time.sleep(IDLE_SECONDS)
        running = reads_in(HALF_SECONDS - IDLE_SECONDS, account)
        answers = fleet.answers(began)
        stage.stop("latency_injection")
        refused_after = refused.result()

    serving = len(environments(answers))
    tell(
        f"{len(answers)} requests in {serving} environments: {idle} reads in {HALF_SECONDS} s idle, "
        f"{running} in {HALF_SECONDS - IDLE_SECONDS} s while something ran"
    )
    tell(f"a token in use was refused {refused_after:.1f} s after it was revoked")
    assert serving >= SIZE
    assert idle <= serving * (HALF_SECONDS / IDLE_SECONDS + 1)
    assert running <= serving * ((HALF_SECONDS - IDLE_SECONDS) / REFRESH_SECONDS + 1)
    assert len(answers) > 3 * (idle + running) > 3 * SIZE * HALF_SECONDS / IDLE_SECONDS  # it was load
    assert refused_after <= REVOKED_WITHIN_SECONDS


def reads_in(seconds: float, account: Account) -> int:
    before = account.wire.reads
    time.sleep(seconds)
    return account.wire.reads - before


def seconds_until_refused(stage: Stage, token: str) -> float:
    began = time.time()
    while stage.call("GET", NO_READ, token=token)[0] == 400:
        assert time.time() < began + 2 * REVOKED_WITHIN_SECONDS
        time.sleep(0.5)
    return time.time() - began


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
