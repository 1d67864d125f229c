"""One example of each command, as its help shows it."""

from collections.abc import Mapping, Sequence
from typing import Any

EXAMPLES: Mapping[str, Sequence[str]] = {
    "": (
        "start latency_injection --delay-seconds 2 --percentage 20",
        'halt --reason "orders are lost"',
        "--profile staging history",
    ),
    "start": (
        "start latency_injection --percentage 20 --duration-seconds 120 --max-error-rate 0.01 --abort",
        "start latency_injection --path '/orders/*' --header x-tenant=acme --label slow-orders",
        "start dependency_failure --dependency dynamodb:PutItem --fault timeout --path '/orders/*'",
        "start --file scenario.json",
    ),
    "preview": (
        "preview latency_injection --path '/orders/*' --request 'GET /orders/1'",
        "preview --run-id 01JDQ3 --request /orders/1",
    ),
    "stop": ("stop --label slow-orders", 'stop latency_injection --reason "seen enough"'),
    "status": ("status --label slow-orders", "status latency_injection"),
    "watch": ("watch",),
    "list": ("list",),
    "dependencies": ("dependencies", "dependencies --watch"),
    "test": ("test --requests 100 --target /orders/1 --header x-tenant=acme",),
    "halt": ('halt --reason "orders are lost"', 'halt --stage staging --reason "the API does not answer"'),
    "resume": ('resume --reason "the cause is found"', "resume --stage staging"),
    "history": ("history --experiment latency_injection --since 2026-11-24T09:00:00Z",),
    "report": ("report --open", "report --format html --output report.html"),
    "serve": ("serve --port 8090",),
    "profile": ("profile add staging --url https://api.example.com/api/chaos_experiments",),
    "profile add": ("profile add staging --url https://api.example.com/api/chaos_experiments",),
    "profile list": ("profile list",),
    "profile use": ("profile use staging",),
    "profile remove": ("profile remove staging",),
    "token": ("token create --stage staging --name ada --role operator --days 30",),
    "token create": ("token create --stage staging --name ada --role operator --days 30",),
    "token list": ("token list --stage staging",),
    "token revoke": ("token revoke 3f9a2c --stage staging",),
    "table": ("table create --stage staging",),
    "table create": ("table create --stage staging",),
}
"""By the words of the command; the empty word is the program alone."""


def add_examples(command: Any, program: str, name: str = "") -> None:  # noqa: ANN401 - typer's classes are private
    """To a command and all commands below it."""
    if name in EXAMPLES:
        command.epilog = epilog(program, EXAMPLES[name])
    for each, below in getattr(command, "commands", {}).items():
        add_examples(below, program, f"{name} {each}".lstrip())


def epilog(program: str, examples: Sequence[str]) -> str:
    """The last paragraph of a help text, in lines that are not wrapped."""
    title = "Example:" if len(examples) == 1 else "Examples:"
    return "\n".join(["\b", title, *(f"  {program} {example}" for example in examples)])
