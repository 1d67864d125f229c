from chalice import Chalice, Response

from chalicelib.frameworks.chalice import ChaosExperiments
from tests.hosts.answered.content import COOKIE, LARGE, TEXT, ZIPPED, Shop


def make() -> Chalice:
    app, shop = Chalice("host"), Shop()
    app.api.binary_types.append("application/json")
    ChaosExperiments(app, excluded_paths=["/state", "/open"])
    app.route("/state")(shop.state)
    app.route("/large")(lambda: Response(LARGE, {"Content-Type": "application/octet-stream"}))
    app.route("/zipped")(lambda: Response(ZIPPED, {"Content-Type": "application/json", "Content-Encoding": "gzip"}))

    @app.route("/orders")
    def orders() -> Response:
        return Response(TEXT, {"Content-Type": "application/json", "Set-Cookie": COOKIE})

    @app.route("/orders", methods=["POST"])
    def order() -> Response:
        request = app.current_request
        shop.order(request.json_body["name"], request.headers.get("Idempotency-Key"))
        return Response({"ordered": "yes"}, status_code=201)

    return app
