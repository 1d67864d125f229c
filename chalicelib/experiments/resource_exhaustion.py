from collections.abc import Iterator

from pydantic import Field

from ..faults.base import Fault
from ..faults.hold import Hold
from . import base


class ResourceExhaustion(base.Experiment):
    """Hold memory in each environment that serves requests, as a leak would."""

    name = "resource_exhaustion"

    class Parameters(base.Parameters):
        memory_mb: int = Field(
            100,
            ge=1,
            description="Memory that each environment holds until the run ends, in MB. An environment holds less if it "
            "cannot spare that much.",
            examples=[100],
            json_schema_extra={"unit": "MB"},
        )

    def faults(self, parameters: Parameters) -> Iterator[Fault]:
        yield Hold(megabytes=parameters.memory_mb)

    def limits(self, spare_memory_mb: int) -> base.Limits:
        return {"memory_mb": spare_memory_mb}
