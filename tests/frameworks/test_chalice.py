import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from chalice import Chalice
from chalice.app import AuthRequest, CORSConfig, Response, SNSEvent
from chalice.local import LocalGateway
from chalice.test import Client

from chalicelib.access import Caller, Role, new_token
from chalicelib.bootstrap import Chaos, bootstrap
from chalicelib.errors import Misconfigured, ModuleOff, StoreUnavailable
from chalicelib.frameworks.chalice import ChaosExperiments
from chalicelib.settings import Settings
from chalicelib.web_keys import unavailable
from tests.support import NOW, Clock, FakeResultStore, FakeRunStore, FakeTokenStore, a_run

ARN = "arn:aws:execute-api:eu-west-1:123456789012:api-id/api/GET/chaos_experiments/list"


class App:
    """A Chalice application with the module in it, on fakes."""

    def __init__(self, clock: Clock) -> None:
        self.runs = FakeRunStore()
        self.tokens = FakeTokenStore()
        self.results = FakeResultStore()
        self.clock = clock
        self.served = 0
        self.wired = 0
        app = Chalice("tested", configure_logs=False)
        self.chaos = ChaosExperiments(app, routes=False, wire=self._wire)
        app.route("/orders/{number}")(self._order)
        app.route("/shared", cors=CORSConfig("https://shop.example"))(dict)
        app.route("/chaos_experiments/start", methods=["POST"], content_types=["*/*"])(self.chaos.handle)
        app.route("/chaos_experiments/test", methods=["GET", "POST"])(self.chaos.handle)
        app.route("/chaos_experiments/status", methods=["GET"])(self.chaos.handle)
        self.client = Client(app)

    def _wire(self, prefix: str) -> Chaos:
        self.wired += 1
        settings = Settings(stage="dev", dev_token="dev-token")
        return bootstrap(
            settings,
            prefix=prefix,
            runs=self.runs,
            results=self.results,
            tokens=self.tokens,
            clock=self.clock,
            sleep=self.clock.sleep,
            chance=lambda: 0.0,
        )

    def _order(self, number: str) -> Response:
        self.served += 1
        return Response({"order": number}, headers={"X-Own": "1"}, status_code=201)

    def run(self, name: str, **parameters: Any) -> str:
        run = a_run(name, now=self.clock.now, **parameters)
        self.runs.runs[name] = run
        return run.run_id


@pytest.fixture
def app(clock: Clock) -> App:
    return App(clock)


@pytest.fixture
def _chalice_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["chalice", "local", "--port", "9000"])


