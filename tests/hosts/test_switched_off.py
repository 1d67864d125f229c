"""Where the module is switched off the host behaves as one that never heard of it, and the control plane says so."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.hosts.configurations import HOSTS
from tests.hosts.serving import Served, served

ENDPOINTS = [("GET", "/list"), ("POST", "/start"), ("POST", "/halt"), ("GET", "/test"), ("GET", "/status")]
OWN: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/orders/7", {}),
    ("HEAD", "/orders/7", {}),
    ("GET", "/orders/7/", {}),
    ("GET", "/orders//7", {}),
    ("POST", "/orders", {"json": {"item": "tea"}}),
    ("POST", "/orders", {"data": b"no JSON", "headers": {"Content-Type": "application/json"}}),
    ("DELETE", "/orders", {}),
    ("OPTIONS", "/orders/7", {"headers": {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}}),
    ("GET", "/caf%C3%A9", {}),
    ("GET", "/", {}),
]
OF_THE_ANSWER = {"date", "content-length", "etag", "last-modified", "x-amzn-requestid"}
"""Headers that differ between two processes of the same host, or two answers of one process."""


@pytest.fixture(scope="module", params=HOSTS)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Served]]:
    """The same host with the module switched off, and without the module."""
    host = HOSTS[request.param]
    folders: dict[Any, Path] = {module: tmp_path_factory.mktemp(module) for module in ("off", "absent")}
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        off, absent = pool.map(lambda each: stack.enter_context(served(host, each[1], each[0])), folders.items())
        yield off, absent


def seen(served: Served, answer: requests.Response) -> tuple[int, dict[str, str], str]:
    """All of an answer; where the host says where it serves, without its port."""
    port = urlsplit(served.server.url).netloc
    headers = {name.lower(): value.replace(port, "here") for name, value in answer.headers.items()}
    kept = {name: value for name, value in headers.items() if name not in OF_THE_ANSWER}
    return answer.status_code, kept, answer.text.replace(port, "here")


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_the_control_plane_says_that_it_is_off(both: tuple[Served, Served], method: str, path: str) -> None:
    off, _ = both
    answer = off.control(method, path, **({"json": {}} if method == "POST" else {}))
    content = answer.json()
    assert (answer.status_code, content["error"], content["code"]) == (503, True, "module_off")
    assert "CHAOS_STAGE" in content["error_message"]


def test_whom_it_lets_in_the_host_answers_as_without_the_module(both: tuple[Served, Served]) -> None:
    for method, path, options in OWN:
        answers = [seen(each, each.own(method, path, allow_redirects=False, **options)) for each in both]
        assert answers[0] == answers[1], (method, path)


def test_whom_it_turns_away_the_host_answers_as_without_the_module(both: tuple[Served, Served]) -> None:
    for method, path, options in OWN:
        answers = [seen(each, each.server.call(method, path, None, allow_redirects=False, **options)) for each in both]
        assert answers[0] == answers[1], (method, path)
