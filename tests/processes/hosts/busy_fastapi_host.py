"""An application that says how much of its process is used, and for how long its event loop stood still."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.to_thread
import fastapi
import sniffio

from chalicelib.frameworks.fastapi import ChaosExperiments

BEAT_SECONDS = 0.001
NOTABLE_SECONDS = 0.02

counting = threading.Lock()
at_work = most = 0
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


@app.get("/orders/{number}")
async def order(number: str) -> dict[str, str]:
    return {"order": number}


@app.get("/state")
async def state() -> dict[str, object]:
    """Since it was asked for the last time."""
    limiter = anyio.to_thread.current_default_thread_limiter()
    beats, late[:] = list(late), []
    return {
        "process": os.getpid(),
        "library": sniffio.current_async_library(),
        "loop": type(asyncio._get_running_loop()).__module__,
        "cpu_seconds": time.process_time(),
        "threads": len(list(Path("/proc/self/task").iterdir())),
        "borrowed": limiter.borrowed_tokens,
        "total": limiter.total_tokens,
        "late": beats,
    }


@app.get("/work")
def work(seconds: float) -> dict[str, int]:
    """How many were at work at a time, at most, since this one began."""
    global at_work, most
    with counting:
        at_work += 1
        most = max(most, at_work)
    time.sleep(seconds)
    with counting:
        at_work -= 1
        seen = most
        most = at_work
    return {"most": seen}


@app.get("/executor")
async def executor(seconds: float) -> dict[str, int]:
    return await asyncio.get_running_loop().run_in_executor(None, work, seconds)
