from typing import Any

from chalice.app import Chalice

from chalicelib.frameworks.chalice import ChaosExperiments
from tests.dependencies.chained import served

app = Chalice(app_name="host")
ChaosExperiments(app)


@app.route("/chain")
def chain() -> dict[str, Any]:
    request = app.current_request
    queries = request.query_params
    following = queries.getlist("then") if queries and "then" in queries else []
    return served(request.headers.get("baggage"), following)
