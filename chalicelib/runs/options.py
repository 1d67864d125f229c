"""What a start may have beside the parameters of its experiment, declared once.

The request, what is stored, what is echoed and what `GET /list` publishes are all made of these models.

It needs pydantic, so it is imported only where a run starts, is shown or is judged: never by a process in which nothing
runs.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from .condition import CONTROL
from .key import Key
from .target import Target

LONGEST_REASON = 100
"""In characters. What runs must stay small, because every environment reads it every second."""

MOST_ALARMS = 5
LONGEST_ALARM = 100

BOUNDS = ("max_error_rate", "p95_seconds")
"""The fields of a hypothesis of which at least one is required."""


def _without_control(text: str) -> str:
    if re.search(CONTROL, text):
        raise PydanticCustomError("control", "has control characters")
    return text


OneLine = Annotated[str, AfterValidator(_without_control), Field(json_schema_extra={"not": {"pattern": CONTROL}})]
"""Text without control characters: it is printed in other people's terminals."""

Reason = Annotated[OneLine, Field(max_length=LONGEST_REASON)]
WHY = f"Why, in one line of at most {LONGEST_REASON} characters. The history keeps it."


Judged = Literal["untouched", "hit", "both"]
"""The requests that a hypothesis is about."""


class Hypothesis(BaseModel):
    """What is expected of the requests that no run hits, or of those that this run hits. It needs a bound or both."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        json_schema_extra={"anyOf": [{"required": [name]} for name in BOUNDS]},
    )

    max_error_rate: float = Field(
        default=cast("float", None),
        ge=0,
        le=1,
        description="Largest share of the judged requests that may fail: the application answers with a server error "
        "(5xx), or never. 0.01 is 1 %.",
        examples=[0.01],
        json_schema_extra={"unit": "share"},
    )
    p95_seconds: float = Field(
        default=cast("float", None),
        gt=0,
        le=900,
        description="Longest 95th percentile of the response times of the judged requests, in seconds.",
        examples=[1.5],
        json_schema_extra={"unit": "seconds", "label": "P95 response time"},
    )
    min_requests: int = Field(
        default=50,
        ge=1,
        le=1_000_000,
        description="How many judged requests are needed for a verdict. With fewer it is `too_few_requests`.",
    )
    of: Judged = Field(
        default="untouched",
        description="The requests that are judged: those that no run hits, those that this run hits (how the "
        "application copes with the fault; injected errors do not count as failures), or both, each by itself. Where "
        "outgoing calls are hit, hit is the natural one: what the application answers when its calls fail.",
        json_schema_extra={"label": "Judged requests"},
    )
    baseline_seconds: float = Field(
        default=0.0,
        ge=0,
        le=60,
        description="For how long at the beginning of the run nothing is hit, to know what is usual. It is part of "
        "the duration.",
        examples=[10.0],
        json_schema_extra={"unit": "seconds"},
    )
    abort: bool = Field(
        default=False, description="Abort the run in all environments as soon as the hypothesis fails beyond chance."
    )

    @model_validator(mode="after")
    def _names_a_bound(self) -> Self:
        if not self.model_fields_set.intersection(BOUNDS):
            raise PydanticCustomError("no_bound", "names no bound")
        return self

    @property
    def judges_untouched(self) -> bool:
        """Whether it needs requests that no run hits."""
        return self.of != "hit"

    @classmethod
    def stored(cls, content: Mapping[str, Any]) -> Self | None:
        """A hypothesis from the table; None for one that this version cannot judge."""
        known = {name: content[name] for name in cls.model_fields if content.get(name) is not None}
        try:
            return cls.model_validate(known)
        except ValidationError:
            return None


LONGEST_LABEL = 64
LABEL = "^[A-Za-z0-9][A-Za-z0-9_.-]*$"

Label = Annotated[str, Field(min_length=1, max_length=LONGEST_LABEL, pattern=LABEL)]
"""What tells a run from the others that run. It is in the sort key of its item."""


class First(BaseModel):
    """Only the first calls are hit: of each key, or of the whole run."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    requests: int = Field(
        ge=1,
        le=1_000,
        description="How many calls are hit; the next ones are not. Exact in all environments together.",
        examples=[2],
    )
    key: Key | None = Field(
        default=None,
        description="What the first calls are counted by: each value has its own first ones. Without it, they are the "
        "first ones of the whole run.",
    )


class StartOptions(BaseModel):
    """What a start may have beside the parameters of its experiment: it is stored with the run, and echoed."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    reason: Reason | None = Field(default=None, description=WHY, examples=["Game day: slow payments"])
    alarms: list[Annotated[OneLine, Field(min_length=1, max_length=LONGEST_ALARM)]] = Field(
        default=[],
        max_length=MOST_ALARMS,
        description="Names of CloudWatch alarms. While one of them is in state ALARM nothing starts; as soon as one "
        "goes into ALARM the run is aborted.",
        examples=[["orders-5xx"]],
    )
    hypothesis: Hypothesis | None = Field(
        default=None, description="What is expected of the requests. The run then gets a verdict."
    )
    target: Target | None = Field(
        default=None, description="Which calls the run may hit. The others stay untouched: a control group."
    )

    max_requests: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="How many calls are hit in all environments together. With the last one the run is completed. "
        "Never more; a few less where an environment ends that has reserved some.",
        examples=[100],
    )
    first: First | None = Field(
        default=None, description="Hit only the first calls, of each key or of the whole run: retries then succeed."
    )
    every: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Of the calls that the run would hit, hit each so many-th one of an environment: 3 is the third, "
        "the sixth, and so on.",
        examples=[3],
    )
    sticky: Key | None = Field(
        default=None,
        description="Decide by a key instead of by chance: the same key is always hit, or never, in every environment. "
        "A call without the key is not hit.",
    )
    seed: Annotated[OneLine, Field(min_length=1, max_length=LONGEST_REASON)] | None = Field(
        default=None,
        description="Makes the decisions replayable: two runs with the same seed hit the same keys, or the same calls "
        "in order of each environment.",
        examples=["2026-11-25"],
    )
    ramp_seconds: float | None = Field(
        default=None,
        gt=0,
        le=3600,
        allow_inf_nan=False,
        description="For how long from its start the share of calls that are hit grows from 0 to percentage.",
        examples=[30.0],
        json_schema_extra={"unit": "seconds"},
    )
    dry_run: bool = Field(
        default=False,
        description="Decide, count and name in a header (X-Chaos-Dry-Run) what would be hit, and do nothing.",
    )
    propagate: bool = Field(
        default=False,
        description="Hit the same requests in all services of a chain: each sends along what it has decided, and a run "
        "with the same label takes that instead of its own target and percentage. Needs CHAOS_PROPAGATION_KEY.",
        json_schema_extra={"label": "Travels between services"},
    )
    label: Label | None = Field(
        default=None,
        description="Name of this run, of which only one can be active. With labels an experiment can be active "
        "several times. Default: the name of the experiment.",
        examples=["slow-orders"],
        json_schema_extra={
            "allowed": f"letters, digits, dots, hyphens and underscores, with a letter or a digit first, at most "
            f"{LONGEST_LABEL} characters"
        },
    )

    def content(self) -> dict[str, Any]:
        """The JSON that is stored: the options that were chosen, each complete, without nulls.

        The label is not among them: the run itself has it.
        """
        fields = StartOptions.model_fields.keys() - {"label"}
        dumped = self.model_dump(mode="json", include=set(fields), exclude_none=True)
        return {name: value for name, value in dumped.items() if value != StartOptions.model_fields[name].default}
