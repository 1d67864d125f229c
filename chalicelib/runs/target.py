"""Which calls a run may hit, declared once: the request, what is stored, echoed and published are made of this model.

It needs pydantic, so it is imported only where a run starts, is shown or is compiled: never by a process in which
nothing runs.
"""

import hashlib
from typing import Any, Protocol, Self, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

CRITERIA = ("environments_percentage",)
"""The fields of a target, of which at least one is required."""

WHOLE = 100.0
HASH_BYTES = 8


class Requested(Protocol):
    """A call, as far as a target is concerned."""


class Check(Protocol):
    """One criterion of a target."""

    name: str
    allowed: Any

    def matches(self, call: Requested) -> bool: ...

    def seen(self, call: Requested) -> Any: ...  # noqa: ANN401 - JSON


class Matcher(Protocol):
    """All criteria of a target that are about calls."""

    criteria: tuple[Check, ...]

    def __call__(self, call: Requested) -> bool: ...


class Target(BaseModel):
    """Which calls the run may hit; all others stay untouched, and are counted as such."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        json_schema_extra={"anyOf": [{"required": [name]} for name in CRITERIA]},
    )

    environments_percentage: float = Field(
        default=cast("float", None),
        gt=0,
        le=WHOLE,
        description="Share of the environments in which the run hits anything, in percent. Each environment is chosen "
        "by a hash of the run and itself, once for the whole run.",
        examples=[50.0],
        json_schema_extra={"unit": "percent"},
    )

    @model_validator(mode="after")
    def _names_a_criterion(self) -> Self:
        if not self.model_fields_set.intersection(CRITERIA):
            raise PydanticCustomError("no_criterion", "names no criterion")
        return self

    @classmethod
    def stored(cls, content: Any) -> Self | None:  # noqa: ANN401 - whatever another version has stored
        """A target from the table. Raises ValueError for one that this version cannot read: it would hit too much."""
        return None if content is None else cls.model_validate(content)

    def matcher(self) -> "Matcher | None":
        """What tells the calls that it names; None where it names none."""
        return None

    def has_environment(self, run_id: str, environment: str, function: str = "") -> bool:  # noqa: ARG002
        """Whether the run may hit calls of this environment. The same answer for as long as the run lasts."""
        share = WHOLE if self.environments_percentage is None else self.environments_percentage
        return _place(run_id, environment) * WHOLE < share


def _place(run_id: str, environment: str) -> float:
    """Where the environment stands in this run, from 0 up to, not including, 1: spread evenly, anew for each run."""
    digest = hashlib.sha256(f"{run_id} {environment}".encode()).digest()
    return int.from_bytes(digest[:HASH_BYTES]) / float(2 ** (8 * HASH_BYTES))
