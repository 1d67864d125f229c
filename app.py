"""The Chalice application. A route that is added here feels the active experiments without doing anything."""

import os

from chalice.app import AuthRequest, AuthResponse, Chalice, Response, SNSEvent

from chalicelib.frameworks.chalice import ChaosExperiments

app = Chalice(app_name="chaos-experiments")
chaos = ChaosExperiments(app, routes=False)

ANY_CONTENT_TYPE = ["*/*"]  # the module itself refuses what is not JSON, in its envelope


@app.authorizer(ttl_seconds=60)
def bearer_token(auth_request: AuthRequest) -> AuthResponse:
    return chaos.authorize(auth_request)


@app.route("/")
def index() -> dict[str, str]:
    return {"message": "The application answers."}


@app.route("/chaos_experiments/list", methods=["GET"], authorizer=bearer_token)
def list_experiments() -> Response:
    return chaos.handle()


@app.route("/chaos_experiments/start", methods=["POST"], authorizer=bearer_token, content_types=ANY_CONTENT_TYPE)
def start_experiment() -> Response:
    return chaos.handle()


@app.route("/chaos_experiments/stop", methods=["POST"], authorizer=bearer_token, content_types=ANY_CONTENT_TYPE)
def stop_experiment() -> Response:
    return chaos.handle()


@app.route("/chaos_experiments/halt", methods=["POST"], authorizer=bearer_token, content_types=ANY_CONTENT_TYPE)
def halt() -> Response:
    return chaos.handle()


@app.route("/chaos_experiments/resume", methods=["POST"], authorizer=bearer_token, content_types=ANY_CONTENT_TYPE)
def resume() -> Response:
    return chaos.handle()


@app.route("/chaos_experiments/history", methods=["GET"], authorizer=bearer_token)
def history() -> Response:
    return chaos.handle()


@app.route("/chaos_experiments/report", methods=["GET"], authorizer=bearer_token)
def report() -> Response:
    return chaos.handle()


@app.route("/chaos_experiments/status", methods=["GET"], authorizer=bearer_token)
def experiment_status() -> Response:
    return chaos.handle()


@app.route("/chaos_experiments/test", methods=["GET", "POST"], content_types=ANY_CONTENT_TYPE)
def test_experiments() -> Response:
    return chaos.handle()


@app.route("/chaos_experiments/console", methods=["GET"])
def console() -> Response:
    return chaos.handle()


@app.route("/chaos_experiments/openapi.json", methods=["GET"])
def openapi() -> Response:
    return chaos.handle()


if topic := os.environ.get("CHAOS_ALARM_TOPIC"):  # `make deploy` has one; Chalice wants to know it while it packages

    @app.on_sns_message(topic=topic, name="alarm_handler")
    def alarm_handler(event: SNSEvent) -> None:
        chaos.alarm(event)
