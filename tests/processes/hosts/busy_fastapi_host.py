"""An application that says how much its process uses, and for how long its event loop stood still."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
import fastapi

from chalicelib.frameworks.fastapi import ChaosExperiments
from tests.processes.at_work import Workshop, used

BEAT_SECONDS = 0.001
NOTABLE_SECONDS = 0.1

late: list[float] = []
"""By how much beats came too late, where that was notable."""


async def beat() -> None:
    while True:
        began = time.perf_counter()
        await anyio.sleep(BEAT_SECONDS)
        lateness = time.perf_counter() - began - BEAT_SECONDS
        if lateness > NOTABLE_SECONDS:
            late.append(lateness)


@asynccontextmanager
async def lifespan(_: fastapi.FastAPI) -> AsyncIterator[None]:
    async with anyio.create_task_group() as group:
        group.start_soon(beat)
        yield
        group.cancel_scope.cancel()


app = fastapi.FastAPI(lifespan=lifespan)
ChaosExperiments(app, excluded_paths=["/state", "/work", "/executor"])
workshop = Workshop()


@app.get("/orders/{number}")
async def order(number: str) -> dict[str, str]:
    return {"order": number}


@app.get("/state")
async def state() -> dict[str, object]:
    limiter = anyio.to_thread.current_default_thread_limiter()
    return {**used(), "borrowed": limiter.borrowed_tokens, "total": limiter.total_tokens, "late": late}


@app.get("/work")
def work(seconds: float) -> dict[str, int]:
    return workshop.work(seconds)


@app.get("/executor")
async def executor(seconds: float) -> dict[str, int]:
    return await asyncio.get_running_loop().run_in_executor(None, workshop.work, seconds)
