"""What a host has: a client library, its own use of the clock, and a probe."""

import os
import time
from datetime import datetime

import flask
import requests
from probe import Probe

from chalicelib.frameworks.flask import ChaosExperiments

UPSTREAM = os.environ["UPSTREAM"]

app = flask.Flask("host")
ChaosExperiments(app, excluded_paths=["/health"])


def now() -> list[float]:
    return [time.time(), datetime.now().timestamp()]  # noqa: DTZ005 - as hosts do


@app.get("/orders/<number>")
def order(number: str) -> tuple[dict[str, object], int]:
    try:
        status = requests.get(UPSTREAM, timeout=5).status_code
    except requests.RequestException:
        status = 0
    return {"order": number, "now": now(), "upstream": status}, 201


@app.get("/health")
def health() -> dict[str, str]:
    return {"health": "good"}


probe = Probe(now)
