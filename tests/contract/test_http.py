"""One behaviour in every framework, without a server.

The same suite runs on servers with several processes and one table in `tests/contract_servers`, and on a deployed stage
in `tests/staging`: each has a `server` of its own.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from chalicelib.experiments.catalogue import installed
from tests.contract.servers import Server
from tests.loopback import until

API = "/chaos_experiments"
LATENCY = {"experiment_name": "latency_injection", "delay_seconds": 0.2, "duration_seconds": 60}


def start(server: Server, experiment: str, **parameters: Any) -> dict[str, Any]:
    """Started, and felt by every process from now on."""
    answer = server.call("POST", f"{API}/start", json={"experiment_name": experiment, **parameters})
    assert answer.status_code == 200, answer.text
    time.sleep(server.idle_seconds)
    run: dict[str, Any] = answer.json()["resultset"]
    return run


# The control plane


def test_the_list_tells_what_there_is_and_what_runs(server: Server) -> None:
    answer = server.call("GET", f"{API}/list")
    content = answer.json()
    assert (answer.status_code, content["error"], content["error_message"]) == (200, False, None)
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["Cache-Control"] == "no-store"
    assert [each["name"] for each in content["resultset"]["available_experiments"]] == list(installed())
    assert content["resultset"]["active_experiments"] == []


def test_the_openapi_document_is_there_for_anyone(server: Server) -> None:
    answer = server.call("GET", f"{API}/openapi.json", None)
    assert answer.status_code == 200
    assert f"{API}/start" in answer.json()["paths"]


def test_the_console_is_a_page_for_anyone(server: Server) -> None:
    answer = server.call("GET", f"{API}/console", None, headers={"Accept": "text/html,*/*;q=0.8"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'sha256-")
    assert answer.text.startswith("<!doctype html>")
    assert answer.text.rstrip().endswith("</html>")


@pytest.mark.parametrize(
    ("asked", "media", "begins"),
    [
        ({"headers": {"Accept": "text/html"}}, "text/html; charset=utf-8", "<!doctype html>"),
        ({"headers": {"Accept": "text/markdown"}}, "text/markdown; charset=utf-8", "# Latency injection"),
        ({"query": "&format=html"}, "text/html; charset=utf-8", "<!doctype html>"),
        ({}, "application/json", '{"error": false'),
    ],
)
def test_a_report_is_had_in_each_form(server: Server, asked: dict[str, Any], media: str, begins: str) -> None:
    run = server.call("POST", f"{API}/start", json=LATENCY).json()["resultset"]
    path = f"{API}/report?run_id={run['run_id']}{asked.get('query', '')}"
    answer = server.call("GET", path, headers=asked.get("headers", {}))
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, media), answer.text
    assert answer.text.startswith(begins)
    assert run["run_id"] in answer.text


def test_a_run_is_started_seen_and_stopped(server: Server) -> None:
    run = start(server, "latency_injection", delay_seconds=0.0, reason="a test")
    assert (run["status"], run["started_by"], run["reason"]) == ("running", server.operator, "a test")
    again = server.call("POST", f"{API}/start", json=LATENCY)
    assert (again.status_code, again.json()["code"]) == (409, "already_running")
    seen = server.call("GET", f"{API}/status", params={"experiment_name": "latency_injection"}).json()["resultset"]
    assert (seen["run_id"], seen["status"]) == (run["run_id"], "running")
    stopped = server.call("POST", f"{API}/stop", json={"experiment_name": "latency_injection"}).json()["resultset"]
    assert (stopped["run_id"], stopped["status"]) == (run["run_id"], "stopped")
    gone = server.call("POST", f"{API}/stop", json={"experiment_name": "latency_injection"})
    assert (gone.status_code, gone.json()["code"]) == (404, "not_running")


def test_a_preview_says_what_would_be_hit_and_starts_nothing(server: Server) -> None:
    start = {**LATENCY, "percentage": 20.0}
    answer = server.call("POST", f"{API}/preview", json={**start, "request": {"path": "/orders/1"}})
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store"), answer.text
    assert (answer.json()["resultset"]["would_hit"], answer.json()["resultset"]["refused"]) == (0.2, [])
    ours = server.call("POST", f"{API}/preview", json={**start, "request": {"path": f"{API}/list"}}).json()
    assert ours["resultset"]["would_hit"] is False
    refused = server.call("POST", f"{API}/preview", json={**start, "request": {"path": "orders"}})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_parameters")
    assert server.call("GET", f"{API}/list").json()["resultset"]["active_experiments"] == []
    run = server.call("POST", f"{API}/start", json=LATENCY).json()["resultset"]
    of_run = server.call("POST", f"{API}/preview", json={"run_id": run["run_id"], "request": {"path": "/orders/1"}})
    assert of_run.json()["resultset"]["would_hit"] is True
    again = server.call("POST", f"{API}/preview", json={**start, "request": {"path": "/orders/1"}}).json()
    assert [each["code"] for each in again["resultset"]["refused"]] == ["already_running"]


def test_what_the_application_calls_is_observed_from_the_first_question_on(server: Server) -> None:
    first = server.call("GET", f"{API}/dependencies")
    assert (first.status_code, first.headers["Cache-Control"]) == (200, "no-store"), first.text
    again = server.call("GET", f"{API}/dependencies").json()["resultset"]
    assert again["observing"] is True
    assert again["observed_until"] > first.json()["resultset"]["observing_since"]
    assert set(again) == set(first.json()["resultset"])
    wrong = server.call("POST", f"{API}/dependencies", json={})
    if not server.gateway:
        assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")


def test_runs_of_one_experiment_have_labels_and_are_named_in_four_ways(server: Server) -> None:
    """Each delays a request, whose header names the experiment once and both runs."""
    body = {"experiment_name": "latency_injection", "duration_seconds": 60, "delay_seconds": 0.0}
    plain = server.call("POST", f"{API}/start", json=body).json()["resultset"]
    slow = start(server, "latency_injection", delay_seconds=0.01, label="slow-orders")
    assert (plain["label"], slow["label"], slow["name"]) == ("latency_injection", "slow-orders", "latency_injection")
    taken = server.call("POST", f"{API}/start", json={**body, "label": "slow-orders"})
    assert (taken.status_code, taken.json()["code"]) == (409, "already_running")
    answers = (server.call("GET", "/orders/7") for _ in range(100))
    hit = next(answer for answer in answers if "," in answer.headers.get("X-Chaos-Run", ""))
    assert hit.headers["X-Chaos-Experiment"] == "latency_injection"
    assert set(hit.headers["X-Chaos-Run"].split(", ")) == {plain["run_id"], slow["run_id"]}
    tested = server.call("GET", f"{API}/test", None).json()["resultset"]
    assert tested["active_chaos_experiments"] == ["latency_injection"]
    assert len(tested["injected"]) == 2
    for asked in ({"experiment_name": "latency_injection"}, {"label": "slow-orders"}, {"run_id": slow["run_id"]}):
        seen = server.call("GET", f"{API}/status", params=asked).json()["resultset"]
        assert (seen["run_id"], len(seen["runs"])) == (slow["run_id"], 2 if "experiment_name" in asked else 1)
    (entry,) = server.call("GET", f"{API}/history", params={"label": "slow-orders", "limit": 1}).json()["resultset"][
        "entries"
    ]
    assert entry["id"] == slow["run_id"]
    one = server.call("POST", f"{API}/stop", json={"label": "slow-orders"}).json()["resultset"]
    assert [run["run_id"] for run in one["stopped_runs"]] == [slow["run_id"]]
    rest = server.call("POST", f"{API}/stop", json={"run_id": plain["run_id"]}).json()["resultset"]
    assert (rest["run_id"], rest["status"], len(rest["stopped_runs"])) == (plain["run_id"], "stopped", 1)


def test_a_scenario_starts_as_a_whole_and_is_stopped_by_its_id(server: Server) -> None:
    several: list[dict[str, Any]] = [
        {"experiment_name": "latency_injection", "label": "a", "delay_seconds": 0.0},
        {"experiment_name": "latency_injection", "label": "b", "delay_seconds": 0.0},
        {"experiment_name": "error_injection", "label": "c", "error_rate": 0.5},
    ]
    answer = server.call("POST", f"{API}/start", json={"experiments": several})
    scenario = answer.json()["resultset"]
    assert (answer.status_code, [run["label"] for run in scenario["runs"]]) == (200, ["a", "b", "c"])
    again = server.call("POST", f"{API}/start", json={"experiments": [{**several[0], "label": "d"}, several[2]]})
    assert (again.status_code, again.json()["code"]) == (409, "already_running")
    wrong = server.call("POST", f"{API}/start", json={"experiments": [several[0], {**several[1], "delay_seconds": -1}]})
    assert [problem["field"] for problem in wrong.json()["details"]] == ["experiments.1.delay_seconds"]
    listed = server.call("GET", f"{API}/list").json()["resultset"]["active_experiments"]
    assert {(run["label"], run["scenario"]) for run in listed} == {(label, scenario["scenario"]) for label in "abc"}
    stopped = server.call("POST", f"{API}/stop", json={"scenario": scenario["scenario"]}).json()["resultset"]
    assert {run["label"] for run in stopped["stopped_runs"]} == {"a", "b", "c"}
    assert server.call("GET", f"{API}/list").json()["resultset"]["active_experiments"] == []


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"json": {"experiments": []}}, 400, "invalid_parameters"),
        ({"json": {"experiments": [{"experiment_name": "nothing"}]}}, 404, "unknown_experiment"),
        ({"data": b"not json", "headers": {"Content-Type": "application/json"}}, 400, "invalid_json"),
        ({"data": b"", "headers": {"Content-Type": "application/json"}}, 400, "invalid_json"),
        ({"data": b"\xff\xfe", "headers": {"Content-Type": "application/json"}}, 400, "invalid_json"),
        ({"json": {}}, 400, "missing_parameter"),
        ({"json": {"experiment_name": "latency_injection", "delay_seconds": "2"}}, 400, "invalid_parameters"),
        ({"json": {"experiment_name": "nothing"}}, 404, "unknown_experiment"),
        ({"data": b"{}", "headers": {"Content-Type": "text/plain"}}, 415, "unsupported_media_type"),
        ({"json": {"experiment_name": "x" * 20_000}}, 413, "body_too_large"),
    ],
)
def test_bad_input_is_told_and_starts_nothing(server: Server, options: dict[str, Any], status: int, code: str) -> None:
    answer = server.call("POST", f"{API}/start", **options)
    content = answer.json()
    assert (answer.status_code, content["code"], content["error"], content["resultset"] or {}) == (
        status,
        code,
        True,
        content["resultset"],
    )
    assert server.call("GET", f"{API}/list").json()["resultset"]["active_experiments"] == []


@pytest.mark.parametrize("token", [None, "wrong"])
def test_without_a_valid_token_nothing_but_the_test_endpoint_answers(server: Server, token: str | None) -> None:
    for method, path in [
        ("GET", "/list"),
        ("GET", "/status"),
        ("GET", "/dependencies"),
        *(("POST", each) for each in ("/start", "/stop", "/preview")),
    ]:
        answer = server.call(method, API + path, token, **({"json": LATENCY} if method == "POST" else {}))
        if server.gateway:
            assert answer.status_code in (401, 403), answer.text
        else:
            assert (answer.status_code, answer.json().get("code")) == (401, "unauthenticated"), answer.text
    assert server.call("GET", f"{API}/test", token).status_code == 200


# What is below the prefix and no endpoint


ROUTED = "the gateway knows only the routes that there are, and answers everything else by itself"


@pytest.mark.parametrize("path", ["/lst", "/list/more", "/v2/list", "/", ""])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_path_below_the_prefix_is_answered_in_the_envelope(
    server: Server, method: str, path: str, request: pytest.FixtureRequest
) -> None:
    if server.gateway:
        pytest.skip(ROUTED)
    answer = server.call(method, API + path, None)
    content = answer.json()
    if "chalice local" in request.node.name:  # which answers as API Gateway does
        assert (answer.status_code, content) == (403, {"message": "Missing Authentication Token"})
        return
    assert (answer.status_code, content["error"], content["code"]) == (404, True, "unknown_endpoint")
    assert f"GET {API}/list" in content["error_message"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/list", {"GET", "HEAD"}),
        ("GET", "/start", {"POST"}),
        ("PUT", "/test", {"GET", "HEAD", "POST"}),
        ("DELETE", "/console", {"GET", "HEAD"}),
        ("PATCH", "/stop/", {"POST"}),
    ],
)
def test_a_wrong_method_is_answered_in_the_envelope_with_the_right_ones(
    server: Server, method: str, path: str, allowed: set[str]
) -> None:
    if server.gateway:
        pytest.skip(ROUTED)
    answer = server.call(method, API + path, None)
    content = answer.json()
    assert (answer.status_code, content["error"], content["code"]) == (405, True, "method_not_allowed")
    assert set(answer.headers["Allow"].split(", ")) == allowed


def test_a_path_with_a_slash_at_its_end_is_the_same_endpoint(server: Server) -> None:
    if server.gateway:
        pytest.skip(ROUTED)
    answer = server.call("GET", f"{API}/list/")
    assert (answer.status_code, answer.json()["error"], list(answer.history)) == (200, False, [])
    start(server, "latency_injection", delay_seconds=0.05)
    assert server.call("GET", f"{API}/test/", None).json()["resultset"]["injected"][0]["seconds"] == 0.05


def test_a_head_is_a_get_without_its_body(server: Server) -> None:
    answer = server.call("HEAD", f"{API}/list")
    assert (answer.status_code, answer.content) == (200, b"")
    assert server.call("HEAD", f"{API}/list", None).status_code == 401
    assert server.call("GET", f"{API}/list").json()["error"] is False  # on the same connection


def test_all_below_the_prefix_is_the_modules_and_everything_else_the_applications(server: Server) -> None:
    if server.gateway:
        pytest.skip("the deployed application has no routes of its own")
    assert server.call("GET", f"{API}/own/7").json()["code"] == "unknown_endpoint"
    assert server.call("GET", "/anything").text == "the page of anything"


# The data plane


def test_an_untouched_route_answers_as_it_did(server: Server) -> None:
    answer = server.call("GET", "/orders/7")
    assert (answer.status_code, answer.json()["order"], answer.headers["X-Own"]) == (201, "7", "1")
    assert not [name for name in answer.headers if name.lower().startswith("x-chaos")]


def test_a_delayed_route_answers_as_it_did_but_later_and_says_why(server: Server) -> None:
    run = start(server, "latency_injection", delay_seconds=0.2)
    for _ in range(6):  # both processes
        began = time.monotonic()
        answer = server.call("GET", "/orders/7")
        assert time.monotonic() - began >= 0.2
        assert (answer.status_code, answer.json()["order"], answer.headers["X-Own"]) == (201, "7", "1")
        assert answer.headers["X-Chaos-Experiment"] == "latency_injection"
        assert answer.headers["X-Chaos-Run"] == run["run_id"]
        assert len(answer.headers["X-Chaos-Environment"]) == 8


def test_an_injected_error_answers_in_the_routes_place(server: Server) -> None:
    start(server, "error_injection", error_rate=1.0)
    for _ in range(6):
        answer = server.call("GET", "/orders/7")
        assert (answer.status_code, answer.json()["code"]) == (500, "injected_error")
        assert answer.headers["X-Chaos-Experiment"] == "error_injection"
        assert "X-Own" not in answer.headers


@pytest.mark.parametrize(
    ("status", "body", "sent"),
    [(503, "Grüße", ("text/plain", "Grüße")), (599, {"a": 1}, ("application/json", '{"a": 1}'))],
)
@pytest.mark.parametrize("path", ["/orders/7", f"{API}/test"])
def test_an_injected_error_has_the_status_headers_and_body_that_were_asked_for(
    server: Server, path: str, status: int, body: Any, sent: tuple[str, str]
) -> None:
    headers = {"Retry-After": "120"}
    start(server, "error_injection", error_rate=1.0, status_code=status, headers=headers, body=body)
    answer = server.call("GET", path)
    assert (answer.status_code, answer.headers["Retry-After"]) == (status, "120")
    assert (answer.headers["Content-Type"].partition(";")[0], answer.text) == sent
    assert answer.headers["X-Chaos-Experiment"] == "error_injection"


def test_the_excluded_route_and_the_control_plane_are_never_hit(server: Server) -> None:
    start(server, "error_injection", error_rate=1.0)
    for path in ("/health", f"{API}/list", f"{API}/status?experiment_name=error_injection"):
        assert server.call("GET", path).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_test_endpoint_feels_and_tells(server: Server, method: str) -> None:
    run = start(server, "latency_injection", delay_seconds=0.05)
    told = server.call(method, f"{API}/test", None).json()["resultset"]
    assert told["active_chaos_experiments"] == ["latency_injection"]
    assert told["injected"] == [
        {"experiment": "latency_injection", "run_id": run["run_id"], "fault": "wait", "seconds": 0.05}
    ]
    assert told["problem"] is None
    assert len(told["environment"]) == 8


def test_memory_is_held_and_told(server: Server) -> None:
    run = start(server, "resource_exhaustion", memory_mb=20)
    told = server.call("GET", f"{API}/test", None).json()["resultset"]
    assert told["injected"][0]["memory_mb"] == 20

    def held() -> object:
        status = server.call("GET", f"{API}/status?run_id={run['run_id']}").json()["resultset"]
        return status["results"].get("held_memory_mb")

    until(lambda: held() == 20)  # though the endpoint is nobody's traffic


def test_an_expiry_needs_nobody(server: Server) -> None:
    start(server, "error_injection", error_rate=1.0, duration_seconds=server.idle_seconds + 0.3)
    time.sleep(0.3)
    assert server.call("GET", "/orders/7").status_code == 201


def test_a_thousand_requests_run_their_handler_once_each_and_all_are_answered(server: Server) -> None:
    before = server.handled()
    start(server, "error_injection", error_rate=0.5)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: server.call("GET", f"/orders/{number}"), range(1000)))
    served = [answer.json()["order"] for answer in answers if answer.status_code == 201]
    assert {answer.status_code for answer in answers} == {201, 500}
    assert len(served) == server.handled() - before
    assert served == [str(number) for number, answer in enumerate(answers) if answer.status_code == 201]
