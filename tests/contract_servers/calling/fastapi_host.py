import os

import fastapi
import urllib3

from chalicelib.frameworks.fastapi import ChaosExperiments

pool = urllib3.PoolManager()
app = fastapi.FastAPI()
ChaosExperiments(app, excluded_paths=["/health"])


@app.get("/pay")
def pay() -> dict[str, int]:
    return {"status": pool.request("GET", os.environ["PAYMENTS"], retries=False).status}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"health": "good"}
