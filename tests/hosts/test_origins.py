"""Front ends of other origins: those of `allowed_origins`, and those that a host's own CORS lets in.

Without `allowed_origins` the module adds no CORS header and answers no preflight: what the host has for preflights
answers those below the prefix, too, be it around the module or within (as GenericSuite has it). With it, the module
answers them itself, before the host; the host's own routes are the host's either way.
"""

from collections.abc import Iterator, Mapping

import pytest
import requests

from tests.hosts.serving import API, Host, Served, served

ADMIN, OPS, SHOP, STRANGER = (f"https://{name}.example" for name in ("admin", "ops", "shop", "stranger"))
FRAMEWORKS = ["flask", "fastapi", "chalice"]


def preflight(host: Served, origin: str, path: str, method: str = "POST") -> requests.Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    return host.server.call("OPTIONS", path, None, headers=headers)


def names(answer: requests.Response, header: str) -> set[str]:
    return {name.strip().lower() for name in answer.headers.get(header, "").split(",")}


def cors_headers(answer: requests.Response) -> list[str]:
    return [name for name in answer.headers if name.lower().startswith("access-control-")]


# With allowed_origins


@pytest.fixture(
    scope="module",
    params=[(framework, name) for framework in FRAMEWORKS for name in ("cross_origin", "cross_origin_log_in")],
    ids=" ".join,
)
def host(
    request: pytest.FixtureRequest, table: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    with served(Host(*request.param), tmp_path_factory.mktemp("origins"), **table) as host:
        yield host


@pytest.mark.parametrize("origin", [ADMIN, OPS])
@pytest.mark.parametrize(("method", "path"), [("POST", "/start"), ("POST", "/halt"), ("GET", "/list")])
def test_a_preflight_of_an_allowed_origin_is_answered(host: Served, origin: str, method: str, path: str) -> None:
    answer = preflight(host, origin, API + path, method)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert method.lower() in names(answer, "Access-Control-Allow-Methods")
    assert {"authorization", "content-type"} <= names(answer, "Access-Control-Allow-Headers")
    assert "origin" in names(answer, "Vary")


@pytest.mark.parametrize("origin", [STRANGER, "null", ADMIN.replace("https", "http"), f"{ADMIN}:8443", f"{ADMIN}.evil"])
def test_no_other_origin_is_allowed_anything(host: Served, origin: str) -> None:
    assert "Access-Control-Allow-Origin" not in preflight(host, origin, f"{API}/start").headers
    answer = host.control("GET", "/list", headers={"Origin": origin})
    assert answer.status_code == 200  # the browser is who keeps it from the page
    assert cors_headers(answer) == []
    assert "origin" in names(answer, "Vary")


@pytest.mark.parametrize(("token", "status"), [("a-token-for-tests", 200), ("wrong", 401)])
def test_a_page_of_an_allowed_origin_may_read_answers_and_refusals(host: Served, token: str, status: int) -> None:
    answer = host.control("GET", "/list", token, headers={"Origin": ADMIN})
    assert answer.status_code == status
    assert answer.headers["Access-Control-Allow-Origin"] == ADMIN
    assert "origin" in names(answer, "Vary")
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_a_request_without_an_origin_is_allowed_nothing(host: Served) -> None:
    assert cors_headers(host.control("GET", "/list")) == []


def test_the_hosts_own_routes_stay_the_hosts(host: Served) -> None:
    answer = host.server.call("GET", "/orders/7", None, headers={"Origin": ADMIN, "X-Session": "ada"})
    assert answer.status_code == 201
    assert cors_headers(answer) == []


# Without


@pytest.fixture(scope="module", params=FRAMEWORKS)
def plain(
    request: pytest.FixtureRequest, table: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    with served(Host(request.param, "plain"), tmp_path_factory.mktemp("plain"), **table) as host:
        yield host


def test_without_the_option_there_is_no_cors_header_of_ours(plain: Served) -> None:
    of_the_server = cors_headers(preflight(plain, ADMIN, "/orders"))  # `chalice local` names methods, not origins
    assert cors_headers(preflight(plain, ADMIN, f"{API}/start")) == of_the_server
    assert "Access-Control-Allow-Origin" not in of_the_server
    assert cors_headers(plain.control("GET", "/list", headers={"Origin": ADMIN})) == []


@pytest.fixture(scope="module", params=["flask", "fastapi"])
def own_cors(
    request: pytest.FixtureRequest, table: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    with served(Host(request.param, "own_cors"), tmp_path_factory.mktemp("own-cors"), **table) as host:
        yield host


@pytest.mark.parametrize("path", ["/orders", f"{API}/start"])
def test_a_hosts_own_cors_within_the_module_answers_preflights(own_cors: Served, path: str) -> None:
    answer = preflight(own_cors, SHOP, path)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == SHOP
    assert "post" in names(answer, "Access-Control-Allow-Methods")


def test_within_the_module_it_decorates_our_answers_and_refusals(own_cors: Served) -> None:
    for token, status in (("a-token-for-tests", 200), ("wrong", 401)):
        answer = own_cors.control("GET", "/list", token, headers={"Origin": SHOP})
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (status, SHOP)


@pytest.fixture(scope="module", params=["flask", "fastapi"])
def cors_around(
    request: pytest.FixtureRequest, table: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    with served(Host(request.param, "cors_around"), tmp_path_factory.mktemp("cors-around"), **table) as host:
        yield host


@pytest.mark.parametrize("path", ["/orders", f"{API}/start"])
def test_a_hosts_own_cors_around_the_module_answers_preflights(cors_around: Served, path: str) -> None:
    answer = preflight(cors_around, SHOP, path)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == SHOP


def test_around_the_module_it_decorates_our_answers(cors_around: Served) -> None:
    answer = cors_around.control("GET", "/list", headers={"Origin": SHOP})
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, SHOP)
