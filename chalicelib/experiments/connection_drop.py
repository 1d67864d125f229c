from collections.abc import Iterator

from pydantic import Field

from ..faults.base import Fault
from ..faults.disconnect import DropConnection, DropWithin
from . import base

MOST_BYTES = 1024 * 1024 * 1024


class ConnectionDrop(base.Experiment):
    """Close the connection without an answer, or in the middle of one."""

    name = "connection_drop"

    class Parameters(base.Parameters):
        after_bytes: int = Field(
            0,
            ge=0,
            le=MOST_BYTES,
            description="How many bytes of the answer's body are sent before the connection is closed. With 0 it is "
            "closed without any answer, and the application does not handle the request. Otherwise it does; an answer "
            "that is shorter passes whole.",
            examples=[100],
            json_schema_extra={"unit": "bytes"},
        )

    def faults(self, parameters: Parameters) -> Iterator[Fault]:
        if parameters.after_bytes:
            yield DropWithin(after_bytes=parameters.after_bytes)
        else:
            yield DropConnection()