@pytest.mark.usefixtures("_chalice_local")
def test_where_chalice_local_serves_it_the_banner_is_printed_before_the_first_request(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    assert App(clock).wired == 1
    printed = capsys.readouterr().out
    assert "Console: http://localhost:9000/chaos_experiments/console" in printed
    assert "Operator token: dev-token" in printed


@pytest.mark.usefixtures("_chalice_local")
def test_where_it_cannot_be_wired_there_chalice_local_serves_all_the_same(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    app = Chalice("tested", configure_logs=False)
    app.route("/")(lambda: {"answers": True})
    ChaosExperiments(app, wire=refuse)
    assert capsys.readouterr().out == ""
    assert "No faults are injected by this process: there is no room" in caplog.text
    assert Client(app).http.get("/").json_body == {"answers": True}


def refuse(**_: Any) -> Chaos:
    raise Misconfigured("there is no room")


def test_nothing_is_wired_before_the_first_request_and_then_once(app: App) -> None:
    assert app.wired == 0
    for _ in range(3):
        app.client.http.get("/orders/7")
    assert app.wired == 1


def test_an_untouched_route_answers_as_it_did(app: App) -> None:
    answer = app.client.http.get("/orders/7")
    assert (answer.status_code, answer.json_body, answer.headers) == (201, {"order": "7"}, {"X-Own": "1"})


def test_a_delayed_route_keeps_its_answer_and_names_the_run(app: App, clock: Clock) -> None:
    run_id = app.run("latency_injection", delay_seconds=0.5)
    answer = app.client.http.get("/orders/7")
    assert clock.slept == [0.5]
    assert (answer.status_code, answer.json_body) == (201, {"order": "7"})
    assert len(answer.headers.pop("X-Chaos-Environment")) == 8
    assert answer.headers == {"X-Own": "1", "X-Chaos-Experiment": "latency_injection", "X-Chaos-Run": run_id}


def test_an_injected_error_answers_in_the_routes_place(app: App) -> None:
    run_id = app.run("error_injection")
    answer = app.client.http.get("/orders/7")
    assert app.served == 0
    assert answer.status_code == 500
    assert answer.json_body == {
        "error": True,
        "error_message": "Chaos experiment: injected error",
        "code": "injected_error",
        "details": [],
        "resultset": {},
    }
    assert answer.headers["X-Chaos-Run"] == run_id


def test_what_another_middleware_raises_is_counted_as_an_error(app: App) -> None:
    def loses_its_database(request: Any, get_response: Any) -> Any:
        get_response(request)
        raise ConnectionError

    app.chaos._app.register_middleware(loses_its_database, "http")
    run_id = app.run("latency_injection", delay_seconds=0.0)
    assert app.client.http.get("/orders/7").status_code == 500
    app.chaos._module.get().engine.recorder.flush()
    assert app.results.tallies[run_id].statuses("hit") == {"5xx": 1}


def test_an_injected_error_has_the_routes_cors_headers(app: App) -> None:
    app.run("error_injection")
    assert app.client.http.get("/shared").headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert "Access-Control-Allow-Origin" not in app.client.http.get("/orders/7").headers


def test_the_test_endpoint_tells_what_was_done_to_it(app: App) -> None:
    app.client.http.get("/chaos_experiments/test")
    run_id = app.run("latency_injection", delay_seconds=0.5)
    told = app.client.http.get("/chaos_experiments/test").json_body["resultset"]
    assert told["active_chaos_experiments"] == ["latency_injection"]
    assert told["injected"] == [
        {"experiment": "latency_injection", "run_id": run_id, "fault": "wait", "seconds": 0.5},
    ]


def test_where_the_table_is_unreachable_the_test_endpoint_says_so(app: App) -> None:
    app.runs.broken = True
    answer = app.client.http.get("/chaos_experiments/test")
    assert (answer.status_code, answer.json_body["resultset"]["problem"]) == (200, "store_unavailable")


def test_the_endpoints_authenticate_where_no_gateway_did(app: App) -> None:
    refused = app.client.http.get("/chaos_experiments/status?experiment_name=error_injection")
    assert (refused.status_code, refused.json_body["code"]) == (401, "unauthenticated")
    answer = app.client.http.get(
        "/chaos_experiments/status?experiment_name=error_injection", headers={"Authorization": "Bearer dev-token"}
    )
    assert answer.json_body["resultset"]["status"] == "inactive"


@pytest.fixture
def routed(app: App) -> Client:
    """An application for which the module has made the endpoints' routes."""
    routed = Chalice("routed", configure_logs=False)
    ChaosExperiments(routed, wire=app._wire)
    return Client(routed)


def test_a_wrong_method_of_an_endpoint_is_answered_in_the_envelope(routed: Client) -> None:
    refused = routed.http.delete("/chaos_experiments/list")
    assert (refused.status_code, refused.json_body["code"]) == (405, "method_not_allowed")
    assert refused.headers["Allow"] == "GET, HEAD"


def test_a_head_has_no_body(routed: Client) -> None:
    answer = routed.http.request("HEAD", "/chaos_experiments/list", headers={"Authorization": "Bearer dev-token"})
    assert (answer.status_code, answer.body) == (200, b"")


def test_an_undecodable_body_is_refused_in_the_envelope(app: App) -> None:
    event = {
        "requestContext": {"httpMethod": "POST", "resourcePath": "/chaos_experiments/start"},
        "headers": {"authorization": "Bearer dev-token"},
        "pathParameters": {},
        "multiValueQueryStringParameters": None,
        "stageVariables": {},
        "body": "abc",
        "isBase64Encoded": True,
    }
    answer = app.client._app(event, None)
    assert answer["statusCode"] == 400
    assert "invalid_json" in answer["body"]


def gateway_event(method: str, endpoint: str, authorizer: dict[str, Any], body: str | None = None) -> dict[str, Any]:
    """What API Gateway hands over of a request for an endpoint, with what an authorizer of it says."""
    return {
        "requestContext": {
            "httpMethod": method,
            "resourcePath": f"/chaos_experiments/{endpoint}",
            "authorizer": authorizer,
        },
        "headers": {"content-type": "application/json"},
        "pathParameters": {},
        "multiValueQueryStringParameters": None,
        "stageVariables": {},
        "body": body,
    }


def test_the_caller_that_the_gateway_authenticated_is_believed(app: App) -> None:
    event = gateway_event(
        "POST", "start", {"name": "ada", "role": "operator"}, '{"experiment_name": "error_injection"}'
    )
    assert app.client._app(event, None)["statusCode"] == 200
    assert app.runs.runs["error_injection"].started_by == "ada"
    event["requestContext"]["authorizer"]["role"] = "viewer"
    assert app.client._app(event, None)["statusCode"] == 403


def test_where_the_routes_have_no_authorizer_of_ours_what_the_gateway_says_is_no_caller(routed: Client) -> None:
    event = gateway_event(
        "POST", "start", {"name": "ada", "role": "operator"}, '{"experiment_name": "error_injection"}'
    )
    assert routed._app(event, None)["statusCode"] == 401


@pytest.mark.parametrize("authorizer", [{"role": "operator"}, {"role": ["admin"], "name": "ada"}, {"claims": {}}])
def test_what_another_authorizer_of_the_gateway_says_is_no_caller(app: App, authorizer: dict[str, Any]) -> None:
    event = gateway_event("GET", "status", authorizer)
    event["multiValueQueryStringParameters"] = {"experiment_name": ["error_injection"]}
    assert app.client._app(event, None)["statusCode"] == 401
    event["headers"] = {"authorization": "Bearer dev-token"}
    assert app.client._app(event, None)["statusCode"] == 200


def test_an_event_without_a_route_is_left_to_chalice(app: App) -> None:
    assert app.client._app({}, None)["statusCode"] == 500
    assert app.wired == 0


@pytest.mark.parametrize(
    ("role", "opened"),
    [
        (Role.VIEWER, ["GET/chaos_experiments/list", "GET/chaos_experiments/status"]),
        (
            Role.OPERATOR,
            ["GET/chaos_experiments/list", "POST/chaos_experiments/start", "POST/chaos_experiments/stop"],
        ),
    ],
)
def test_a_token_opens_the_routes_of_its_role(app: App, role: Role, opened: list[str]) -> None:
    secret, token = new_token("ada", role, now=NOW)
    app.tokens.add(token)
    answer = app.chaos.authorize(AuthRequest("TOKEN", f"Bearer {secret}", ARN)).to_dict(AuthRequest("", "", ARN))
    resources = answer["policyDocument"]["Statement"][0]["Resource"]
    paths = [resource.split("/api/", 1)[1] for resource in resources]
    assert set(opened) <= set(paths)
    assert any(path.startswith("POST/chaos_experiments/st") for path in paths) == (role is Role.OPERATOR)
    assert answer["context"] == {"name": "ada", "role": role.word}


def test_an_unknown_token_opens_nothing(app: App) -> None:
    assert app.chaos.authorize(AuthRequest("TOKEN", "Bearer x", ARN)).routes == []


def test_a_silent_table_leaves_authentication_to_the_endpoint_which_answers_503(app: App) -> None:
    def silent(_: str) -> None:
        raise ModuleOff("silent")

    app.tokens.find = silent  # type: ignore[method-assign, assignment]
    opened = app.chaos.authorize(AuthRequest("TOKEN", "Bearer x", ARN))
    assert (opened.routes, opened.context) == (["*"], {})
    answer = app.client.http.get(
        "/chaos_experiments/status?experiment_name=error_injection", headers={"Authorization": "Bearer x"}
    )
    assert answer.status_code == 503


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (unavailable("no answer"), 503, "keys_unavailable"),
        (ConnectionError("the users' database"), 500, "internal_error"),
    ],
)
def test_an_outage_is_no_denial_that_the_gateway_remembers(
    clock: Clock, error: Exception, status: int, code: str
) -> None:
    """The gateway remembers what the authorizer answers for this token, and what it raises it does not."""
    down = True

    def authenticate(_: Mapping[str, str]) -> Caller:
        if down:
            raise error
        return Caller("ada", Role.OPERATOR)

    app = Chalice("tested", configure_logs=False)
    stores: dict[str, Any] = {"runs": FakeRunStore(), "results": FakeResultStore(), "tokens": FakeTokenStore()}
    wire = partial(bootstrap, Settings(stage="qa"), clock=clock, **stores)
    chaos = ChaosExperiments(app, routes=False, wire=wire, authenticate=authenticate)
    app.route("/chaos_experiments/list")(chaos.handle)
    remembered = chaos.authorize(AuthRequest("TOKEN", "Bearer a.b.c", ARN))
    assert (remembered.routes, remembered.context) == (["*"], {})
    client = Client(app)
    refused = client.http.get("/chaos_experiments/list", headers={"Authorization": "Bearer a.b.c"})
    assert (refused.status_code, refused.json_body["code"]) == (status, code)
    down = False
    assert client.http.get("/chaos_experiments/list", headers={"Authorization": "Bearer a.b.c"}).status_code == 200


