"""The same in FastAPI."""

import asyncio
import os
import random
from pathlib import Path

import fastapi
from fastapi.testclient import TestClient

from chalicelib.frameworks.fastapi import ChaosExperiments

random.seed(0)

app = fastapi.FastAPI()
ChaosExperiments(app, excluded_paths=["/health", "/process"])


@app.get("/orders/{number}", status_code=201)
async def order(number: str) -> dict[str, object]:
    await asyncio.sleep(0.01)
    return {"order": number, "process": os.getpid()}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"health": "good"}


@app.get("/process")
async def process() -> dict[str, int]:
    return {"process": os.getpid()}


for _ in range(int(os.environ.get("WARM", "0"))):
    answer = TestClient(app).get("/orders/0")
    with Path(os.environ["HANDLED"]).open("ab", buffering=0) as hit:
        hit.write(b"." if "X-Chaos-Run" in answer.headers else b"")
