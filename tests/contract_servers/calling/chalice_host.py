import os

import urllib3
from chalice.app import Chalice

from chalicelib.frameworks.chalice import ChaosExperiments

pool = urllib3.PoolManager()
app = Chalice(app_name="host")
ChaosExperiments(app, excluded_paths=["/health"])


@app.route("/pay")
def pay() -> dict[str, int]:
    return {"status": pool.request("GET", os.environ["PAYMENTS"], retries=False).status}


@app.route("/health")
def health() -> dict[str, str]:
    return {"health": "good"}
