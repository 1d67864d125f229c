"""How much of the account's concurrency is reserved for the functions that can stop a run."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

RESERVED: Mapping[str, int] = {"ControlPlane": 10, "BearerToken": 10, "AlarmHandler": 2}
"""By the function's name in the template. It is also the most that these functions can have."""

LEFT = 100
"""What AWS demands to remain unreserved."""


def reserve(template: Mapping[str, Any], client: Any) -> tuple[dict[str, Any], str]:  # noqa: ANN401 - of AWS Lambda
    """The template with the reservations, and an empty text; or the template as it is, and why."""
    made = deepcopy(dict(template))
    functions = {name: made["Resources"][name]["Properties"] for name in RESERVED if name in made["Resources"]}
    wanted = sum(RESERVED[name] for name in functions)
    try:
        limits = client.get_account_settings()["AccountLimit"]
        free = limits["UnreservedConcurrentExecutions"] + sum(_reserved(client, each) for each in functions.values())
    except (BotoCoreError, ClientError) as error:
        return made, _why_not(wanted, f"AWS did not say how much this account has ({error}).")
    quota = limits["ConcurrentExecutions"]
    if free < wanted + LEFT:
        enough = quota + wanted + LEFT - free
        return made, _why_not(
            wanted,
            f"AWS keeps {LEFT} unreserved, and this account has {free} of its {quota} to reserve from. A quota of "
            f"{enough} would do: Service Quotas, AWS Lambda, Concurrent executions.",
        )
    for name, properties in functions.items():
        properties["ReservedConcurrentExecutions"] = RESERVED[name]
    return made, ""


def _reserved(client: Any, properties: Mapping[str, Any]) -> int:  # noqa: ANN401 - of AWS Lambda
    """What the function has reserved already, from an earlier deployment."""
    try:
        answer = client.get_function_concurrency(FunctionName=properties["FunctionName"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        return 0
    return int(answer.get("ReservedConcurrentExecutions", 0))


def _why_not(wanted: int, why: str) -> str:
    return (
        f"No concurrency is reserved for the control plane, which needs {wanted}. {why}\n"
        "So a run that delays requests until the account's concurrency is used up shuts the control plane out, too. "
        "Then halt in the table: halt --stage."
    )
