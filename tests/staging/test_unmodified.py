"""Functions whose code nobody touched feel what an operator starts elsewhere in their scope, by two variables."""

import json
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from chalicelib.api.endpoints import PREFIX
from deployment.layer import THIS_PYTHON
from tests.staging.account import PATIENT, Account
from tests.staging.fleet import Stage, Tell
from tests.staging.runtime import Runtime
from tests.staging.unmodified import (
    ACCOUNT,
    KINDS,
    SCOPE,
    TABLE,
    TIMEOUT_SECONDS,
    Functions,
    deployed_functions,
    name_of,
    zipped,
)

pytestmark = pytest.mark.timeout(900)

PATIENCE_SECONDS = 60
AGAIN_SECONDS = 6
"""After so long without a hit another order is sent: counts are flushed by invocations."""

COMES_AGAIN = {"sqs", "kinesis"}
"""What brings an event again until it is handled. The others give it up after three times."""


@dataclass(frozen=True)
class Felt:
    """A fault, and what becomes of an order: it is handled once, unless the fault `prevents` that."""

    experiment: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    prevents: bool = False
    http_status: tuple[int, ...] = (201,)
    lasts: float = 0.0


FAULTS = (
    Felt("latency_injection", {"delay_seconds": 1.5}, lasts=1.5),
    Felt("resource_exhaustion", {"memory_mb": 32}),
    Felt("cpu_exhaustion", {"load": 0.2}),
    Felt("error_injection", {"error_rate": 1}, prevents=True, http_status=(500,)),
    Felt("exception_injection", {"exception": "OSError"}, prevents=True, http_status=(500, 502)),
    Felt("timeout_injection", {"until": "deadline"}, prevents=True, http_status=(500, 502), lasts=TIMEOUT_SECONDS - 3),
    Felt("process_crash", {"when": "before"}, prevents=True, http_status=(500, 502)),
)


@pytest.fixture(scope="module")
def functions(
    deployed: Stage, account: Account, runtime: Runtime, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Functions]:
    variables = {"AWS_LAMBDA_EXEC_WRAPPER": runtime.wrapper, "CHAOS_STAGE": "staging"}
    with deployed_functions(account, runtime, tmp_path_factory.mktemp("orders"), **variables, **PATIENT) as functions:
        yield functions


def test_six_functions_feel_each_fault_and_handle_no_order_twice(
    stage: Stage, functions: Functions, tell: Tell
) -> None:
    sent: dict[str, tuple[str, bool]] = {}
    for fault in FAULTS:
        orders = felt(fault, stage, functions, tell)
        sent |= {order: (kind, fault.prevents) for order, kind in orders.items()}
    expected = [order for order, (kind, prevents) in sent.items() if not prevents or kind in COMES_AGAIN]
    deadline = time.time() + PATIENCE_SECONDS
    while set(expected) - set(functions.handled()) and time.time() < deadline:
        time.sleep(0.2)
    handled = functions.handled()
    tell(f"{len(sent)} orders were sent, {len(handled)} handled")
    assert sorted(handled) == sorted(set(handled))
    assert set(expected) - set(handled) == set(), functions.account.log.read_text()[-4000:]
    assert set(handled) <= set(sent)


def test_the_handler_alone_does_it_in_a_function_with_the_layer(
    stage: Stage, account: Account, layer: bytes, functions: Functions
) -> None:
    """In the emulator's own runtime, which knows layers and no wrapper."""
    client = account.client("lambda")
    version = client.publish_layer_version(LayerName="chaos-experiments", Content={"ZipFile": layer})
    name = "orders-direct"
    client.create_function(
        FunctionName=name,
        Runtime=f"python{THIS_PYTHON}",
        Role=f"arn:aws:iam::{ACCOUNT}:role/orders",
        Handler="chaos_experiments.lambda_handler.handler",
        Timeout=TIMEOUT_SECONDS,
        Code={"ZipFile": zipped({"src/app.py": "def handler(event, context):\n    return [event, __name__]\n"})},
        Layers=[version["LayerVersionArn"]],
        Environment={"Variables": {"CHAOS_HANDLER": "src/app.handler", "CHAOS_STAGE": "staging", **PATIENT}},
    )
    try:
        client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
        run = {"error_rate": 1, "message": "no tea", "target": {"functions": [name]}, "duration_seconds": 300}
        stage.start("error_injection", **run)
        failed = client.invoke(FunctionName=name, Payload=b'{"order": 1}')
        assert (failed["FunctionError"], "no tea" in failed["Payload"].read().decode()) == ("Unhandled", True)
        stage.stop("error_injection")
        answers = (client.invoke(FunctionName=name, Payload=b'{"order": 2}') for _ in range(600))
        answer = next(each for each in answers if "FunctionError" not in each)
        assert json.loads(answer["Payload"].read()) == [{"order": 2}, "src.app"]
    finally:
        client.delete_function(FunctionName=name)


COLD_STARTS = 3
"""Of each function with our variables, and as many without, at least; in turns."""
MOST = 1.15
"""Times as long as without, on a quiet machine: `--exact`."""
LOADED = 1.4
"""Less than where the whole module is loaded."""

