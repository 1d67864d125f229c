from collections.abc import Iterator

import flask

from chalicelib.frameworks.flask import ChaosExperiments
from tests.hosts.dropped.content import LINE, LINES, counted, environment

app = flask.Flask("host")
ChaosExperiments(app, excluded_paths=["/health", "/environment"])


@app.get("/orders")
def orders() -> str:
    counted()
    return LINE * LINES


@app.get("/stream")
def stream() -> flask.Response:
    def lines() -> Iterator[bytes]:
        for _ in range(LINES):
            yield LINE.encode()

    counted()
    return flask.Response(lines(), mimetype="text/plain")


@app.get("/environment")
def of_the_process() -> dict[str, int]:
    return environment()


@app.get("/health")
def health() -> dict[str, str]:
    return {"health": "good"}
