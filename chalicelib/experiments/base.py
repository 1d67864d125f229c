"""What every experiment is made of; the experiments themselves are the files of `experiments/`."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from ..faults.base import Fault, Kind

Limits = Mapping[str, float]
"""The largest value of a parameter that this process allows now, by the parameter's name."""


REFUSED = "refused"
"""The type of error of a value that its field's schema allows, and the experiment does not."""


def refusal(field: str, problem: str, allowed: str) -> PydanticCustomError:
    """For a validator to raise: what is wrong with a field, and what it may be, where its schema cannot say it.

    The words are the caller's to read: `delay_seconds` "cannot be with p50_seconds: leave one of them out".
    """
    return PydanticCustomError(REFUSED, "{field} {problem}", {"field": field, "problem": problem, "allowed": allowed})


@dataclass(frozen=True, slots=True)
class LimitOf:
    """In the annotation of a parameter: the limit of another one holds for it, too, of the stage or the environment."""

    parameter: str


class Parameters(BaseModel):
    """What a run is started with. A field is its JSON, its validation, its limits and its documentation.

    One that says nothing where it is left out has the default None, and is then not stored: an older version goes on to
    read the runs that do not use it.
    """

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

    @classmethod
    def limited(cls, limits: Limits) -> Limits:
        """What the limits of a stage, or of an environment, are for these parameters."""
        own = {name: [name, *_others(field)] for name, field in cls.model_fields.items()}
        holding = {name: [limits[each] for each in names if each in limits] for name, names in own.items()}
        return {name: min(each) for name, each in holding.items() if each}


def _others(field: FieldInfo) -> list[str]:
    """The parameters whose limits hold for a field, beside its own."""
    return [each.parameter for each in field.metadata if isinstance(each, LimitOf)]


class Experiment(ABC):
    """A kind of fault. Stateless: one instance serves every run and every request."""

    name: ClassVar[str]
    applies_to: ClassVar[Kind] = "request"
    """Which calls its runs hit: the requests that their target matches, or the outgoing calls made meanwhile."""
    Parameters: ClassVar[type[Parameters]]

    @property
    def description(self) -> str:
        """The first line of the class's docstring."""
        return (type(self).__doc__ or "").strip().partition("\n")[0]

    def most_hits(self, parameters: Any) -> int | None:  # noqa: ANN401 - as below
        """How many calls a run hits at most, in all environments together; None where nothing limits it.

        A start has it as its `max_requests`, unless it says fewer.
        """
        del parameters
        return None

    @abstractmethod
    def faults(self, parameters: Any) -> Iterator[Fault]:  # noqa: ANN401 - each experiment has its own
        """What a run with these parameters does to each call that it hits. Pure, and called once for a run."""
