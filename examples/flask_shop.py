"""An order service. Its stock is slow, and feels the experiments; the orders and the health check do not.

Its checkout depends on a payment service, a table and a cache, which experiments can let fail.
"""

import time
from dataclasses import asdict

import flask
from chaos_experiments.frameworks.flask import ChaosExperiments
from checkout import check_out, running
from ordering import place_order

app = flask.Flask(__name__)
ChaosExperiments(app, excluded_paths=["/orders", "/health"])
asked = 0


@app.post("/orders")
def order() -> tuple[dict[str, object], int]:
    placed = place_order(flask.url_for("stock", item="tea", _external=True))
    return asdict(placed), placed.status


@app.post("/checkout/<item>")
def checkout(item: str) -> tuple[dict[str, object], int]:
    done = check_out(item)
    return asdict(done), done.status


@app.get("/stock/<item>")
def stock(item: str) -> dict[str, object]:
    global asked
    asked += 1
    time.sleep(0.05)
    return {"item": item, "left": 12}


@app.get("/health")
def health() -> dict[str, object]:
    return {"health": "good", "stock_answered": asked, "charged": len(running.charged)}
