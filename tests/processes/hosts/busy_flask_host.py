"""An application that says how much its process uses, and how many of its requests are served at a time."""

import flask

from chalicelib.frameworks.flask import ChaosExperiments
from tests.processes.at_work import Workshop, used

app = flask.Flask("host")
ChaosExperiments(app, excluded_paths=["/state", "/work"])
workshop = Workshop()


@app.get("/orders/<number>")
def order(number: str) -> dict[str, str]:
    return {"order": number}


@app.get("/state")
def state() -> dict[str, float]:
    return used()


@app.get("/work")
def work() -> dict[str, int]:
    return workshop.work(float(flask.request.args["seconds"]))
