"""The lock of production and the stage's limits hold in the process that applies faults, whoever wrote the run."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.bootstrap import Chaos, bootstrap
from chalicelib.injection.drivers import SyncInjection
from chalicelib.injection.engine import AppliedHit
from chalicelib.runs.run import Run
from chalicelib.settings import Settings, read_settings
from tests.injection.support import FakeCall
from tests.support import NOW, Clock, FakeResultStore, FakeRunStore, FakeTokenStore, a_run

LONG = a_run(delay_seconds=30.0, duration_seconds=600.0)


def wired(settings: Settings, run: Run, chance: float = 0.0) -> tuple[Chaos, FakeRunStore]:
    """A process with these settings, in whose table the run is."""
    clock = Clock()
    runs = FakeRunStore({run.experiment: run})
    stores: Any = {"runs": runs, "results": FakeResultStore(), "tokens": FakeTokenStore()}
    return bootstrap(settings, clock=clock, sleep=clock.sleep, chance=lambda: chance, **stores), runs


def served(chaos: Chaos) -> Sequence[AppliedHit]:
    """What one request is hit by."""
    injection = SyncInjection(chaos.engine, chaos.sleep)
    result = injection.arrive(FakeCall("/orders"))
    if result is None:
        return ()
    injection.apply(result)
    return result.hits


def is_hit(chaos: Chaos) -> bool:
    return bool(served(chaos))


@pytest.mark.parametrize(
    ("variables", "run", "defect"),
    [
        pytest.param(
            {"CHAOS_STAGE": "production"},
            LONG,
            "not injected: stage production is locked (CHAOS_ALLOW_PRODUCTION)",
            id="locked",
        ),
        pytest.param(
            {"CHAOS_STAGE": "qa"},
            a_run(options={"propagate": True}),
            "not injected: CHAOS_PROPAGATION_KEY is not set in this environment",
            id="no key that services share",
        ),
        pytest.param(
            {"CHAOS_STAGE": "qa", "CHAOS_MAX_DELAY_SECONDS": "2"},
            a_run(p50_seconds=0.5, p99_seconds=3.0),
            "not injected: p99_seconds 3 is above this stage's limit 2",
            id="a percentile above a lower limit",
        ),
        pytest.param(
            {"CHAOS_STAGE": "prod-eu", "CHAOS_ALLOW_PRODUCTION": "prod-us"},
            LONG,
            "not injected: stage prod-eu is locked (CHAOS_ALLOW_PRODUCTION)",
            id="another one is allowed",
        ),
        pytest.param(
            {"CHAOS_STAGE": "qa", "CHAOS_MAX_DELAY_SECONDS": "5"},
            LONG,
            "not injected: delay_seconds 30 is above this stage's limit 5",
            id="a lower limit",
        ),
        pytest.param(
            {"CHAOS_STAGE": "qa", "CHAOS_MAX_DURATION_SECONDS": "60"},
            LONG,
            "not injected: duration_seconds 600 is above this stage's limit 60",
            id="a shorter duration",
        ),
        pytest.param(
            {"CHAOS_STAGE": "qa"},
            replace(LONG, expires_at=NOW + 86_400),
            "not injected: duration_seconds 86400 is above this stage's limit 3600",
            id="an end that its parameters do not say",
        ),
        pytest.param(
            {"CHAOS_STAGE": "qa", "CHAOS_MAX_PERCENTAGE": "20"},
            LONG,
            "not injected: percentage 100 is above this stage's limit 20",
            id="too many requests",
        ),
    ],
)
def test_a_run_that_the_stage_does_not_permit_hits_nothing_and_says_why(
    variables: dict[str, str], run: Run, defect: str, caplog: pytest.LogCaptureFixture
) -> None:
    chaos, runs = wired(read_settings(variables), run)
    assert not is_hit(chaos)
    recorded = runs.runs[run.experiment]
    assert recorded.defect == defect
    assert defect.removeprefix("not injected: ") in caplog.text
    assert recorded.is_active(NOW)  # whoever permits it goes on


@pytest.mark.parametrize(
    "variables",
    [
        {"CHAOS_STAGE": "qa"},
        {"CHAOS_STAGE": "qa", "CHAOS_MAX_DELAY_SECONDS": "30", "CHAOS_MAX_DURATION_SECONDS": "600"},
        {"CHAOS_STAGE": "qa", "CHAOS_MAX_MEMORY_MB": "1"},
        {"CHAOS_STAGE": "production", "CHAOS_ALLOW_PRODUCTION": "production"},
    ],
    ids=str,
)
def test_a_run_that_the_stage_permits_is_injected(variables: dict[str, str]) -> None:
    chaos, runs = wired(read_settings(variables), LONG)
    assert is_hit(chaos)
    assert runs.runs[LONG.experiment].defect is None


@pytest.mark.parametrize(("limit", "waits"), [("1.5", 1.5), ("600", 60.0)])
def test_no_delay_that_is_drawn_exceeds_the_limit_of_the_stage(limit: str, waits: float) -> None:
    run = a_run(delay_seconds=1.5, jitter_seconds=1.5, distribution="pareto", duration_seconds=600.0)
    chaos, _ = wired(read_settings({"CHAOS_STAGE": "qa", "CHAOS_MAX_DELAY_SECONDS": limit}), run, chance=0.999999)
    (hit,) = served(chaos)
    assert hit.shown["seconds"] == waits


def test_the_reason_is_written_once_for_all_environments() -> None:
    chaos, runs = wired(read_settings({"CHAOS_STAGE": "production"}), replace(LONG, defect="by another environment"))
    written: list[str] = []
    runs.record_defect = lambda _run, defect: written.append(defect)  # type: ignore[method-assign]
    assert not is_hit(chaos)
    assert written == []
