import os

import flask
import urllib3

from chalicelib.frameworks.flask import ChaosExperiments

pool = urllib3.PoolManager()
app = flask.Flask("host")
ChaosExperiments(app, excluded_paths=["/health"])


@app.get("/pay")
def pay() -> dict[str, int]:
    return {"status": pool.request("GET", os.environ["PAYMENTS"], retries=False).status}


@app.get("/health")
def health() -> dict[str, str]:
    return {"health": "good"}
