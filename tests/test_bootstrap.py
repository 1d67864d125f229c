import json
import socket
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.access import Caller, Role, new_token
from chalicelib.api.http import Request, Response
from chalicelib.bootstrap import Chaos, bootstrap
from chalicelib.errors import Misconfigured, ModuleOff, StoreUnavailable, Unauthenticated
from chalicelib.experiments.catalogue import Catalogue, installed
from chalicelib.injection.call import LambdaContext
from chalicelib.injection.drivers import SyncInjection
from chalicelib.injection.engine import InjectionResult, answer_of
from chalicelib.results.recorder import Schedule
from chalicelib.runs.run import Run
from chalicelib.settings import Settings
from tests.injection.support import FakeCall, catalogue
from tests.support import NOW, Clock, FakeAlarms, FakeBudgetStore, FakeResultStore, FakeRunStore, FakeTokenStore, a_run

Wire = Callable[..., Chaos]

OPERATOR = Caller("ada", Role.OPERATOR)


@pytest.fixture
def runs() -> FakeRunStore:
    return FakeRunStore()


@pytest.fixture
def tokens() -> FakeTokenStore:
    return FakeTokenStore()


def _never(_seconds: float, _call: Callable[[], None]) -> None:
    """A schedule for what is not about flushes."""


@pytest.fixture
def wire(runs: FakeRunStore, tokens: FakeTokenStore, clock: Clock) -> Wire:
    """`bootstrap` on fakes, with the settings that a test names."""

    def wire(
        *,
        prefix: str = "/chaos_experiments",
        alarms: FakeAlarms | None = None,
        results: FakeResultStore | None = None,
        budgets: FakeBudgetStore | None = None,
        schedule: Schedule | None = None,  # no timer is left behind
        catalogue: Callable[[], Catalogue] = installed,
        **settings: Any,
    ) -> Chaos:
        return bootstrap(
            Settings(**{"stage": "qa", **settings}),
            prefix=prefix,
            alarms=alarms,
            runs=runs,
            results=results or FakeResultStore(),
            budgets=budgets or FakeBudgetStore(),
            schedule=schedule or _never,
            tokens=tokens,
            catalogue=catalogue,
            clock=clock,
            sleep=clock.sleep,
            chance=lambda: 0.0,
        )

    return wire


JSON = {"content-type": "application/json"}


def post(chaos: Chaos, path: str, body: bytes) -> Response:
    return chaos.api().handle(Request(method="POST", path=path, headers=JSON, body=body, caller=OPERATOR))


def inject(chaos: Chaos, path: str = "/orders", context: LambdaContext | None = None) -> InjectionResult | None:
    """As a boundary does it."""
    if chaos.engine.is_idle():
        return None
    injection = SyncInjection(chaos.engine, chaos.sleep)
    result = injection.arrive(FakeCall(path, context))
    if result:
        injection.apply(result)
    return result


def hit(chaos: Chaos, path: str = "/orders", context: LambdaContext | None = None) -> InjectionResult:
    result = inject(chaos, path, context)
    assert result
    return result


def serve(chaos: Chaos, context: LambdaContext | None = None) -> None:
    """A request from its arrival to its answer."""
    SyncInjection(chaos.engine, chaos.sleep).finish(hit(chaos, context=context), 200)


# Wiring


def test_in_lambda_an_environment_is_called_like_its_log_stream(wire: Wire) -> None:
    chaos = wire(log_stream="2026/11/24/[$LATEST]00112233445566778899aabbccddeeff")
    answer = chaos.api().handle(Request(method="GET", path="/test", body=b""))
    assert json.loads(answer.body)["resultset"]["environment"] == "ccddeeff"
    post(chaos, "/start", b'{"experiment_name": "latency_injection"}')
    assert hit(chaos).headers["X-Chaos-Environment"] == "ccddeeff"


def test_wiring_reads_nothing(wire: Wire, runs: FakeRunStore) -> None:
    wire()
    assert runs.reads == 0


def test_what_the_api_starts_the_next_request_of_this_process_feels(wire: Wire) -> None:
    chaos = wire()
    assert inject(chaos) is None
    assert post(chaos, "/start", b'{"experiment_name": "error_injection"}').status == 200
    assert answer_of(hit(chaos))
    assert post(chaos, "/stop", b'{"experiment_name": "error_injection"}').status == 200
    assert inject(chaos) is None


