"""An order service. Its stock is slow, and feels the experiments; the orders and the health check do not.

Its checkout depends on a payment service, a table and a cache, which experiments can let fail.
"""

import asyncio
from dataclasses import asdict

from chaos_experiments.frameworks.fastapi import ChaosExperiments
from checkout import check_out, running
from fastapi import FastAPI, Request, Response
from ordering import place_order

app = FastAPI()
ChaosExperiments(app, excluded_paths=["/orders", "/health"])
asked = 0


@app.post("/orders")
def order(request: Request, response: Response) -> dict[str, object]:  # in a thread: it blocks
    placed = place_order(str(request.url_for("stock", item="tea")))
    response.status_code = placed.status
    return asdict(placed)


@app.post("/checkout/{item}")
def checkout(item: str, response: Response) -> dict[str, object]:
    done = check_out(item)
    response.status_code = done.status
    return asdict(done)


@app.get("/stock/{item}")
async def stock(item: str) -> dict[str, object]:
    global asked
    asked += 1
    await asyncio.sleep(0.05)
    return {"item": item, "left": 12}


@app.get("/health")
async def health() -> dict[str, object]:
    return {"health": "good", "stock_answered": asked, "charged": len(running.charged)}
