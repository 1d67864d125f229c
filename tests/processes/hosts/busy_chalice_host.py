"""An application that says how much its process uses."""

import chalice

from chalicelib.frameworks.chalice import ChaosExperiments
from tests.processes.at_work import used

app = chalice.Chalice("host")
ChaosExperiments(app, excluded_paths=["/state"])


@app.route("/orders/{number}")
def order(number: str) -> dict[str, str]:
    return {"order": number}


@app.route("/state")
def state() -> dict[str, float]:
    return used()
