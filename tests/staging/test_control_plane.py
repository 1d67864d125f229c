"""The control plane on environments of its own, apart from the application's."""

from typing import Any

import pytest

from tests.staging.account import Account
from tests.staging.conftest import NAME
from tests.staging.fleet import Stage

pytestmark = pytest.mark.timeout(900)

API = "/chaos_experiments"
CONTROL_PLANE = f"{NAME}-control_plane"


def processes(account: Account, function: str) -> set[int]:
    return {each.pid for each in account.environments(function)}


def test_its_requests_are_answered_by_another_function_than_the_applications(account: Account, stage: Stage) -> None:
    account.client("lambda").put_function_concurrency(FunctionName=NAME, ReservedConcurrentExecutions=0)
    try:
        shut_out = stage.call("GET", "/where", token="")[0]
        run = stage.start("latency_injection", duration_seconds=60)
        status, listed, _ = stage.call("GET", f"{API}/list")
        halted = stage.call("POST", f"{API}/halt", reason="the application has no concurrency left")
    finally:
        account.client("lambda").delete_function_concurrency(FunctionName=NAME)
    assert shut_out >= 429
    assert status == 200
    assert [each["run_id"] for each in listed["resultset"]["active_experiments"]] == [run["run_id"]]
    assert halted[1]["resultset"]["ended_runs"] == [run["run_id"]]
    assert processes(account, CONTROL_PLANE)
    assert stage.call("GET", "/where", token="")[0] == 200


def test_the_test_endpoint_is_answered_by_an_environment_of_the_application(account: Account, stage: Stage) -> None:
    def tested(token: str = "") -> dict[str, Any]:
        resultset: dict[str, Any] = stage.call("GET", f"{API}/test", token=token)[1]["resultset"]
        return resultset

    before = processes(account, CONTROL_PLANE)
    stage.start("latency_injection", delay_seconds=0.01, duration_seconds=60)
    assert [each["experiment"] for each in tested()["injected"]] == ["latency_injection"]
    assert processes(account, NAME)
    assert before <= processes(account, CONTROL_PLANE)
