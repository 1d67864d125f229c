"""What a host has: a client library, its own use of the clock, and a probe."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import fastapi
import httpx2
from probe import Probe

from chalicelib.frameworks.fastapi import ChaosExperiments

UPSTREAM = os.environ["UPSTREAM"]


@asynccontextmanager
async def lifespan(_app: fastapi.FastAPI) -> AsyncIterator[None]:
    beating = asyncio.create_task(probe.beat())
    yield
    beating.cancel()


app = fastapi.FastAPI(lifespan=lifespan)
ChaosExperiments(app, excluded_paths=["/health"])


def now() -> list[float]:
    return [time.time(), datetime.now().timestamp()]  # noqa: DTZ005 - as hosts do


@app.get("/orders/{number}", status_code=201)
async def order(number: str) -> dict[str, object]:
    try:
        async with httpx2.AsyncClient(verify=False, trust_env=False) as client:
            status = (await client.get(UPSTREAM, timeout=5)).status_code
    except httpx2.HTTPError:
        status = 0
    return {"order": number, "now": now(), "upstream": status}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"health": "good"}


probe = Probe(now)
