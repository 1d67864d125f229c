"""A host whose processes note that they were born, and that answers much."""

import os
from collections.abc import Iterator
from pathlib import Path

import fastapi
from fastapi.responses import StreamingResponse

from chalicelib.frameworks.fastapi import ChaosExperiments

with Path(os.environ["BORN"]).open("a") as born:
    born.write(f"{os.getpid()}\n")

app = fastapi.FastAPI()
ChaosExperiments(app, excluded_paths=["/health"])


@app.get("/orders")
async def orders() -> fastapi.Response:
    return fastapi.Response("x" * 300_000)


@app.get("/stream")
async def stream() -> fastapi.Response:
    def parts() -> Iterator[str]:
        for _ in range(300):
            yield "x" * 1000

    return StreamingResponse(parts())


@app.get("/health")
async def health() -> str:
    return "good"
