"""The control plane answers, whatever the host has configured for all of its routes; and the host's routes are hit."""

import time
from collections.abc import Iterator, Mapping

import pytest

from tests.hosts.configurations import HOSTS
from tests.hosts.serving import API, Served, served

LATENCY = {"experiment_name": "latency_injection", "delay_seconds": 0.0, "duration_seconds": 60}


@pytest.fixture(scope="module", params=HOSTS)
def of_the_host(
    request: pytest.FixtureRequest, table: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    with served(HOSTS[request.param], tmp_path_factory.mktemp("on"), **table) as host:
        yield host


@pytest.fixture
def host(of_the_host: Served) -> Iterator[Served]:
    """Nothing runs before and after, and nothing is halted."""
    yield of_the_host
    of_the_host.reset()


def test_the_list_is_there_for_who_has_a_token_of_ours_and_none_of_the_hosts(host: Served) -> None:
    listed = host.resultset("GET", "/list")
    assert "latency_injection" in {each["name"] for each in listed["available_experiments"]}
    assert listed["active_experiments"] == []


@pytest.mark.parametrize(("method", "path"), [("GET", "/list"), ("POST", "/start"), ("POST", "/halt")])
def test_a_log_in_of_the_host_opens_nothing(host: Served, method: str, path: str) -> None:
    body = {"json": LATENCY} if method == "POST" else {}
    answer = host.control(method, path, None, headers={"X-Session": "ada"}, **body)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


def test_the_console_is_a_page(host: Served) -> None:
    answer = host.control("GET", "/console", None, headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert answer.text.startswith("<!doctype html>")


def test_the_openapi_document_is_there(host: Served) -> None:
    answer = host.control("GET", "/openapi.json", None)
    assert answer.status_code == 200, answer.text
    assert f"{API}/start" in answer.json()["paths"]


def test_the_test_endpoint_answers(host: Served) -> None:
    for method in ("GET", "POST"):
        answer = host.control(method, "/test", None)
        assert answer.status_code == 200, answer.text
        assert answer.json()["resultset"]["active_chaos_experiments"] == []


def test_a_head_is_a_get_without_its_body(host: Served) -> None:
    answer = host.control("HEAD", "/list")
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_run_is_started_seen_and_stopped(host: Served) -> None:
    run = host.start("latency_injection", delay_seconds=0.0)
    seen = host.resultset("GET", "/status", params={"experiment_name": "latency_injection"})
    assert (seen["run_id"], seen["status"]) == (run["run_id"], "running")
    stopped = host.stop("latency_injection")
    assert (stopped["run_id"], stopped["status"]) == (run["run_id"], "stopped")


def test_everything_is_halted_and_resumed(host: Served) -> None:
    assert host.control("POST", "/halt", json={"reason": "orders are lost"}).status_code == 200
    refused = host.control("POST", "/start", json=LATENCY)
    assert (refused.status_code, refused.json()["code"]) == (423, "halted")
    assert host.control("POST", "/resume", json={"reason": "a test"}).status_code == 200
    assert host.resultset("GET", "/list")["active_experiments"] == []


def test_what_is_no_endpoint_is_answered_in_the_envelope(host: Served) -> None:
    if host.host.framework == "chalice":
        pytest.skip("the gateway knows only the routes that there are, and answers everything else by itself")
    unknown = host.control("GET", "/lst", None)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_endpoint")
    wrong = host.control("DELETE", "/start", None)
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")


def test_a_route_that_answers_is_hit(host: Served) -> None:
    run = host.start("latency_injection", delay_seconds=0.1)
    began = time.monotonic()
    answer = host.own("GET", "/orders/7")
    assert time.monotonic() - began >= 0.1
    assert answer.status_code == host.host.status
    assert answer.headers["X-Chaos-Run"] == run["run_id"]
    host.stop("latency_injection")
    assert "X-Chaos-Run" not in host.own("GET", "/orders/7").headers


def test_a_request_that_the_host_turns_away_is_turned_away_as_before_and_not_hit(host: Served) -> None:
    if not host.host.headers:
        pytest.skip("this host lets everybody in")
    if not host.host.refuses_before_the_route:
        pytest.skip("what turns the request away is a part of the route")
    before = host.server.call("GET", "/orders/7", None, allow_redirects=False)
    assert before.status_code != host.host.status
    host.start("error_injection", error_rate=1.0)
    answer = host.server.call("GET", "/orders/7", None, allow_redirects=False)
    assert (answer.status_code, answer.content) == (before.status_code, before.content)
    assert not [name for name in answer.headers if name.lower().startswith("x-chaos")]
