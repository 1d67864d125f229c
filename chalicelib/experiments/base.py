"""What every experiment is made of; the experiments themselves are the files of `experiments/`."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from ..faults.base import Fault

Limits = Mapping[str, float]
"""The largest value of a parameter that this process allows now, by the parameter's name."""


class Parameters(BaseModel):
    """What a run is started with. A field is its JSON, its validation, its limits and its documentation."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    duration_seconds: float = Field(
        30.0,
        gt=0,
        description="Time after which the run ends by itself, in seconds.",
        examples=[60.0],
        json_schema_extra={"unit": "seconds"},
    )
    percentage: float = Field(
        100.0,
        gt=0,
        le=100,
        description="Percentage of the requests that the run may hit, chosen at random: 20 is one request in five.",
        examples=[20.0],
        json_schema_extra={"unit": "percent"},
    )


class Experiment(ABC):
    """A kind of fault. Stateless: one instance serves every run and every request."""

    name: ClassVar[str]
    Parameters: ClassVar[type[Parameters]]

    @property
    def description(self) -> str:
        """The first line of the class's docstring."""
        return (type(self).__doc__ or "").strip().partition("\n")[0]

    @abstractmethod
    def faults(self, parameters: Any) -> Iterator[Fault]:  # noqa: ANN401 - each experiment has its own
        """What a run with these parameters does to each call that it hits. Pure, and called once for a run."""

    def limits(self, spare_memory_mb: int) -> Limits:
        """Limits that depend on the environment; none unless an experiment says so."""
        del spare_memory_mb
        return {}
