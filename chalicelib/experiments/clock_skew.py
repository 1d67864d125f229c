from collections.abc import Iterator
from typing import Annotated, Self, cast

from pydantic import Field, StringConstraints, model_validator

from ..effects.host_modules import is_exempt
from ..faults.base import Fault
from ..faults.clock_skew import SkewClock
from . import base

LARGEST_SECONDS = 30 * 24 * 3600
MOST_MODULES = 20
ALLOWED = "the name of a module, such as shop.orders, or shop.* for all that is in shop"

Name = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(\.\*)?$", max_length=200),
    Field(json_schema_extra={"allowed": ALLOWED}),
]


class ClockSkew(base.Experiment):
    """Shift the clock that the application's own modules see, as on a machine whose clock is wrong."""

    name = "clock_skew"

    class Parameters(base.Parameters):
        offset_seconds: float = Field(
            300.0,
            ge=-LARGEST_SECONDS,
            le=LARGEST_SECONDS,
            description="By how much the clock is fast, in seconds; slow, if it is negative.",
            examples=[300.0, -3600.0],
            json_schema_extra={"unit": "seconds"},
        )
        modules: Annotated[list[Name], Field(min_length=1, max_length=MOST_MODULES)] = Field(
            default=cast("list[str]", None),
            description="The modules of Python that see the shifted clock: `shop.orders`, or `shop.*` for shop and all "
            "that is in it. If it is not set: all that are neither Python's nor an installed library's.",
            examples=[["shop.*"]],
        )

        @model_validator(mode="after")
        def _leaves_ours(self) -> Self:
            """Raises where a module is named whose clock nobody may shift."""
            exempt = [each for each in self.chosen_modules if is_exempt(each.removesuffix(".*"))]
            if exempt:
                problem = f"must not name {exempt[0]}: signatures, and the end of the run, depend on its clock"
                raise base.refusal("modules", problem, "modules of the application, or of libraries that it uses")
            return self

        @property
        def chosen_modules(self) -> tuple[str, ...]:
            """None where the host's own are meant."""
            chosen: dict[str, list[str]] = self.model_dump(include={"modules"}, exclude_none=True)
            return tuple(chosen.get("modules", ()))

    def faults(self, parameters: Parameters) -> Iterator[Fault]:
        yield SkewClock(seconds=parameters.offset_seconds, modules=parameters.chosen_modules)