def test_the_settings_reach_the_snapshot(wire: Wire, runs: FakeRunStore, clock: Clock) -> None:
    chaos = wire(refresh_seconds=0.5, idle_refresh_seconds=20.0, max_staleness_seconds=0.75)
    reads = []
    for after in (0, 19, 20, 20.25, 20.5):
        clock.now = NOW + after
        inject(chaos)
        reads.append(runs.reads)
        runs.runs["error_injection"] = a_run("error_injection", duration_seconds=600)
    assert reads == [1, 1, 2, 2, 3]
    runs.broken = True
    clock.now = NOW + 21.25
    assert inject(chaos) is None


def test_the_settings_reach_the_injection(wire: Wire, runs: FakeRunStore) -> None:
    chaos = wire(excluded_paths=("/health",))
    runs.runs["error_injection"] = a_run("error_injection")
    assert inject(chaos, "/health") is None
    assert answer_of(hit(chaos))


def test_the_settings_reach_the_api(wire: Wire) -> None:
    chaos = wire(limits={"duration_seconds": 10.0})
    assert post(chaos, "/start", b'{"experiment_name": "error_injection", "duration_seconds": 11}').status == 400


def test_the_lambdas_memory_size_limits_what_may_be_held(wire: Wire) -> None:
    answer = post(wire(lambda_memory_mb=1), "/start", b'{"experiment_name": "resource_exhaustion", "memory_mb": 1}')
    assert (answer.status, answer.content["details"][0]["field"]) == (400, "memory_mb")


def test_clock_sleep_and_chance_are_the_ones_handed_in(wire: Wire, runs: FakeRunStore, clock: Clock) -> None:
    runs.runs = {"error_injection": a_run("error_injection", token="2", error_rate=0.001)}
    runs.runs["latency_injection"] = a_run(delay_seconds=0.5)
    assert answer_of(hit(wire()))
    assert clock.slept == [0.5]


def test_a_process_that_is_switched_off_reads_nothing(wire: Wire, runs: FakeRunStore) -> None:
    with pytest.raises(ModuleOff, match="CHAOS_ENABLED"):
        wire(enabled=False)
    assert runs.reads == 0


def test_a_defect_of_an_experiment_is_recorded_and_an_unreachable_table_does_not_matter(
    wire: Wire, runs: FakeRunStore, caplog: pytest.LogCaptureFixture
) -> None:
    runs.runs["defective"] = a_run("defective", token="1", duration_seconds=600)
    assert not hit(wire(catalogue=catalogue)).hits
    assert runs.runs["defective"].defect == "ZeroDivisionError: a defect"
    runs.runs["defective"] = a_run("defective", token="1", duration_seconds=600)
    runs.record_defect = unreachable  # type: ignore[method-assign]
    assert not hit(wire(catalogue=catalogue)).hits
    assert f"Could not record the defect of run {runs.runs['defective'].run_id}" in caplog.text


def unreachable(_run: Run, _defect: str) -> None:
    raise StoreUnavailable("The table does not answer.")


def test_a_run_whose_alarm_fires_is_not_injected_any_more(wire: Wire, runs: FakeRunStore) -> None:
    runs.runs["error_injection"] = replace(a_run("error_injection", error_rate=1.0), options={"alarms": ["orders-5xx"]})
    assert answer_of(hit(wire(alarms=FakeAlarms({"orders-5xx": None}))))
    assert inject(wire(alarms=FakeAlarms({"orders-5xx": "5 errors"}))) is None
    assert runs.runs["error_injection"].aborted


def test_tokens_of_the_store_open_the_door(wire: Wire, tokens: FakeTokenStore) -> None:
    secret, token = new_token("ada", Role.VIEWER, now=NOW)
    tokens.add(token)
    assert wire().authenticate({"authorization": f"Bearer {secret}"}) == Caller("ada", Role.VIEWER)


def test_the_developers_token_opens_the_door_in_development(wire: Wire) -> None:
    assert (
        wire(stage="dev", dev_token="dev-token").authenticate({"authorization": "Bearer dev-token"}).role
        is Role.OPERATOR
    )


