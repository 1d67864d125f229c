"""The registry: one line an experiment, and nothing else has to change."""

from ..errors import UnknownExperiment
from .base import Experiment
from .error_injection import ErrorInjection
from .latency_injection import LatencyInjection
from .resource_exhaustion import ResourceExhaustion

REGISTERED: tuple[type[Experiment], ...] = (
    LatencyInjection,
    ErrorInjection,
    ResourceExhaustion,
)


def registry(experiments: tuple[type[Experiment], ...] = REGISTERED) -> dict[str, Experiment]:
    """Experiments by name. Raises ValueError where two have the same one."""
    by_name: dict[str, Experiment] = {}
    for experiment in experiments:
        if experiment.name in by_name:
            raise ValueError(
                f"Two experiments are called {experiment.name!r}: {by_name[experiment.name]}, {experiment}."
            )
        by_name[experiment.name] = experiment()
    return by_name


EXPERIMENTS = registry()

LONGEST_SHOWN = 64
"""How much of a caller's text a message repeats, in characters."""


def find(name: str) -> Experiment:
    """Raises UnknownExperiment, which lists what there is."""
    try:
        return EXPERIMENTS[name]
    except KeyError:
        msg = (
            f"There is no experiment {name[:LONGEST_SHOWN]!r}. experiment_name must be one of {', '.join(EXPERIMENTS)}."
        )
        raise UnknownExperiment(msg, resultset={"available_experiments": list(EXPERIMENTS)}) from None