def test_a_module_that_is_off_lets_every_request_through_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    app = Chalice("tested", configure_logs=False)
    ChaosExperiments(app, settings=Settings())
    app.route("/")(lambda: {"ok": True})
    client = Client(app)
    with caplog.at_level(logging.WARNING):
        assert client.http.get("/").json_body == {"ok": True}
        assert client.http.get("/").json_body == {"ok": True}
    assert caplog.text.count("CHAOS_STAGE is not set") == 1
    answer = client.http.get("/chaos_experiments/list")
    assert (answer.status_code, answer.json_body["code"]) == (503, "module_off")


def sns(message: str) -> SNSEvent:
    return SNSEvent({"Records": [{"Sns": {"Message": message, "Subject": "ALARM", "MessageAttributes": {}}}]}, None)


def fired(name: str, state: str = "ALARM") -> SNSEvent:
    return sns(json.dumps({"AlarmName": name, "NewStateValue": state, "NewStateReason": "5 errors a minute"}))


def test_an_alarm_that_is_told_ends_the_runs_that_name_it(app: App) -> None:
    for name, alarm in (("latency_injection", "orders-5xx"), ("error_injection", "orders-slow")):
        app.runs.runs[name] = replace(
            a_run(name, token=name, now=NOW, duration_seconds=600), options={"alarms": [alarm]}
        )
    app.clock.now += 1
    app.chaos.alarm(fired("orders-5xx", "OK"))
    app.chaos.alarm(fired("some-other"))
    assert len(app.runs.active(app.clock.now)) == 2
    app.chaos.alarm(fired("orders-5xx"))
    assert [run.experiment for run in app.runs.active(app.clock.now)] == ["error_injection"]
    aborted = app.runs.runs["latency_injection"]
    assert (aborted.aborted, aborted.ended_at) == (True, NOW + 1)
    assert aborted.end_reason == "CloudWatch alarm orders-5xx is in ALARM: 5 errors a minute"


@pytest.mark.parametrize("message", ["", "hello", "[]", "null", "{}", '{"AlarmName": "orders-5xx"}'])
def test_a_message_that_is_no_alarms_is_left_alone(app: App, message: str, caplog: pytest.LogCaptureFixture) -> None:
    app.chaos.alarm(sns(message))
    assert "Ignored an SNS message that is not a CloudWatch alarm" in caplog.text


def test_an_alarm_that_cannot_be_obeyed_comes_again(app: App) -> None:
    app.chaos.alarm(fired("orders-5xx", "OK"))
    app.runs.broken = True
    with pytest.raises(StoreUnavailable):
        app.chaos.alarm(fired("orders-5xx"))


def test_a_delay_leaves_the_invocation_its_time(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalGateway, "MAX_LAMBDA_EXECUTION_TIME", 2)
    app.run("latency_injection", delay_seconds=60.0, duration_seconds=600)
    answer = app.client.http.get("/orders/7")
    assert (answer.status_code, answer.headers["X-Chaos-Cut"]) == (201, "latency_injection")
    assert sum(app.clock.slept) == pytest.approx(1.5, abs=0.1)
