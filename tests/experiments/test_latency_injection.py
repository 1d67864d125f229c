import json
from typing import Any

import pytest
from pydantic import ValidationError

from chalicelib.experiments.latency_injection import LatencyInjection
from chalicelib.faults.distributions import Exponential, Normal, Pareto, Uniform
from chalicelib.faults.wait import Wait


def test_each_request_waits_for_the_delay() -> None:
    parameters = LatencyInjection.Parameters(delay_seconds=1.5)
    assert list(LatencyInjection().faults(parameters)) == [Wait(seconds=1.5)]
    allowed = LatencyInjection.Parameters(delay_seconds=1.5, allow_timeout=True)
    assert list(LatencyInjection().faults(allowed)) == [Wait(seconds=1.5, allow_timeout=True)]


def test_the_defaults_are_pinned() -> None:
    assert LatencyInjection.Parameters().model_dump(exclude_none=True) == {
        "delay_seconds": 2.0,
        "allow_timeout": False,
        "duration_seconds": 30.0,
        "percentage": 100.0,
    }


@pytest.mark.parametrize("delay_seconds", [0, 0.0, 0.001, 60, 60.0])
def test_a_delay_from_0_to_60_seconds_is_allowed(delay_seconds: float) -> None:
    assert LatencyInjection.Parameters(delay_seconds=delay_seconds).delay_seconds == delay_seconds


@pytest.mark.parametrize("delay_seconds", [-0.001, 60.001, "2", True, None, float("nan"), float("inf"), [2], 10**400])
def test_any_other_delay_is_refused(delay_seconds: Any) -> None:
    with pytest.raises(ValidationError, match="delay_seconds"):
        LatencyInjection.Parameters(delay_seconds=delay_seconds)


def test_what_an_older_version_has_stored_is_read_as_it_was() -> None:
    stored = '{"duration_seconds": 30.0, "percentage": 20.0, "delay_seconds": 1.5, "allow_timeout": true}'
    parameters = LatencyInjection.Parameters.model_validate_json(stored)
    assert parameters.model_dump(mode="json", exclude_none=True) == json.loads(stored)
    assert list(LatencyInjection().faults(parameters)) == [Wait(seconds=1.5, allow_timeout=True)]


@pytest.mark.parametrize(
    ("given", "quantile"),
    [
        ({"distribution": "fixed"}, None),
        ({"jitter_seconds": 0.5}, Uniform(1.5, 1.0)),
        ({"jitter_seconds": 2, "distribution": "uniform"}, Uniform(0.0, 4.0)),
        ({"jitter_seconds": 0.5, "distribution": "normal"}, Normal(2.0, 0.5)),
        ({"distribution": "exponential"}, Exponential(2.0)),
        ({"jitter_seconds": 4, "distribution": "pareto"}, Pareto.spread(2.0, 4.0)),
        ({"p50_seconds": 0.2, "p99_seconds": 3}, Pareto.fitted(0.2, 3.0)),
        ({"p50_seconds": 0.2, "p99_seconds": 0.3, "distribution": "uniform"}, Uniform.fitted(0.2, 0.3)),
        ({"p50_seconds": 0.2, "p99_seconds": 0.4, "distribution": "normal"}, Normal.fitted(0.2, 0.4)),
        ({"p50_seconds": 0.2, "p99_seconds": 1.3, "distribution": "exponential"}, Exponential.fitted(0.2, 1.3)),
    ],
)
def test_how_delays_differ_is_stored_and_read_again(given: dict[str, Any], quantile: Any) -> None:
    stored = LatencyInjection.Parameters(**given).model_dump_json(exclude_none=True)
    read = LatencyInjection.Parameters.model_validate_json(stored)
    (fault,) = LatencyInjection().faults(read)
    assert isinstance(fault, Wait)
    assert (fault.quantile, fault.seconds) == (quantile, 0.0 if quantile else 2.0)


