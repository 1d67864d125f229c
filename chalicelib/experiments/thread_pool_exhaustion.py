from collections.abc import Iterator

from pydantic import Field

from ..faults.base import Fault
from ..faults.thread_pool import HoldThreads
from . import base

MOST_LEFT = 1000


class ThreadPoolExhaustion(base.Experiment):
    """Keep the threads that serve requests busy in each environment, as calls without a time-out would."""

    name = "thread_pool_exhaustion"

    class Parameters(base.Parameters):
        threads_left: int = Field(
            1,
            ge=1,
            le=MOST_LEFT,
            description="How many threads of each pool go on to work until the run ends: the pool of the server, "
            "what limits the threads of Starlette and FastAPI, and the default executor of asyncio.",
            examples=[2],
            json_schema_extra={"unit": "threads"},
        )

    def faults(self, parameters: Parameters) -> Iterator[Fault]:
        yield HoldThreads(threads_left=parameters.threads_left)