@pytest.mark.parametrize("settings", [{"stage": "qa"}, {"stage": "prod"}, {"stage": "dev", "in_lambda": True}])
def test_the_developers_token_opens_nothing_outside_development_or_inside_lambda(
    wire: Wire, settings: dict[str, Any]
) -> None:
    chaos = wire(**settings, dev_token="dev-token")
    assert chaos.settings.dev_token is None
    with pytest.raises(Unauthenticated):
        chaos.authenticate({"authorization": "Bearer dev-token"})


def test_in_lambda_no_request_waits_for_an_unreachable_table_twice(
    wire: Wire, runs: FakeRunStore, clock: Clock
) -> None:
    results = FakeResultStore()
    chaos = wire(results=results, in_lambda=True)
    post(chaos, "/start", b'{"experiment_name": "latency_injection", "delay_seconds": 0}')

    def serve_and_wait() -> None:
        serve(chaos)
        clock.now += 1.0

    serve_and_wait()
    assert results.writes == 2  # that it has begun, and that it is answered
    runs.broken = True
    serve_and_wait()
    assert results.writes == 2
    runs.broken = False
    serve_and_wait()
    assert results.writes == 4


def test_requests_are_counted_for_a_while_after_a_run_with_a_hypothesis_and_then_nothing_is(
    wire: Wire, clock: Clock
) -> None:
    results = FakeResultStore()
    chaos = wire(results=results, in_lambda=True)
    body = b'{"experiment_name": "latency_injection", "delay_seconds": 0, "hypothesis": {"max_error_rate": 0.1}, '
    post(chaos, "/start", body + b'"duration_seconds": 30, "percentage": 50}')
    serve(chaos)
    (run,) = chaos.runs.active(chaos.clock())
    for after in (0.0, 4.0, 6.0, 11.0):
        clock.now = run.expires_at + after
        serve(chaos)
    clock.now = run.expires_at + 16.0
    serve(chaos)  # with it nobody needs to count any more
    assert inject(chaos) is None
    assert chaos.engine.is_idle()
    tally = results.tallies[run.run_id]
    assert [part.requests for part in tally.after(run)] == [2, 1, 1]
    assert (tally.requests("hit"), tally.get("requests")) == (1, 1)


def test_after_a_stop_requests_are_counted_at_once(wire: Wire) -> None:
    results = FakeResultStore()
    chaos = wire(results=results, in_lambda=True)
    body = (
        b'{"experiment_name": "latency_injection", "percentage": 20, "delay_seconds": 0, '
        b'"hypothesis": {"max_error_rate": 0.1}}'
    )
    post(chaos, "/start", body)
    serve(chaos)
    (run,) = chaos.runs.active(chaos.clock())
    post(chaos, "/stop", b'{"experiment_name": "latency_injection"}')
    serve(chaos)
    chaos.engine.recorder.flush()
    assert [part.requests for part in results.tallies[run.run_id].after(run.ended(now=NOW, by="ada", reason=""))] == [1]


TWO_HITS = b'{"experiment_name": "error_injection", "error_rate": 1.0, "max_requests": 2}'


def test_in_lambda_the_last_of_so_many_hits_ends_the_run_at_once(wire: Wire, runs: FakeRunStore) -> None:
    chaos = wire(in_lambda=True, log_stream="0123456789abcdef")
    post(chaos, "/start", TWO_HITS)
    assert [bool(answer_of(hit(chaos))) for _ in range(2)] == [True, True]
    assert inject(chaos) is None  # it has read that nothing runs any more
    ended = runs.runs["error_injection"]
    assert (ended.status(NOW), ended.end_reason) == ("completed", "max_requests: 2 calls were hit")
    assert ended.ended_by == "environment 89abcdef"


def test_elsewhere_a_timer_ends_it(wire: Wire, runs: FakeRunStore) -> None:
    scheduled: list[Callable[[], None]] = []
    chaos = wire(schedule=lambda _seconds, call: scheduled.append(call))
    post(chaos, "/start", TWO_HITS)
    assert [bool(answer_of(hit(chaos))) for _ in range(3)] == [True, True, False]
    for call in scheduled.copy():
        call()
    assert runs.runs["error_injection"].is_spent
    assert inject(chaos) is None


