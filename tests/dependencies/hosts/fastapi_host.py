from typing import Annotated, Any

import fastapi

from chalicelib.frameworks.fastapi import ChaosExperiments
from tests.dependencies.chained import served_on_loop

app = fastapi.FastAPI()
ChaosExperiments(app)


@app.get("/chain")
async def chain(
    baggage: Annotated[str | None, fastapi.Header()] = None, then: Annotated[list[str] | None, fastapi.Query()] = None
) -> dict[str, Any]:
    return await served_on_loop(baggage, then or [])
