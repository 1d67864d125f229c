from collections.abc import Iterator
from typing import cast

from pydantic import Field, field_validator

from ..faults.base import Fault
from ..faults.disk import HoldDisk
from . import base

MOST_MB = 1_000_000
ALLOWED = "the path of a folder, from / on, such as /var/log"


class DiskExhaustion(base.Experiment):
    """Hold disk space in each environment that serves requests, as forgotten files would."""

    name = "disk_exhaustion"

    class Parameters(base.Parameters):
        disk_mb: int = Field(
            100,
            ge=1,
            le=MOST_MB,
            description="Disk space that each environment holds until the run ends, in MB. 64 MB or a tenth of the "
            "file system stay free, whichever is more: ask for more than there is to fill it up to that.",
            examples=[100],
            json_schema_extra={"unit": "MB"},
        )
        path: str = Field(
            default=cast("str", None),
            min_length=1,
            max_length=1000,
            pattern=r"^/[^\x00-\x1f]*$",
            json_schema_extra={"allowed": ALLOWED},
            description="The folder whose file system is filled, from / on. It must be there in each environment, "
            "which makes a file without a name in it. If it is not set, that for temporary files.",
            examples=["/var/log"],
        )

        @field_validator("path")
        @classmethod
        def _is_plain(cls, path: str) -> str:
            """Raises where a part of it leads upwards: who reads the run sees which folder it is."""
            if ".." in path.split("/"):
                raise base.refusal("path", "must not contain '..'", ALLOWED)
            return path

    def faults(self, parameters: Parameters) -> Iterator[Fault]:
        chosen = parameters.model_dump(include={"path"}, exclude_none=True)
        yield HoldDisk(megabytes=parameters.disk_mb, path=chosen.get("path"))
