import os

from chalice.app import Chalice, Response

from chalicelib.frameworks.chalice import ChaosExperiments

HANDLED = os.environ["HANDLED"]

app = Chalice(app_name="host")
ChaosExperiments(app, excluded_paths=["/health"])


@app.route("/orders/{number}")
def order(number: str) -> Response:
    with open(HANDLED, "ab", buffering=0) as handled:
        handled.write(b".")
    return Response({"order": number}, headers={"X-Own": "1"}, status_code=201)


@app.route("/chaos_experiments/own/{name}")
def own(name: str) -> dict[str, str]:
    return {"own": name}


@app.route("/anything")
def page() -> Response:
    return Response("the page of anything", headers={"Content-Type": "text/plain"})


@app.route("/health")
def health() -> dict[str, str]:
    return {"health": "good"}
