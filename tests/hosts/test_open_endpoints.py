"""The test endpoint and the OpenAPI document are for anyone, or for viewers where the application says so."""

from collections.abc import Iterator, Mapping

import pytest

from tests.hosts.serving import Host, Served, served

FRAMEWORKS = ["flask", "fastapi", "chalice"]
ENDPOINTS = [("GET", "/test"), ("POST", "/test"), ("HEAD", "/test"), ("GET", "/openapi.json")]


@pytest.fixture(scope="module", params=FRAMEWORKS)
def guarded(
    request: pytest.FixtureRequest, table: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    with served(Host(request.param, "not_open"), tmp_path_factory.mktemp("guarded"), **table) as host:
        yield host
        host.reset()


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
@pytest.mark.parametrize("token", [None, "wrong"])
def test_nobody_else_gets_an_answer(guarded: Served, method: str, path: str, token: str | None) -> None:
    answer = guarded.control(method, path, token)
    assert answer.status_code == 401
    if method != "HEAD":
        assert answer.json()["code"] == "unauthenticated"


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_a_viewer_does(guarded: Served, method: str, path: str) -> None:
    assert guarded.control(method, path, None, headers={"X-Viewer": "vic"}).status_code == 200


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_so_does_an_operator(guarded: Served, method: str, path: str) -> None:
    assert guarded.control(method, path).status_code == 200


def test_the_console_stays_a_page_that_asks_for_a_token(guarded: Served) -> None:
    answer = guarded.control("GET", "/console", None, headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


def test_who_is_refused_is_not_delayed_or_hit(guarded: Served) -> None:
    guarded.start("error_injection", error_rate=1.0)
    answer = guarded.control("GET", "/test", None)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert "X-Chaos-Run" not in answer.headers
    guarded.stop("error_injection")


@pytest.fixture(scope="module", params=FRAMEWORKS)
def unguarded(
    request: pytest.FixtureRequest, table: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    with served(Host(request.param, "plain"), tmp_path_factory.mktemp("unguarded"), **table) as host:
        yield host


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_by_default_anyone_gets_an_answer(unguarded: Served, method: str, path: str) -> None:
    assert unguarded.control(method, path, None).status_code == 200
