import json
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.access import Caller, Role, new_token
from chalicelib.api.http import Request, Response
from chalicelib.bootstrap import Chaos, Lazy, bootstrap
from chalicelib.errors import Misconfigured, ModuleOff, StoreUnavailable, Unauthenticated
from chalicelib.experiments.catalogue import BUILT_IN, Catalogue
from chalicelib.injection.engine import UNTOUCHED
from chalicelib.settings import Settings
from tests.injection.test_decide import Defective
from tests.support import NOW, Clock, FakeAlarms, FakeResultStore, FakeRunStore, FakeTokenStore, a_run

Wire = Callable[..., Chaos]

OPERATOR = Caller("ada", Role.OPERATOR)


@pytest.fixture
def with_defective(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a package had installed an experiment with a defect."""
    monkeypatch.setattr("chalicelib.injection.decide.installed", lambda: Catalogue([*BUILT_IN, Defective]))


@pytest.fixture
def runs() -> FakeRunStore:
    return FakeRunStore()


@pytest.fixture
def tokens() -> FakeTokenStore:
    return FakeTokenStore()


@pytest.fixture
def wire(runs: FakeRunStore, tokens: FakeTokenStore, clock: Clock) -> Wire:
    """`bootstrap` on fakes, with the settings that a test names."""

    def wire(
        *,
        prefix: str = "/chaos_experiments",
        alarms: FakeAlarms | None = None,
        results: FakeResultStore | None = None,
        **settings: Any,
    ) -> Chaos:
        return bootstrap(
            Settings(**{"stage": "qa", **settings}),
            prefix=prefix,
            alarms=alarms,
            runs=runs,
            results=results or FakeResultStore(),
            tokens=tokens,
            clock=clock,
            sleep=clock.sleep,
            chance=lambda: 0.0,
        )

    return wire


def post(chaos: Chaos, path: str, body: bytes) -> Response:
    return chaos.api().handle(Request(method="POST", path=path, body=body, caller=OPERATOR))


# Wiring


def test_in_lambda_an_environment_is_called_like_its_log_stream(wire: Wire) -> None:
    chaos = wire(log_stream="2026/11/24/[$LATEST]00112233445566778899aabbccddeeff")
    answer = chaos.api().handle(Request(method="GET", path="/test", body=b""))
    assert json.loads(answer.body)["resultset"]["environment"] == "ccddeeff"
    post(chaos, "/start", b'{"experiment_name": "latency_injection"}')
    assert chaos.injection("/orders").headers["X-Chaos-Environment"] == "ccddeeff"


def test_wiring_reads_nothing(wire: Wire, runs: FakeRunStore) -> None:
    wire()
    assert runs.reads == 0


def test_what_the_api_starts_the_next_request_of_this_process_feels(wire: Wire) -> None:
    chaos = wire()
    assert chaos.injection("/orders") is UNTOUCHED
    assert post(chaos, "/start", b'{"experiment_name": "error_injection"}').status == 200
    assert chaos.injection("/orders").answer
    assert post(chaos, "/stop", b'{"experiment_name": "error_injection"}').status == 200
    assert chaos.injection("/orders") is UNTOUCHED


def test_the_settings_reach_the_snapshot(wire: Wire, runs: FakeRunStore, clock: Clock) -> None:
    chaos = wire(refresh_seconds=0.5, idle_refresh_seconds=20.0, max_staleness_seconds=0.75)
    reads = []
    for after in (0, 19, 20, 20.25, 20.5):
        clock.now = NOW + after
        chaos.injection("/orders")
        reads.append(runs.reads)
        runs.runs["error_injection"] = a_run("error_injection", duration_seconds=600)
    assert reads == [1, 1, 2, 2, 3]
    runs.broken = True
    clock.now = NOW + 21.25
    assert chaos.injection("/orders") is UNTOUCHED


def test_the_settings_reach_the_injection(wire: Wire, runs: FakeRunStore) -> None:
    chaos = wire(excluded_paths=("/health",))
    runs.runs["error_injection"] = a_run("error_injection")
    assert chaos.injection("/health") is UNTOUCHED
    assert chaos.injection("/chaos_experiments/list") is UNTOUCHED
    assert chaos.injection("/orders").answer


def test_the_settings_reach_the_api(wire: Wire) -> None:
    chaos = wire(limits={"duration_seconds": 10.0})
    assert post(chaos, "/start", b'{"experiment_name": "error_injection", "duration_seconds": 11}').status == 400


def test_the_lambdas_memory_size_limits_what_may_be_held(wire: Wire) -> None:
    answer = post(wire(lambda_memory_mb=1), "/start", b'{"experiment_name": "resource_exhaustion", "memory_mb": 1}')
    assert (answer.status, answer.content["details"][0]["field"]) == (400, "memory_mb")


def test_clock_sleep_and_chance_are_the_ones_handed_in(wire: Wire, runs: FakeRunStore, clock: Clock) -> None:
    runs.runs = {name: a_run(name, error_rate=0.001) for name in ["error_injection"]}
    runs.runs["latency_injection"] = a_run(delay_seconds=0.5)
    assert wire().injection("/orders").answer
    assert clock.slept == [0.5]


def test_a_process_that_is_deaf_reads_nothing_and_says_so(wire: Wire, runs: FakeRunStore) -> None:
    with pytest.raises(ModuleOff, match="CHAOS_ENABLED"):
        wire(enabled=False)
    module = Lazy(lambda **options: wire(enabled=False, **options))
    for _ in range(3):
        assert module.inject("/orders") is UNTOUCHED
    assert module.handle(Request(method="GET", path="/list")).content["code"] == "module_off"
    assert runs.reads == 0


@pytest.mark.usefixtures("with_defective")
def test_a_defect_of_an_experiment_marks_its_run_and_a_silent_table_does_not_matter(
    wire: Wire, runs: FakeRunStore, caplog: pytest.LogCaptureFixture
) -> None:
    chaos = wire()
    for name, told in (("defective", "ZeroDivisionError: a defect"), ("another", None)):
        runs.runs = {
            name: replace(
                a_run(token=name, duration_seconds=600), experiment="defective", parameters={"percentage": 100.0}
            )
        }
        run = next(iter(runs.runs.values()))
        runs.runs = {"defective": run}
        chaos.injection.snapshot.refresh()
        runs.broken = told is None
        assert not chaos.injection("/orders").hits
        assert runs.runs["defective"].defect == told
    assert "Could not record the defect of run" in caplog.text


def test_a_run_whose_alarm_fires_is_not_injected_any_more(wire: Wire, runs: FakeRunStore) -> None:
    runs.runs["error_injection"] = a_run("error_injection", error_rate=1.0, options={"alarms": ["orders-5xx"]})
    assert wire(alarms=FakeAlarms({"orders-5xx": None})).injection("/orders").answer
    assert not wire(alarms=FakeAlarms({"orders-5xx": "5 errors"})).injection("/orders").answer
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


def test_in_lambda_no_request_waits_for_a_silent_table_twice(wire: Wire, runs: FakeRunStore, clock: Clock) -> None:
    results = FakeResultStore()
    chaos = wire(results=results, in_lambda=True)
    post(chaos, "/start", b'{"experiment_name": "latency_injection", "delay_seconds": 0}')

    def serve() -> None:
        chaos.injection.finish(chaos.injection("/orders"), 200)
        clock.now += 1.0

    serve()
    assert results.writes == 1
    runs.broken = True
    serve()
    assert results.writes == 1
    runs.broken = False
    serve()
    assert results.writes == 2


def test_an_invocation_that_has_no_time_left_tells_nothing(wire: Wire) -> None:
    results = FakeResultStore()
    chaos = wire(results=results, in_lambda=True)
    post(chaos, "/start", b'{"experiment_name": "latency_injection", "delay_seconds": 0}')
    late = SimpleNamespace(get_remaining_time_in_millis=lambda: 999)
    chaos.injection.finish(chaos.injection("/orders", late), 200)
    assert results.writes == 0
    in_time = SimpleNamespace(get_remaining_time_in_millis=lambda: 1000)
    chaos.injection("/orders", in_time)
    assert results.writes == 1


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
    assert chaos.injection("/orders").answer


# Lazy


def test_nothing_is_wired_before_it_is_needed_and_then_once(wire: Wire) -> None:
    wired: list[Chaos] = []

    def once(**_: str) -> Chaos:
        wired.append(wire())
        return wired[-1]

    lazy = Lazy(once)
    assert wired == []
    assert lazy.inject("/orders") is lazy.inject("/orders") is UNTOUCHED
    assert lazy.get() is lazy.get() is wired[0]
    assert len(wired) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"prefix": "chaos"},
        {"prefix": "/chaos/"},
        {"prefix": ""},
        {"excluded_paths": "/health"},
        {"excluded_paths": ["/ok", "health"]},
    ],
)
def test_a_prefix_and_excluded_paths_that_cannot_be_are_refused_at_once(wire: Wire, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))} must .*; got"):
        Lazy(wire, **options)


def test_in_development_a_table_that_is_not_reachable_yet_is_no_reason_not_to_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    chaos = bootstrap(Settings(stage="dev", table="later", endpoint_url=url, dev_token="x"))
    assert f"No faults are injected until the table is ready: Table later at {url} is unreachable" in caplog.text
    assert chaos.injection("/orders") is UNTOUCHED


def test_requests_go_straight_to_the_injection_once_it_is_wired(wire: Wire, runs: FakeRunStore) -> None:
    runs.runs["error_injection"] = a_run("error_injection")
    lazy = Lazy(wire)
    assert lazy.inject("/orders").answer
    assert lazy.inject is lazy.get().injection


def test_threads_that_come_together_wire_once(wire: Wire, runs: FakeRunStore) -> None:
    runs.runs["error_injection"] = a_run("error_injection")
    together, wired = threading.Barrier(8), []

    def once(**_: str) -> Chaos:
        wired.append(1)
        return wire()

    lazy = Lazy(once)

    def get() -> Chaos:
        together.wait(30)
        return lazy.get()

    with ThreadPoolExecutor(8) as pool:
        assert len({id(served.result(30)) for served in [pool.submit(get) for _ in range(8)]}) == 1
    assert wired == [1]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ModuleOff("It is off."), (ModuleOff, "It is off.")),
        (Misconfigured("A bad value."), (Misconfigured, "A bad value.")),
        (StoreUnavailable("No table."), (StoreUnavailable, "No table.")),
        (ZeroDivisionError("a defect"), (Misconfigured, "The chaos experiments module did not start: a defect")),
    ],
)
def test_a_refusal_is_remembered_and_every_request_goes_on_untouched(
    error: Exception, told: tuple[type[Exception], str], caplog: pytest.LogCaptureFixture
) -> None:
    attempts = []

    def refuse(**_: str) -> Chaos:
        attempts.append(1)
        raise error

    lazy = Lazy(refuse)
    assert [lazy.inject("/orders") for _ in range(3)] == [UNTOUCHED] * 3
    for _ in range(2):
        with pytest.raises(told[0]) as refused:
            lazy.get()
        assert str(refused.value) == told[1]
    assert attempts == [1]
    assert [record.message for record in caplog.records] == [f"No faults are injected by this process: {told[1]}"]


def test_a_process_without_a_stage_serves_its_application() -> None:
    lazy = Lazy()
    assert lazy.inject("/orders") is UNTOUCHED
    with pytest.raises(ModuleOff):
        lazy.get()
