from collections.abc import Iterator

from pydantic import Field

from ..faults.base import Fault
from ..faults.cpu import UseCpu
from . import base

MOST_CORES = 128


class CpuExhaustion(base.Experiment):
    """Use CPU time in each environment that serves requests, as a noisy neighbour or a runaway task would."""

    name = "cpu_exhaustion"

    class Parameters(base.Parameters):
        load: float = Field(
            0.5,
            gt=0,
            le=1,
            description="The share of each core that is used until the run ends: 1 is all of it. Where others need the "
            "core, too, it is shared among them.",
            examples=[0.8],
            json_schema_extra={"unit": "of a core"},
        )

        cores: int = Field(
            1,
            ge=1,
            le=MOST_CORES,
            description="How many cores each environment uses that share of. One that has fewer cores uses fewer.",
            examples=[2],
            json_schema_extra={"unit": "cores"},
        )

    def faults(self, parameters: Parameters) -> Iterator[Fault]:
        yield UseCpu(load=parameters.load, cores=parameters.cores)
