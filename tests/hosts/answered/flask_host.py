from collections.abc import Iterator

import flask

from chalicelib.frameworks.flask import ChaosExperiments
from tests.hosts.answered.content import COOKIE, LARGE, LINES, ORDERS, ZIPPED, Shop


def make() -> flask.Flask:
    app, shop = flask.Flask("host"), Shop()
    ChaosExperiments(app, excluded_paths=["/state", "/open"])
    app.get("/state")(shop.state)
    app.get("/open")(shop.open)

    @app.get("/large")
    def large() -> flask.Response:
        return flask.Response(LARGE, mimetype="application/octet-stream")

    @app.get("/zipped")
    def zipped() -> flask.Response:
        return flask.Response(ZIPPED, mimetype="application/json", headers={"Content-Encoding": "gzip"})

    @app.get("/orders")
    def orders() -> tuple[dict[str, object], dict[str, str]]:
        return {**ORDERS}, {"Set-Cookie": COOKIE}

    @app.post("/orders")
    def order() -> tuple[dict[str, str], int]:
        shop.order(flask.request.get_json()["name"], flask.request.headers.get("Idempotency-Key"))
        return {"ordered": "yes"}, 201

    _add_streams(app, shop)
    return app


def _add_streams(app: flask.Flask, shop: Shop) -> None:
    @app.get("/stream")
    def stream() -> flask.Response:
        return flask.Response((line() for line in shop.lines()), mimetype="application/x-ndjson")

    @app.get("/endless")
    def endless() -> flask.Response:
        def lines() -> Iterator[bytes]:
            try:
                while True:
                    yield LINES[0]
            finally:
                shop.closed += 1

        return flask.Response(lines(), mimetype="application/x-ndjson")