def test_where_the_table_is_known_not_to_answer_no_hit_is_asked_for(
    wire: Wire, runs: FakeRunStore, clock: Clock
) -> None:
    budgets = FakeBudgetStore()
    chaos = wire(budgets=budgets, in_lambda=True)
    post(chaos, "/start", TWO_HITS)
    assert answer_of(hit(chaos))
    runs.broken = True
    clock.now += 1.0
    assert not answer_of(hit(chaos))
    assert len(budgets.asked) == 1


def test_an_invocation_that_has_no_time_left_flushes_nothing(wire: Wire) -> None:
    results = FakeResultStore()
    chaos = wire(results=results, in_lambda=True)
    post(chaos, "/start", b'{"experiment_name": "latency_injection", "delay_seconds": 0}')
    (run,) = chaos.runs.active(chaos.clock())
    late = SimpleNamespace(get_remaining_time_in_millis=lambda: 999)
    serve(chaos, late)
    assert results.writes == 0
    in_time = SimpleNamespace(get_remaining_time_in_millis=lambda: 1000)
    inject(chaos, "/orders", in_time)
    assert results.writes == 1  # with what the late one left
    assert results.results([run])[run.run_id].get("requests") == 1


def test_without_a_stage_the_module_is_off(wire: Wire) -> None:
    with pytest.raises(ModuleOff, match="CHAOS_STAGE is not set"):
        wire(stage=None)


def test_the_environment_is_read_where_no_settings_are_handed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModuleOff):
        bootstrap()
    monkeypatch.setenv("CHAOS_STAGE", "qa")
    monkeypatch.setenv("CHAOS_REFRESH_SECONDS", "soon")
    with pytest.raises(Misconfigured, match="CHAOS_REFRESH_SECONDS"):
        bootstrap()


def test_development_makes_the_table_that_is_missing(settings: Settings, clock: Clock) -> None:
    missing = Settings(
        stage="dev",
        table=f"{settings.table}-missing",
        endpoint_url=settings.endpoint_url,
        table_timeout_seconds=settings.table_timeout_seconds,
    )
    chaos = bootstrap(missing, clock=clock, sleep=clock.sleep, chance=lambda: 0.0)
    assert chaos.settings.dev_token  # made up
    assert post(chaos, "/start", b'{"experiment_name": "error_injection"}').status == 200
    injected = hit(chaos)
    assert answer_of(injected)
    chaos.engine.count(injected, 503)
    chaos.engine.recorder.flush()  # or it would be tried when there is no table any more


def test_in_development_a_table_that_is_not_reachable_yet_is_no_reason_not_to_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    chaos = bootstrap(Settings(stage="dev", table="later", endpoint_url=url, dev_token="x"))
    assert f"No faults are injected until the table is ready: Table later at {url} is unreachable" in caplog.text
    assert inject(chaos) is None


def test_with_a_limit_of_what_no_experiment_has_nothing_starts_and_everything_can_be_stopped(
    wire: Wire, runs: FakeRunStore, caplog: pytest.LogCaptureFixture
) -> None:
    runs.runs["latency_injection"] = a_run()
    chaos = wire(limits={"duration_seconds": 100.0, "delay": 1.0})
    refused = post(chaos, "/start", b'{"experiment_name": "error_injection"}')
    assert (refused.status, refused.content["code"]) == (503, "misconfigured")
    assert "CHAOS_MAX_DELAY limits no parameter of any experiment" in refused.content["error_message"]
    assert "No experiment can be started by this process: CHAOS_MAX_DELAY" in caplog.text
    assert chaos.api().handle(Request(method="GET", path="/list", caller=OPERATOR)).status == 200
    assert post(chaos, "/stop", b'{"experiment_name": "latency_injection"}').status == 200
    assert post(chaos, "/halt", b'{"reason": "a test"}').status == 200
    assert post(chaos, "/resume", b"{}").status == 200


def test_two_processes_count_under_two_names(wire: Wire) -> None:
    assert wire().engine.recorder._process != wire().engine.recorder._process
