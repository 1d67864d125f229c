"""An application that says how much of its process is used, and how many of its requests are served at a time."""

import os
import threading
import time
from pathlib import Path

import flask

from chalicelib.frameworks.flask import ChaosExperiments

app = flask.Flask("host")
ChaosExperiments(app, excluded_paths=["/state", "/work"])

counting = threading.Lock()
at_work = most = 0


@app.get("/orders/<number>")
def order(number: str) -> dict[str, str]:
    return {"order": number}


@app.get("/state")
def state() -> dict[str, object]:
    return {
        "process": os.getpid(),
        "cpu_seconds": time.process_time(),
        "threads": len(list(Path("/proc/self/task").iterdir())),
    }


@app.get("/work")
def work() -> dict[str, int]:
    """How many were at work at a time, at most, since this one began."""
    global at_work, most
    with counting:
        at_work += 1
        most = max(most, at_work)
    time.sleep(float(flask.request.args["seconds"]))
    with counting:
        at_work -= 1
        seen = most
        most = at_work
    return {"most": seen}
