"""The module leaves nothing where the host looks: Chalice's request is what JSON can be made of, whatever runs."""

from collections.abc import Iterator, Mapping

import pytest

from tests.hosts.serving import Host, Served, served


@pytest.fixture(scope="module")
def of_the_host(table: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(Host("chalice", "mirror"), tmp_path_factory.mktemp("mirror"), **table) as host:
        yield host


@pytest.fixture
def host(of_the_host: Served) -> Iterator[Served]:
    yield of_the_host
    of_the_host.reset()


@pytest.mark.parametrize("path", ["/request", "/context"])
@pytest.mark.parametrize(("percentage", "is_hit"), [(100, True), (0.000001, False)], ids=["hit", "untouched"])
def test_a_route_that_answers_with_its_request_does_so_while_a_run_is_active(
    host: Served, path: str, percentage: float, *, is_hit: bool
) -> None:
    before = host.own("GET", path)
    assert before.status_code == 200
    host.start("latency_injection", delay_seconds=0.0, percentage=percentage)
    answer = host.own("GET", path)
    assert answer.status_code == 200, answer.text
    assert ("X-Chaos-Run" in answer.headers) is is_hit
    assert answer.json().keys() == before.json().keys()
    assert answer.json().get("names") == before.json().get("names")
