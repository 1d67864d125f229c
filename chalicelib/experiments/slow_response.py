from collections.abc import Iterator

from pydantic import Field

from ..faults.base import Fault
from ..faults.slow import Slow
from . import base


class SlowResponse(base.Experiment):
    """Send the body of each answer slowly, as a bad network would."""

    name = "slow_response"

    class Parameters(base.Parameters):
        bytes_per_second: float = Field(
            1000.0,
            ge=0.1,
            description="How fast the body of an affected answer comes. Its first byte comes at once.",
            examples=[1000.0],
            json_schema_extra={"unit": "bytes per second"},
        )

    def faults(self, parameters: Parameters) -> Iterator[Fault]:
        yield Slow(bytes_per_second=parameters.bytes_per_second)
