from chalice.app import Chalice

from chalicelib.frameworks.chalice import ChaosExperiments

app = Chalice(app_name="host")
ChaosExperiments(app, excluded_paths=["/orders/closed", "/carts/closed/*"])


def page(**rest: str) -> str:
    return f"the page of {rest}"


for first in ("/orders", "/carts"):
    for rest in ("", "/{second}", "/{second}/{third}", "/{second}/{third}/{fourth}"):
        app.route(first + rest, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])(page)
