"""In FastAPI the endpoints are in the application's own OpenAPI document, whatever the host configures for its own."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.hosts.configurations import FASTAPI
from tests.hosts.serving import API, Module, Served, served

WITH_A_DOCUMENT = ["plain", "log-in", "unique ids", "single page after", "catch-all after", "mounted"]


@pytest.fixture(scope="module", params=["on", "off"])
def module(request: pytest.FixtureRequest) -> Module:
    module: Module = request.param
    return module


@pytest.fixture(scope="module", params=WITH_A_DOCUMENT)
def host(
    request: pytest.FixtureRequest, module: Module, table: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    with served(FASTAPI[request.param], tmp_path_factory.mktemp(module), module, **table) as host:
        yield host


@pytest.fixture
def document(host: Served) -> dict[str, Any]:
    answer = host.own("GET", "/openapi.json")
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def test_the_endpoints_are_in_it_and_the_applications_own_too(document: dict[str, Any]) -> None:
    assert document["info"]["title"] == "Shop"
    assert {f"{API}/start", f"{API}/list", f"{API}/halt", "/orders/{number}", "/orders"} <= document["paths"].keys()
    assert "requestBody" in document["paths"][f"{API}/start"]["post"]


def test_no_operation_of_ours_has_the_id_of_another_one(document: dict[str, Any]) -> None:
    ids: dict[bool, list[str]] = {True: [], False: []}
    for path, operations in document["paths"].items():
        ids[path.startswith(API)] += [each["operationId"] for each in operations.values() if "operationId" in each]
    assert len(set(ids[True])) == len(ids[True])
    assert set(ids[True]).isdisjoint(ids[False])


def test_every_model_that_it_refers_to_is_in_it(document: dict[str, Any]) -> None:
    def references(part: Any) -> Iterator[str]:
        if isinstance(part, dict):
            yield from (value for name, value in part.items() if name == "$ref")
            yield from (each for value in part.values() for each in references(value))
        elif isinstance(part, list):
            yield from (each for value in part for each in references(value))

    for reference in references(document):
        place: Any = document
        for name in reference.removeprefix("#/").split("/"):
            place = place[name]


def test_an_id_generator_names_the_applications_operations_as_before(host: Served, document: dict[str, Any]) -> None:
    if host.host.name != "unique_ids":
        pytest.skip("this host leaves its ids to FastAPI")
    assert document["paths"]["/orders/{number}"]["get"]["operationId"] == "order"
    assert document["paths"]["/orders"]["post"]["operationId"] == "place"
