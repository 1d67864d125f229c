"""A share of the environments, and of the keys, on each framework's server."""

from typing import Any

from chalicelib.injection.selection import selector
from chalicelib.runs.target import Target
from tests.contract.servers import Server, settle
from tests.injection.support import FakeCall, unnoted
from tests.loopback import until
from tests.support import a_run

API = "/chaos_experiments"
HALF = {"environments_percentage": 50}
START = {"experiment_name": "latency_injection", "delay_seconds": 0.001, "duration_seconds": 60.0, "target": HALF}


def resultset(server: Server, method: str, path: str, **options: Any) -> dict[str, Any]:
    answer = server.call(method, API + path, **options)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()["resultset"]
    return content


def test_an_environment_is_hit_by_every_request_or_by_none_as_the_hash_says(server: Server) -> None:
    target = Target.model_validate(HALF)
    seen: set[bool] = set()

    def both_have_been_seen() -> bool:
        run = resultset(server, "POST", "/start", json={**START, "restart": True})
        assert run["target"] == HALF
        for _ in range(8):
            tested = resultset(server, "GET", "/test")
            is_chosen = target.has_environment(run["run_id"], tested["environment"])
            assert bool(tested["injected"]) is is_chosen
            assert tested["active_chaos_experiments"] == ["latency_injection"]
            seen.add(is_chosen)
        return seen == {True, False}

    until(both_have_been_seen)


def test_the_requests_of_the_others_are_counted_as_untouched_though_all_are_to_be_hit(server: Server) -> None:
    target = Target.model_validate(HALF)

    def has_both_or_one_environment_that_is_not_chosen() -> bool:
        run = resultset(server, "POST", "/start", json={**START, "restart": True})
        environments = {resultset(server, "GET", "/test")["environment"] for _ in range(12)}
        chosen = {each for each in environments if target.has_environment(run["run_id"], each)}
        return chosen != environments

    until(has_both_or_one_environment_that_is_not_chosen)
    untouched = 0

    def are_untouched() -> bool:
        nonlocal untouched
        answers = [server.call("GET", "/orders/1") for _ in range(30)]
        untouched += sum("X-Chaos-Run" not in answer.headers for answer in answers)
        return untouched > 0

    until(are_untouched)  # it may be long before a worker answers beside the other one

    def results() -> dict[str, Any]:
        found: dict[str, Any] = resultset(server, "GET", "/status?experiment_name=latency_injection")["results"]
        return found

    until(lambda: results().get("requests_untouched", 0) >= untouched)


def test_a_key_has_the_same_verdict_on_each_server(servers: dict[str, Server]) -> None:
    options = {"sticky": {"header": "x-user"}, "seed": "same"}
    chosen = selector(a_run(options=options), 0.5, None, clock=lambda: 0.0)
    assert chosen
    keys = [f"user-{number}" for number in range(40)]
    expected = [chosen.select(FakeCall("/", x_user=key), lambda: 0.0, unnoted) is not None for key in keys]
    start = {"experiment_name": "error_injection", "error_rate": 1, "percentage": 50, "restart": True, **options}
    for server in servers.values():
        resultset(server, "POST", "/start", json=start)

        def verdicts(asked: Server = server) -> list[bool]:
            answers = [asked.call("GET", "/orders/1", headers={"x-user": key}) for key in keys]
            return ["X-Chaos-Run" in answer.headers for answer in answers]

        until(lambda seen=verdicts: seen() == expected)  # type: ignore[misc]
        settle(server)
