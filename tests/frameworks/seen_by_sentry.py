"""What Sentry's SDK gets to see of an application, as JSON: its transport keeps what others send."""

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import sentry_sdk
from sentry_sdk.integrations.chalice import ChaliceIntegration
from sentry_sdk.integrations.fastapi import FastApiIntegration
from sentry_sdk.integrations.flask import FlaskIntegration
from sentry_sdk.integrations.starlette import StarletteIntegration
from sentry_sdk.transport import Transport

INTEGRATIONS: dict[str, list[Any]] = {
    "flask": [FlaskIntegration()],
    "fastapi": [StarletteIntegration(), FastApiIntegration()],
    "chalice": [ChaliceIntegration()],
}
KEPT: list[dict[str, Any]] = []


class Keeping(Transport):
    def capture_envelope(self, envelope: Any) -> None:
        KEPT.extend(event for item in envelope.items if (event := item.get_event()))


def shown(event: Any) -> dict[str, Any]:
    exception = event["exception"]["values"][-1]
    notes = [note for each in event["exception"]["values"] for note in each.get("value", "").split("\n")[1:]]
    return {
        "type": exception["type"],
        "value": exception["value"].split("\n")[0],
        "notes": notes,
        "module": exception["module"],
        "mechanism": exception["mechanism"]["type"],
        "handled": exception["mechanism"]["handled"],
        "level": event.get("level"),
        "method": event["request"].get("method"),
        "url": event["request"]["url"],
        "last_module": exception["stacktrace"]["frames"][-1]["module"],
    }


def kept() -> list[dict[str, Any]]:
    events = [shown(event) for event in KEPT]
    KEPT.clear()
    return events


def main(framework: str) -> None:
    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1",
        transport=Keeping,
        auto_enabling_integrations=False,
        integrations=INTEGRATIONS[framework],
    )
    from tests.raising import MAKERS, MESSAGE, ORDERS, RAISES, Application  # noqa: PLC0415 - as applications do

    application = Application()
    MAKERS[framework](application)
    found: dict[str, Any] = {}
    found["run_id"] = application.start("exception_injection", exception="tests.raising.OutOfStock", message=MESSAGE)
    application.ask(ORDERS)
    found["injected"] = kept()
    application.ask(RAISES)
    found["really"] = kept()
    application.start("latency_injection")
    application.ask(ORDERS)
    found["latency_injection"] = kept()
    application.runs.runs = {}
    application.wired.engine.snapshot.invalidate()
    application.ask(ORDERS)
    found["untouched"] = kept()
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
