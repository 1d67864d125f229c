from collections.abc import Iterator
from typing import Literal, Self, cast

from pydantic import Field, model_validator

from ..faults.base import Fault
from ..faults.corrupt import Corrupt, Mode
from . import base

SHARES: dict[Mode, float] = {
    "truncate": 50.0,
    "malformed_json": 50.0,
    "wrong_type": 100.0,
    "empty": 100.0,
    "bit_flip": 1.0,
}
"""The percentage of the body of each mode, where it is not said."""

WHOLE = 100


class ResponseCorruption(base.Experiment):
    """Corrupt the body of each answer, which is then cut off or not what clients expect."""

    name = "response_corruption"

    class Parameters(base.Parameters):
        mode: Mode = Field(
            "truncate",
            description="What happens to the body. truncate: its end is missing. empty: all of it is. bit_flip: bits "
            "are others. malformed_json: JSON that no parser takes. wrong_type: JSON of other types: numbers, true, "
            "false and null as texts, texts as numbers, lists as objects. The last two change JSON alone, also "
            "compressed by gzip or deflate.",
            examples=["malformed_json"],
        )
        percentage_of_body: float = Field(
            default=cast("float", None),
            gt=0,
            le=100,
            description="truncate: how much of the body is kept (50, if it is not set). malformed_json: how much of "
            "it is as ever before the mistake (50). wrong_type: how many of the values change (100). bit_flip: how "
            "many bytes do (1). At least one byte, or value, is hit.",
            examples=[20.0],
            json_schema_extra={"unit": "percent"},
        )
        content_length: Literal["right", "wrong"] = Field(
            "right",
            description="right: Content-Length fits what is sent. wrong: it promises more, and the connection is "
            "closed before; so is a stream, before its end.",
            examples=["wrong"],
        )

        @model_validator(mode="after")
        def _agrees(self) -> Self:
            """Raises where two parameters contradict each other."""
            if self.mode == "empty" and "percentage_of_body" in self.model_fields_set:
                problem = "cannot be with the mode empty, which leaves nothing of the body: leave it out"
                raise base.refusal("percentage_of_body", problem, "with another mode")
            return self

    def faults(self, parameters: Parameters) -> Iterator[Fault]:
        chosen = parameters.model_dump(exclude_none=True)
        yield Corrupt(
            mode=parameters.mode,
            body_share=chosen.get("percentage_of_body", SHARES[parameters.mode]) / WHOLE,
            is_length_wrong=parameters.content_length == "wrong",
        )
