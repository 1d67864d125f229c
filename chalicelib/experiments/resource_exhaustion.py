from collections.abc import Iterator

from pydantic import Field

from .. import experiment
from ..faults import Chance, Fault, Hold


class ResourceExhaustion(experiment.Experiment):
    """Holds memory in every environment that serves requests, as a leak would."""

    name = "resource_exhaustion"

    class Parameters(experiment.Parameters):
        memory_mb: int = Field(
            100, ge=1, description="How much memory each environment holds.", json_schema_extra={"unit": "MB"}
        )

    def faults(self, parameters: Parameters, chance: Chance) -> Iterator[Fault]:
        del chance
        yield Hold(parameters.memory_mb)

    def limits(self, spare_memory_mb: int) -> experiment.Limits:
        return {"memory_mb": spare_memory_mb}
