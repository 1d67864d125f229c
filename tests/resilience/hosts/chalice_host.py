"""What a host has: a client library, its own use of the clock, and a probe."""

import os
import time
from datetime import datetime

import requests
from chalice.app import Chalice, Response
from probe import Probe

from chalicelib.frameworks.chalice import ChaosExperiments

UPSTREAM = os.environ["UPSTREAM"]

app = Chalice(app_name="host")
ChaosExperiments(app, excluded_paths=["/health"])


def now() -> list[float]:
    return [time.time(), datetime.now().timestamp()]  # noqa: DTZ005 - as hosts do


@app.route("/orders/{number}")
def order(number: str) -> Response:
    try:
        status = requests.get(UPSTREAM, timeout=5).status_code
    except requests.RequestException:
        status = 0
    return Response({"order": number, "now": now(), "upstream": status}, status_code=201)


@app.route("/health")
def health() -> dict[str, str]:
    return {"health": "good"}


probe = Probe(now)
