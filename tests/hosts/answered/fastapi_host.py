import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import fastapi
from fastapi.responses import JSONResponse, Response, StreamingResponse

from chalicelib.frameworks.fastapi import ChaosExperiments
from tests.hosts.answered.content import COOKIE, LARGE, LINES, ORDERS, ZIPPED, Shop


def make() -> fastapi.FastAPI:
    app, shop = fastapi.FastAPI(), Shop()
    ChaosExperiments(app, excluded_paths=["/state", "/open"])
    app.get("/state")(shop.state)
    app.get("/open")(shop.open)

    @app.get("/large")
    async def large() -> Response:
        return Response(LARGE, media_type="application/octet-stream")

    @app.get("/zipped")
    async def zipped() -> Response:
        return Response(ZIPPED, media_type="application/json", headers={"Content-Encoding": "gzip"})

    @app.api_route("/orders", methods=["GET", "HEAD"])
    async def orders() -> Response:
        return JSONResponse(ORDERS, headers={"Set-Cookie": COOKIE})

    @app.post("/orders", status_code=201)
    async def order(item: dict[str, Any], idempotency_key: Annotated[str | None, fastapi.Header()] = None) -> Any:
        shop.order(item["name"], idempotency_key)
        return {"ordered": "yes"}

    _add_streams(app, shop)
    return app


def _add_streams(app: fastapi.FastAPI, shop: Shop) -> None:
    @app.get("/stream")
    async def stream() -> Response:
        def lines() -> Iterator[bytes]:  # each on a thread of Starlette's
            return (line() for line in shop.lines())

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    @app.get("/endless")
    async def endless() -> Response:
        async def lines() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield LINES[0]
                    await asyncio.sleep(0)
            finally:
                shop.closed += 1

        return StreamingResponse(lines(), media_type="application/x-ndjson")
