import flask

from chalicelib.frameworks.flask import ChaosExperiments

app = flask.Flask("host")
ChaosExperiments(app, excluded_paths=["/orders/closed", "/carts/closed/*"])


@app.route("/<path:rest>", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
def page(rest: str) -> str:
    return f"the page of {rest}"
