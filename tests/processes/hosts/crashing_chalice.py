"""A host whose processes note that they were born, and that answers much."""

import os
from pathlib import Path

from chalice import Chalice, Response

from chalicelib.frameworks.chalice import ChaosExperiments

with Path(os.environ["BORN"]).open("a") as born:
    born.write(f"{os.getpid()}\n")

app = Chalice("host")
ChaosExperiments(app, excluded_paths=["/health"])


@app.route("/orders")
def orders() -> Response:
    return Response("x" * 300_000, {"Content-Type": "text/plain"})


app.route("/stream")(orders)


@app.route("/health")
def health() -> dict[str, str]:
    return {"health": "good"}
