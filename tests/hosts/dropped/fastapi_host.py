from collections.abc import AsyncIterator
from typing import Any

import fastapi
from fastapi.responses import PlainTextResponse, StreamingResponse

from chalicelib.frameworks.fastapi import ChaosExperiments
from tests.hosts.dropped.content import LINE, LINES, counted, environment

app = fastapi.FastAPI()
ChaosExperiments(app, excluded_paths=["/health", "/environment"])


@app.get("/orders")
async def orders() -> PlainTextResponse:
    counted()
    return PlainTextResponse(LINE * LINES)


@app.get("/stream")
async def stream() -> StreamingResponse:
    async def lines() -> AsyncIterator[bytes]:
        for _ in range(LINES):
            yield LINE.encode()

    counted()
    return StreamingResponse(lines(), media_type="text/plain")


@app.get("/environment")
async def of_the_process() -> dict[str, int]:
    return environment()


@app.get("/health")
async def health() -> dict[str, str]:
    return {"health": "good"}


async def wrapped(scope: Any, receive: Any, send: Any) -> None:
    """The application in a middleware of another package, which wraps what the server hands over."""

    async def own(message: Any) -> None:
        await send(message)

    await app(scope, receive, own)
