import pytest
import requests
from urllib3.connectionpool import HTTPConnectionPool

from tests.dependencies.harness import failing

ADDRESS = "http://127.0.0.1:9"


def test_a_call_fails_as_its_client_reports_it_and_nothing_is_left() -> None:
    before = dict(vars(HTTPConnectionPool))
    with failing("127.0.0.1:9", "refused"), pytest.raises(requests.ConnectionError, match="Connection refused"):
        requests.get(ADDRESS, timeout=1)
    assert dict(vars(HTTPConnectionPool)) == before


def test_a_request_is_hit_by_what_its_calls_met() -> None:
    with failing("127.0.0.1:9", "timeout", scope_of_calls="requests") as chaos, chaos.request() as result:
        with pytest.raises(requests.ReadTimeout):
            requests.get(ADDRESS, timeout=7)
        assert [(hit.kind, hit.applied.details["failure"]) for hit in result.hits] == [("dependency", "timeout")]
        assert sum(chaos.clock.slept) == 7
