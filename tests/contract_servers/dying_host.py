"""An application whose workers die while they serve."""

import os
import signal
import time

import flask

from chalicelib.frameworks.flask import ChaosExperiments

app = flask.Flask("host")
ChaosExperiments(app, excluded_paths=["/health"])
LONG = 60


@app.get("/")
def index() -> str:
    return "answered"


@app.get("/health")
def health() -> str:
    return "good"


@app.get("/hangs")
def hangs() -> str:
    """Until gunicorn ends the worker with SIGABRT, which its worker turns into an exit."""
    time.sleep(LONG)
    return "late"


@app.get("/blocked")
def blocked() -> str:
    """As C code that does not return: only SIGKILL ends it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGABRT])
    time.sleep(LONG)
    return "late"


@app.get("/killed")
def killed() -> str:
    """As the kernel does it where memory is short, some time after the request has begun."""
    time.sleep(float(os.environ["KILLED_AFTER_SECONDS"]))
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"
