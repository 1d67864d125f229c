from collections.abc import Iterator

from chaos_experiments.experiments import base
from chaos_experiments.faults.answer import Answer
from chaos_experiments.faults.base import Fault
from pydantic import Field


class MaintenanceWindow(base.Experiment):
    """Answer as while the shop is closed for maintenance, and say when it opens again."""

    name = "maintenance_window"

    class Parameters(base.Parameters):
        opens_after_seconds: int = Field(
            120,
            ge=1,
            le=86_400,
            description="What the answers ask their clients to wait, in seconds.",
            examples=[120],
            json_schema_extra={"unit": "seconds"},
        )

    def faults(self, parameters: Parameters) -> Iterator[Fault]:
        yield Answer(
            status=503,
            code="maintenance",
            message="The shop is closed for maintenance",
            headers={"Retry-After": str(parameters.opens_after_seconds)},
        )
