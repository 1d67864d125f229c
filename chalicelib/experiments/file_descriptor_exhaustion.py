from collections.abc import Iterator

from pydantic import Field

from ..faults.base import Fault
from ..faults.descriptors import HoldDescriptors
from . import base

LEAST = 8
"""The server needs one for each connection, and whoever stops the run may come with several."""

MOST = 100_000


class FileDescriptorExhaustion(base.Experiment):
    """Hold all but a few file descriptors in each environment, as files that are never closed would."""

    name = "file_descriptor_exhaustion"

    class Parameters(base.Parameters):
        descriptors_left: int = Field(
            20,
            ge=LEAST,
            le=MOST,
            description="How many file descriptors are left to each process below its limit (`ulimit -n`) when it is "
            "hit. The application, and connections to its server, share them: whoever needs more gets EMFILE.",
            examples=[20],
            json_schema_extra={"unit": "descriptors"},
        )

    def faults(self, parameters: Parameters) -> Iterator[Fault]:
        yield HoldDescriptors(left=parameters.descriptors_left)
