"""A host whose processes note that they were born, and that answers much."""

import os
from pathlib import Path

import flask

from chalicelib.frameworks.flask import ChaosExperiments

with Path(os.environ["BORN"]).open("a") as born:
    born.write(f"{os.getpid()}\n")

app = flask.Flask("host")
ChaosExperiments(app, excluded_paths=["/health"])


@app.get("/orders")
def orders() -> str:
    return "x" * 300_000


@app.get("/stream")
def stream() -> flask.Response:
    return flask.Response("x" * 1000 for _ in range(300))


@app.get("/health")
def health() -> str:
    return "good"
