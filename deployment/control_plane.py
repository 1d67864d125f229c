"""The control plane as a function of its own, in a template that Chalice has written with one function for all routes.

A run that delays the application's requests uses up the application's concurrency, and not that of the function that
can stop it.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from chalicelib.api.endpoints import PREFIX

from .project import CONTROL_PLANE as POLICY
from .project import Stage

CONTROL_PLANE = "ControlPlane"
"""In the template. `.chalice/stack.yaml` has what is its own: its name, and its logs."""

APPLICATION = "APIHandler"
ROLE = "ApiHandlerRole"
TEST = f"{PREFIX}/test"
"""Not of the control plane: it shows what the application's environments do."""

INTEGRATION = "x-amazon-apigateway-integration"


def separate(template: dict[str, Any], stage: Stage) -> dict[str, Any]:
    """The template with that function, its role, and the routes of the control plane that lead to it."""
    made = deepcopy(template)
    resources = made["Resources"]
    role = f"{CONTROL_PLANE}Role"
    resources[role] = _role(resources[ROLE], role, stage.policies()[POLICY])
    own = resources[CONTROL_PLANE]
    properties = {**deepcopy(resources[APPLICATION]["Properties"]), **own["Properties"]}
    own["Properties"] = {**properties, "Role": {"Fn::GetAtt": [role, "Arn"]}}
    permission = deepcopy(resources[f"{APPLICATION}InvokePermission"])
    permission["Properties"]["FunctionName"] = {"Ref": CONTROL_PLANE}
    resources[f"{CONTROL_PLANE}InvokePermission"] = permission
    for integration in _integrations(resources["RestAPI"]["Properties"]["DefinitionBody"]["paths"]):
        uri = integration["uri"]
        uri["Fn::Sub"] = uri["Fn::Sub"].replace(f"${{{APPLICATION}.Arn}}", f"${{{CONTROL_PLANE}.Arn}}")
    return made


def _role(application: Mapping[str, Any], name: str, policy: Mapping[str, Any]) -> dict[str, Any]:
    role: dict[str, Any] = deepcopy(dict(application))
    role["Properties"]["Policies"] = [{"PolicyName": f"{name}Policy", "PolicyDocument": dict(policy)}]
    return role


def _integrations(paths: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Those of the control plane."""
    for path, operations in paths.items():
        if path.startswith(f"{PREFIX}/") and path != TEST:
            yield from (each[INTEGRATION] for each in operations.values() if "uri" in each.get(INTEGRATION, ()))
