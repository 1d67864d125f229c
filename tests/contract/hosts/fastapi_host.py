import os

import fastapi

from chalicelib.frameworks.fastapi import ChaosExperiments

HANDLED = os.environ["HANDLED"]

app = fastapi.FastAPI()
ChaosExperiments(app, excluded_paths=["/health"])


@app.get("/orders/{number}", status_code=201)
async def order(number: str, response: fastapi.Response) -> dict[str, object]:
    with open(HANDLED, "ab", buffering=0) as handled:  # noqa: ASYNC230
        handled.write(b".")
    response.headers["X-Own"] = "1"
    return {"order": number}


@app.get("/chaos_experiments/own/{name}")
async def own(name: str) -> dict[str, str]:
    return {"own": name}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"health": "good"}


@app.get("/{rest:path}")
async def page(rest: str) -> fastapi.Response:
    return fastapi.Response(f"the page of {rest}")