EVENTS: Mapping[str, Mapping[str, Any]] = {
    "http": {"version": "2.0", "rawPath": "/orders", "queryStringParameters": {"order": "cold-http"}},
    "sqs": {"Records": [{"eventSource": "aws:sqs", "messageId": "1", "body": "cold-sqs"}]},
    "sns": {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": "cold-sns"}}]},
    "schedule": {"order": "cold-schedule"},
    "s3": {"Records": [{"eventSource": "aws:s3", "s3": {"object": {"key": "cold-s3"}}}]},
    "kinesis": {"Records": [{"eventSource": "aws:kinesis", "kinesis": {"data": "Y29sZA=="}}]},
}


def forget_what_is_over(account: Account) -> None:
    """To be called where nothing runs."""
    table = account.client("dynamodb")
    scope = {":scope": {"S": SCOPE}}
    found = table.query(TableName=TABLE, KeyConditionExpression="pk = :scope", ExpressionAttributeValues=scope)
    for item in found["Items"]:
        if item.keys() & {"expires_at", "until"}:
            table.delete_item(TableName=TABLE, Key={"pk": item["pk"], "sk": item["sk"]})


def test_a_cold_start_of_each_of_the_six_is_hardly_longer_than_without_the_variables(
    functions: Functions, tell: Tell, rounds: int, pytestconfig: pytest.Config
) -> None:
    """As the caller has it: from the call to the answer of a function that has no environment.

    Nothing has run in the scope lately, nor been observed, as other tests do: that is of the scope for 15 minutes.
    """
    forget_what_is_over(functions.account)
    client = functions.account.client("lambda")
    ratios = {}
    for kind in KINDS:
        name = name_of(kind)
        ours = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        theirs = {key: value for key, value in ours.items() if not key.startswith(("AWS_LAMBDA_EXEC", "CHAOS_"))}
        took: dict[bool, list[float]] = {True: [], False: []}
        for number in range(2 * max(rounds, COLD_STARTS)):
            with_ours = number % 2 == 1
            client.update_function_configuration(
                FunctionName=name, Environment={"Variables": ours if with_ours else theirs}
            )
            client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
            began = time.perf_counter()
            answer = client.invoke(FunctionName=name, Payload=json.dumps(EVENTS[kind]).encode())
            took[with_ours].append(time.perf_counter() - began)
            assert "FunctionError" not in answer, answer["Payload"].read()
        ratios[kind] = min(took[True]) / min(took[False])
        median = statistics.median(one / other for one, other in zip(took[True], took[False], strict=True))
        tell(
            f"{kind:8} {min(took[False]) * 1000:4.0f} ms without, {min(took[True]) * 1000:4.0f} with: "
            f"{ratios[kind]:.2f} of the least, median {median:.2f}"
        )
    is_exact = pytestconfig.getoption("--exact")
    assert statistics.median(ratios.values()) <= (MOST if is_exact else LOADED), ratios


def felt(fault: Felt, stage: Stage, functions: Functions, tell: Tell) -> dict[str, str]:
    """Each function is hit by a run of its own, started and stopped by another application. The orders, by kind."""
    runs = [
        {
            "experiment_name": fault.experiment,
            "label": name_of(kind),
            "target": {"functions": [name_of(kind)]},
            "duration_seconds": 300,
            **fault.parameters,
        }
        for kind in KINDS
    ]
    status, content, _ = stage.call("POST", f"{PREFIX}/start", experiments=runs)
    assert status == 200, content
    began = time.time()
    time.sleep(IDLE_SECONDS)  # environments that found nothing ask again after so long
    orders: dict[str, str] = {}
    waiting = dict.fromkeys(KINDS, 0.0)
    # An order may come as late as the emulator's schedules do, so before the next fault all are handled that can be.
    while waiting or not (fault.prevents or set(orders) <= set(functions.handled())):
        assert time.time() < began + PATIENCE_SECONDS, (fault, waiting, functions.account.log.read_text()[-4000:])
        for kind in [kind for kind, last in waiting.items() if last + AGAIN_SECONDS < time.time()]:
            order = f"{fault.experiment}-{kind}-{len(orders)}"
            orders[order], waiting[kind] = kind, time.time()
            check(fault, functions, kind, order)
        waiting = {kind: last for kind, last in waiting.items() if not hits(stage, kind)}
        time.sleep(0.1)
    assert stage.call("GET", f"{PREFIX}/list")[0] == 200
    assert functions.get(f"{PREFIX}/openapi.json")[0] == 200
    status, _, _ = stage.call("POST", f"{PREFIX}/stop", scenario=content["resultset"]["scenario"])
    assert status in (200, 404)  # runs of crashes are over when there were as many as they may cause
    tell(f"{fault.experiment:20} felt by all {len(KINDS)} within {time.time() - began:.1f} s, {len(orders)} orders")
    return orders


IDLE_SECONDS = 5.0


def check(fault: Felt, functions: Functions, kind: str, order: str) -> None:
    """Trigger the function; of what is answered, look at the answer."""
    sent = time.time()
    answer = functions.send(kind, order)
    if kind == "http":
        status, headers, _ = answer
        assert status in fault.http_status, answer
        assert time.time() - sent >= fault.lasts
        if not fault.prevents:
            assert headers["x-chaos-experiment"] == fault.experiment


def hits(stage: Stage, kind: str) -> int:
    _, content, _ = stage.call("GET", f"{PREFIX}/status?label={name_of(kind)}")
    results = content["resultset"]["results"]
    crashed = sum(counter["value"] for counter in results.get("counters", ()))
    return int(results.get("requests_hit", 0) + crashed)
