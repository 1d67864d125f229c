"""An order service. Its stock is slow, and feels the experiments; the orders and the health check do not.

Its checkout depends on a payment service, a table and a cache, which experiments can let fail.
"""

import time
from dataclasses import asdict

from chalice import Chalice, Response
from chaos_experiments.frameworks.chalice import ChaosExperiments
from checkout import check_out, running
from ordering import place_order

app = Chalice(app_name="shop")
ChaosExperiments(app, excluded_paths=["/orders", "/health"])
asked = 0


@app.route("/orders", methods=["POST"])
def order() -> Response:
    placed = place_order(f"http://{app.current_request.headers['host']}/stock/tea")
    return Response(asdict(placed), status_code=placed.status)


@app.route("/checkout/{item}", methods=["POST"])
def checkout(item: str) -> Response:
    done = check_out(item)
    return Response(asdict(done), status_code=done.status)


@app.route("/stock/{item}")
def stock(item: str) -> dict[str, object]:
    global asked
    asked += 1
    time.sleep(0.05)
    return {"item": item, "left": 12}


@app.route("/health")
def health() -> dict[str, object]:
    return {"health": "good", "stock_answered": asked, "charged": len(running.charged)}
