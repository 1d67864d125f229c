"""A host that seeds its own chance and, where `WARM` is set, serves itself a request before its server forks."""

import os
import random
import time
from pathlib import Path

import flask

from chalicelib.frameworks.flask import ChaosExperiments

random.seed(0)

app = flask.Flask("host")
ChaosExperiments(app, excluded_paths=["/health", "/process"])


@app.get("/orders/<number>")
def order(number: str) -> tuple[dict[str, object], int]:
    time.sleep(0.01)  # so that another process takes the next one
    return {"order": number, "process": os.getpid()}, 201


@app.get("/health")
def health() -> dict[str, str]:
    return {"health": "good"}


@app.get("/process")
def process() -> dict[str, int]:
    return {"process": os.getpid()}


for _ in range(int(os.environ.get("WARM", "0"))):
    answer = app.test_client().get("/orders/0")
    with Path(os.environ["HANDLED"]).open("ab", buffering=0) as hit:
        hit.write(b"." if "X-Chaos-Run" in answer.headers else b"")
