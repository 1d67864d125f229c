"""Which experiments there are: one line for each built-in one, and an entry point for each of an installed package."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import entry_points

from ..errors import Misconfigured, UnknownExperiment
from .base import Experiment
from .clock_skew import ClockSkew
from .connection_drop import ConnectionDrop
from .cpu_exhaustion import CpuExhaustion
from .dependency_failure import DependencyFailure
from .disk_exhaustion import DiskExhaustion
from .error_injection import ErrorInjection
from .event_loop_block import EventLoopBlock
from .exception_injection import ExceptionInjection
from .file_descriptor_exhaustion import FileDescriptorExhaustion
from .latency_injection import LatencyInjection
from .process_crash import ProcessCrash
from .resource_exhaustion import ResourceExhaustion
from .response_corruption import ResponseCorruption
from .slow_response import SlowResponse
from .thread_pool_exhaustion import ThreadPoolExhaustion
from .timeout_injection import TimeoutInjection

log = logging.getLogger(__name__)

BUILT_IN: tuple[type[Experiment], ...] = (
    LatencyInjection,
    ErrorInjection,
    ResourceExhaustion,
    DependencyFailure,
    ResponseCorruption,
    SlowResponse,
    CpuExhaustion,
    ThreadPoolExhaustion,
    EventLoopBlock,
    DiskExhaustion,
    FileDescriptorExhaustion,
    ClockSkew,
    ExceptionInjection,
    ProcessCrash,
    ConnectionDrop,
    TimeoutInjection,
)

ENTRY_POINTS = "chaos_experiments.experiments"
"""The group of entry points; each names a class that derives from `Experiment`."""

NUMBERS = (int, float)
"""The types of parameters that can have a limit."""

LONGEST_NAME_SHOWN = 64
"""How much of a caller's text a message repeats, in characters."""


class Catalogue(Mapping[str, Experiment]):
    """Experiments by name. Raises ValueError if two have the same name."""

    def __init__(self, experiments: Iterable[type[Experiment]] = BUILT_IN) -> None:
        self._by_name: dict[str, Experiment] = {}
        for experiment in experiments:
            if experiment.name in self._by_name:
                known = type(self._by_name[experiment.name])
                raise ValueError(f"Two experiments are called {experiment.name!r}: {known}, {experiment}.")
            self._by_name[experiment.name] = experiment()

    def __getitem__(self, name: str) -> Experiment:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def find(self, name: str) -> Experiment:
        """Raises UnknownExperiment, which lists the available ones."""
        if name in self._by_name:
            return self._by_name[name]
        available = ", ".join(self)
        raise UnknownExperiment(
            f"There is no experiment {name[:LONGEST_NAME_SHOWN]!r}. experiment_name must be one of {available}.",
            resultset={"available_experiments": list(self)},
        )

    def check_limits(self, limits: Iterable[str]) -> None:
        """Raises Misconfigured for a limit of a parameter that no experiment has: it would protect nothing."""
        known = {
            name
            for experiment in self.values()
            for name, field in experiment.Parameters.model_fields.items()
            if field.annotation in NUMBERS
        }
        unknown = [name for name in limits if name not in known]
        if unknown:
            names = ", ".join(f"CHAOS_MAX_{name.upper()}" for name in unknown)
            allowed = ", ".join(f"CHAOS_MAX_{name.upper()}" for name in sorted(known))
            raise Misconfigured(
                f"{names} limits no parameter of any experiment. Correct or remove the variable. Allowed: {allowed}."
            )


@cache
def installed() -> Catalogue:
    """The built-in experiments, and those that installed packages add. A broken entry point is logged and skipped."""
    catalogue = Catalogue()
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            catalogue = Catalogue([*(type(each) for each in catalogue.values()), entry.load()])
        except Exception:
            log.exception("Skipped the experiment of the entry point %s", entry)
    return catalogue
