from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self, cast

from pydantic import Field, model_validator

from ..faults.base import Fault
from ..faults.distributions import LARGEST_RATIO, fitted, spread
from ..faults.wait import LONGEST_SECONDS, Quantile, Wait
from . import base

DELAY = base.LimitOf("delay_seconds")
Distribution = Literal["fixed", "uniform", "normal", "exponential", "pareto"]

WITHOUT_JITTER = ("fixed", "exponential")
"""The distributions that a mean says all of."""

WITHIN_THE_DELAY = ("uniform", "normal")
"""The distributions of which a jitter above the delay would make many delays negative."""

NEVER_ZERO = ("exponential", "pareto")
"""The distributions that a mean of 0 makes no distribution of."""

MEAN = {"delay_seconds", "jitter_seconds", "distribution"}
PERCENTILES = ("p50_seconds", "p99_seconds")


class LatencyInjection(base.Experiment):
    """Delay each request, as a slow dependency would."""

    name = "latency_injection"

    class Parameters(base.Parameters):
        delay_seconds: float = Field(
            2.0,
            ge=0,
            le=LONGEST_SECONDS,
            description="Time that each affected request waits before the application handles it, in seconds.",
            examples=[2.0],
            json_schema_extra={"unit": "seconds"},
        )
        allow_timeout: bool = Field(
            default=False,
            description="Allow the delay to exceed the time that a request may take: of a Lambda invocation, of API "
            "Gateway, of the server's worker. If false, the delay is cut so that 0.5 seconds remain.",
        )
        jitter_seconds: Annotated[float, DELAY] = Field(
            default=cast("float", None),
            gt=0,
            le=LONGEST_SECONDS,
            description="By how much delays differ from the delay above, their mean: at most by this with the "
            "distribution uniform; their standard deviation with normal and pareto. If it is not set, they do not "
            "differ, except with the distribution exponential.",
            examples=[0.5],
            json_schema_extra={"unit": "seconds"},
        )
        distribution: Distribution = Field(
            default=cast("Distribution", None),
            description="How the delays are distributed around the delay above, their mean. If it is not set: uniform "
            "with a jitter, pareto with percentiles, otherwise fixed. No delay is below 0, or above 60 seconds "
            "or the limit of the stage.",
            examples=["pareto"],
        )
        p50_seconds: Annotated[float, DELAY] = Field(
            default=cast("float", None),
            gt=0,
            le=LONGEST_SECONDS,
            description="Median of the delays, in seconds. With the 99th percentile, and instead of delay and "
            "jitter: the distribution is fitted to both.",
            examples=[0.2],
            json_schema_extra={"unit": "seconds"},
        )
        p99_seconds: Annotated[float, DELAY] = Field(
            default=cast("float", None),
            gt=0,
            le=LONGEST_SECONDS,
            description="99th percentile of the delays, in seconds: one in a hundred is longer. With the median.",
            examples=[3.0],
            json_schema_extra={"unit": "seconds"},
        )

        @model_validator(mode="after")
        def _agrees(self) -> Self:
            """Raises where two parameters contradict each other."""
            if self.model_fields_set.isdisjoint(PERCENTILES):
                _check_jitter(**self.model_dump(include=MEAN))
            else:
                _check_percentiles(self.model_dump(include=self.model_fields_set))
                object.__setattr__(self, "delay_seconds", None)  # its default would say another delay
            return self

        def quantile(self) -> Quantile | None:
            """How delays differ; None where they do not."""
            chosen: Mapping[str, Any] = self.model_dump(exclude_none=True)
            if "p50_seconds" in chosen:
                return fitted(chosen.get("distribution", "pareto"), self.p50_seconds, self.p99_seconds)
            jitter = chosen.get("jitter_seconds")
            name = chosen.get("distribution", "uniform" if jitter else "fixed")
            return None if name == "fixed" else spread(name, self.delay_seconds, jitter)

    def faults(self, parameters: Parameters) -> Iterator[Fault]:
        if quantile := parameters.quantile():
            yield Wait(quantile=quantile, allow_timeout=parameters.allow_timeout)
        else:
            yield Wait(seconds=parameters.delay_seconds, allow_timeout=parameters.allow_timeout)


def _check_jitter(delay_seconds: float, jitter_seconds: float | None, distribution: Distribution | None) -> None:
    """Of delays that are given by their mean. Raises where something is too much, or missing."""
    name, jitter, delay = distribution, jitter_seconds, delay_seconds
    if name in WITHOUT_JITTER and jitter:
        raise base.refusal(
            "jitter_seconds",
            f"cannot be with the distribution {name}, which has none: leave one of them out",
            "with the distribution uniform, normal or pareto",
        )
    if name and name not in WITHOUT_JITTER and not jitter:
        raise base.refusal(
            "jitter_seconds",
            f"is missing: the distribution {name} needs it, or p50_seconds and p99_seconds instead of delay_seconds",
            "a number greater than 0",
        )
    if jitter and (name or "uniform") in WITHIN_THE_DELAY and jitter > delay:
        raise base.refusal(
            "jitter_seconds",
            f"must be at most delay_seconds, which is {delay:g}, or delays would be negative; got {jitter:g}. The "
            "distribution pareto allows more",
            f"at most {delay:g}",
        )
    if name in NEVER_ZERO and not delay:
        problem = f"must be greater than 0 with the distribution {name}; got 0"
        raise base.refusal("delay_seconds", problem, "a number greater than 0")


def _check_percentiles(given: Mapping[str, Any]) -> None:
    """Of delays that are given by their percentiles."""
    for name in PERCENTILES:
        if name not in given:
            problem = "is missing: p50_seconds and p99_seconds need each other"
            raise base.refusal(name, problem, "a number greater than 0")
    for name in ("delay_seconds", "jitter_seconds"):
        if name in given:
            raise base.refusal(
                name,
                "cannot be with p50_seconds and p99_seconds, which say how long delays are: leave it out, or both of "
                "them",
                "without p50_seconds and p99_seconds",
            )
    name = given.get("distribution", "pareto")
    if name == "fixed":
        raise base.refusal(
            "distribution",
            "cannot be fixed with p50_seconds and p99_seconds: choose another one, or send delay_seconds alone",
            "one of uniform, normal, exponential, pareto",
        )
    _check_tail(name, *(given[each] for each in PERCENTILES))


def _check_tail(name: str, p50: float, p99: float) -> None:
    """Whether the distribution can have these percentiles."""
    most = LARGEST_RATIO[name] * p50
    if p99 <= p50:
        problem = f"must be greater than p50_seconds, which is {p50:g}; got {p99:g}"
        raise base.refusal("p99_seconds", problem, f"a number greater than {p50:g}")
    if p99 > most:
        raise base.refusal(
            "p99_seconds",
            f"must be at most {most:g} with the distribution {name} and p50_seconds {p50:g}, or delays would be "
            f"negative; got {p99:g}. The distribution pareto allows more",
            f"a number of at most {most:g}",
        )
