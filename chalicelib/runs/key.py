"""What tells one caller, order or customer from another: a header or a value of the query, and what a call has there.

As `target.py`, it needs pydantic and is imported only where a run starts, is shown or is compiled.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Protocol, Self, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from .condition import HEADER, QUERY_NAME, refused

PLACES = ("header", "query")
"""The fields of a key, of which exactly one is required."""


class Keyed(Protocol):
    """A call, as far as a key is concerned."""

    def header(self, name: str) -> str | None:
        """The value of a header, whose name is given in lower case."""

    def query(self, name: str) -> Sequence[str]:
        """The values that the query has by this name, decoded; none where it does not have the name."""


ReadKey = Callable[[Keyed], str | None]
"""From a call to its key; None where it has none, or an empty one."""


class Key(BaseModel):
    """Where the key of a call is: in a header, or in the query."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        json_schema_extra={"oneOf": [{"required": [name]} for name in PLACES]},
    )

    header: Annotated[str, AfterValidator(HEADER.check), HEADER.published()] = Field(
        default=cast("str", None), description="Name of the header that has the key.", examples=["x-user-id"]
    )
    query: Annotated[str, AfterValidator(QUERY_NAME.check), QUERY_NAME.published()] = Field(
        default=cast("str", None), description="Name in the query that has the key.", examples=["user"]
    )

    @model_validator(mode="after")
    def _names_one_place(self) -> Self:
        if len(self.model_fields_set.intersection(PLACES)) != 1:
            raise refused(f"it has neither or both; send {' or '.join(PLACES)}")
        return self

    @classmethod
    def stored(cls, content: Any) -> Self:  # noqa: ANN401 - whatever another version has stored
        """A key from the table. Raises ValueError for one that this version cannot read."""
        return cls.model_validate(content)

    def reader(self) -> ReadKey:
        """How the key of a call is read."""
        if "query" in self.model_fields_set:
            query = self.query
            return lambda call: next(iter(call.query(query)), "") or None
        header = self.header.lower()
        return lambda call: call.header(header) or None
