from typing import Any

import boto3
import flask
from botocore.config import Config

from chalicelib.frameworks.flask import ChaosExperiments
from tests.dependencies.chained import served

app = flask.Flask("host")
ChaosExperiments(app)
TABLE = boto3.client(
    "dynamodb",
    region_name="us-east-1",
    aws_access_key_id="its",
    aws_secret_access_key="own",
    config=Config(retries={"total_max_attempts": 1}),
)


@app.get("/chain")
def chain() -> dict[str, Any]:
    return served(flask.request.headers.get("baggage"), flask.request.args.getlist("then"))


@app.get("/tables")
def tables() -> tuple[str, int]:
    try:
        TABLE.list_tables()
    except Exception as error:  # noqa: BLE001 - a test asks for its name
        return type(error).__name__, 503
    return "", 200
