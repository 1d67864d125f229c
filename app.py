"""The Chalice application. A route that is added here feels the active experiments without doing anything."""

import os

from chalice.app import AuthRequest, AuthResponse, Chalice, SNSEvent

from chalicelib.frameworks.chalice import ChaosExperiments

app = Chalice(app_name="chaos-experiments")
chaos = ChaosExperiments(app, routes=False)


@app.authorizer(ttl_seconds=60)
def bearer_token(auth_request: AuthRequest) -> AuthResponse:
    return chaos.authorize(auth_request)


chaos.mount(authorizer=bearer_token)


@app.route("/")
def index() -> dict[str, str]:
    return {"message": "The application answers."}


if topic := os.environ.get("CHAOS_ALARM_TOPIC"):  # `make deploy` has one; Chalice wants to know it while it packages

    @app.on_sns_message(topic=topic, name="alarm_handler")
    def alarm_handler(event: SNSEvent) -> None:
        chaos.alarm(event)
