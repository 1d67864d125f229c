from chalice import Chalice, Response

from chalicelib.frameworks.chalice import ChaosExperiments
from tests.hosts.dropped.content import LINE, LINES, counted, environment

app = Chalice(app_name="host")
ChaosExperiments(app, excluded_paths=["/health", "/environment"])


@app.route("/orders")
def orders() -> Response:
    counted()
    return Response(LINE * LINES, {"Content-Type": "text/plain"})


@app.route("/environment")
def of_the_process() -> dict[str, int]:
    return environment()


@app.route("/health")
def health() -> dict[str, str]:
    return {"health": "good"}
