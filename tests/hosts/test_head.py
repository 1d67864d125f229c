"""HEAD on a GET endpoint answers like GET, without a body."""

from collections.abc import Iterator, Mapping

import pytest

from tests.hosts.configurations import HOSTS
from tests.hosts.serving import Served, served

PLAIN = ["flask, plain", "fastapi, plain", "chalice, plain"]
ENDPOINTS = ["/list", "/history", "/test", "/console", "/openapi.json", "/status?experiment_name=latency_injection"]


@pytest.fixture(scope="module", params=PLAIN)
def host(
    request: pytest.FixtureRequest, table: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    with served(HOSTS[request.param], tmp_path_factory.mktemp("head"), **table) as host:
        yield host


@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_head_is_a_get_without_its_body(host: Served, path: str) -> None:
    get, head = host.control("GET", path), host.control("HEAD", path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["Content-Type"] == get.headers["Content-Type"]
    assert head.headers.get("Content-Security-Policy") == get.headers.get("Content-Security-Policy")


def test_a_head_needs_a_token_where_the_get_does(host: Served) -> None:
    assert host.control("HEAD", "/list", None).status_code == 401


def test_there_is_no_head_where_there_is_no_get(host: Served) -> None:
    answer = host.control("HEAD", "/start")
    assert (answer.status_code, answer.content) == (405, b"")
