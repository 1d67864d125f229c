import os

import flask

from chalicelib.frameworks.flask import ChaosExperiments

HANDLED = os.environ["HANDLED"]

app = flask.Flask("host")
ChaosExperiments(app, excluded_paths=["/health"])


@app.get("/orders/<number>")
def order(number: str) -> tuple[dict[str, object], int, dict[str, str]]:
    with open(HANDLED, "ab", buffering=0) as handled:
        handled.write(b".")
    return {"order": number}, 201, {"X-Own": "1"}


@app.get("/chaos_experiments/own/<name>")
def own(name: str) -> dict[str, str]:
    return {"own": name}


@app.route("/<path:rest>")
def page(rest: str) -> str:
    return f"the page of {rest}"


@app.get("/health")
def health() -> dict[str, str]:
    return {"health": "good"}