def test_delays_that_percentiles_say_have_no_other_figure_beside_them() -> None:
    given = {"p50_seconds": 0.2, "p99_seconds": 3.0}
    stored = LatencyInjection.Parameters(**given).model_dump(exclude_none=True)  # type: ignore[arg-type]
    assert stored == {**given, "allow_timeout": False, "duration_seconds": 30.0, "percentage": 100.0}


@pytest.mark.parametrize(
    ("given", "field", "problem"),
    [
        ({"distribution": "fixed", "jitter_seconds": 1}, "jitter_seconds", "cannot be with the distribution fixed"),
        ({"distribution": "exponential", "jitter_seconds": 1}, "jitter_seconds", "cannot be with the distribution"),
        ({"distribution": "uniform"}, "jitter_seconds", "is missing: the distribution uniform needs it"),
        ({"distribution": "normal"}, "jitter_seconds", "is missing: the distribution normal needs it"),
        ({"distribution": "pareto"}, "jitter_seconds", "is missing: the distribution pareto needs it"),
        ({"jitter_seconds": 2.5}, "jitter_seconds", "must be at most delay_seconds, which is 2"),
        ({"jitter_seconds": 2.5, "distribution": "normal"}, "jitter_seconds", "must be at most delay_seconds"),
        ({"delay_seconds": 0, "distribution": "exponential"}, "delay_seconds", "must be greater than 0"),
        ({"delay_seconds": 0, "jitter_seconds": 1, "distribution": "pareto"}, "delay_seconds", "must be greater than"),
        ({"p50_seconds": 1}, "p99_seconds", "is missing"),
        ({"p99_seconds": 1}, "p50_seconds", "is missing"),
        ({"p50_seconds": 1, "p99_seconds": 2, "delay_seconds": 2}, "delay_seconds", "cannot be with p50_seconds"),
        ({"p50_seconds": 1, "p99_seconds": 2, "jitter_seconds": 2}, "jitter_seconds", "cannot be with p50_seconds"),
        ({"p50_seconds": 1, "p99_seconds": 2, "distribution": "fixed"}, "distribution", "cannot be fixed"),
        ({"p50_seconds": 2, "p99_seconds": 2}, "p99_seconds", "must be greater than p50_seconds, which is 2; got 2"),
        ({"p50_seconds": 1, "p99_seconds": 2, "distribution": "uniform"}, "p99_seconds", "must be at most 1.98"),
        ({"p50_seconds": 1, "p99_seconds": 2.1, "distribution": "normal"}, "p99_seconds", "must be at most 2 with"),
        ({"p50_seconds": 1, "p99_seconds": 7, "distribution": "exponential"}, "p99_seconds", "must be at most 6.64386"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(given: dict[str, Any], field: str, problem: str) -> None:
    with pytest.raises(ValidationError) as refused:
        LatencyInjection.Parameters(**given)
    (error,) = refused.value.errors()
    assert error["type"] == "refused"
    assert error["ctx"]["field"] == field
    assert error["ctx"]["problem"].startswith(problem)
    assert error["ctx"]["allowed"]


@pytest.mark.parametrize("name", ["jitter_seconds", "p50_seconds", "p99_seconds"])
@pytest.mark.parametrize("value", [0, -1, 60.001, "2", True, None, float("nan")])
def test_what_is_no_time_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=name):
        LatencyInjection.Parameters(**{"p50_seconds": 1.0, "p99_seconds": 2.0, name: value})


def test_the_limit_of_a_delay_holds_for_each_parameter_that_says_how_long_delays_are() -> None:
    limits = {"delay_seconds": 5.0, "p99_seconds": 3.0, "memory_mb": 1.0}
    assert LatencyInjection.Parameters.limited(limits) == {
        "delay_seconds": 5.0,
        "jitter_seconds": 5.0,
        "p50_seconds": 5.0,
        "p99_seconds": 3.0,
    }
