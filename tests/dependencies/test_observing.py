"""While somebody asks, and no longer, a process counts what it calls: by client and name, and nothing else of it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import requests
from urllib3.connectionpool import HTTPConnectionPool

from chalicelib.injection import observed
from chalicelib.outgoing.installation import INSTALLATION
from chalicelib.results.seen import SeenKey
from chalicelib.runs.observation import Observation
from chalicelib.runs.run import Run
from tests.dependencies.harness import Dependencies, failing
from tests.loopback import until
from tests.support import NOW, a_run


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(int(self.path.partition("?")[0].rpartition("/")[2]))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def address() -> Iterator[str]:
    """A server that answers /status/<code>."""
    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def observing(*runs: Run, **more: Any) -> Iterator[Dependencies]:
    made = Dependencies(*runs, **more)
    made.store.observation = Observation.asked(NOW)
    made.refresh()
    try:
        yield made
    finally:
        made.end()


def get(address: str, *statuses: int) -> None:
    for status in statuses:
        requests.get(f"http://{address}/status/{status}?card=no4711", timeout=5)


def test_calls_errors_and_times_are_counted_by_client_and_name(address: str) -> None:
    before = dict(vars(HTTPConnectionPool))
    with observing() as chaos:
        assert chaos.chaos.engine.snapshot.cached() == ()  # nothing runs
        get(address, 200, 404, 429, 503)
        with pytest.raises(requests.ConnectionError):
            requests.get("http://127.0.0.1:9/secret", timeout=1)
        chaos.chaos.engine.recorder.flush()
    seen = {key: calls for key, calls in chaos.seen.counts.items() if calls.calls}
    assert {(key.client, key.dependency): (calls.calls, calls.errors) for key, calls in seen.items()} == {
        ("urllib3", address): (4, 2),
        ("urllib3", "127.0.0.1:9"): (1, 1),
    }
    calls = seen[SeenKey(NOW, "urllib3", address)]
    assert sum(calls.buckets.values()) == 4
    assert 0 < (calls.percentile(0.95) or 0) < 5
    assert {"lost_reply", "timeout"} <= calls.faults
    assert not any(secret in repr(seen) for secret in ("status", "card", "no4711", "secret"))
    assert dict(vars(HTTPConnectionPool)) == before


def test_what_is_counted_is_flushed_by_the_schedule_and_when_the_process_ends(address: str) -> None:
    with observing() as chaos:
        recorder, key = chaos.chaos.engine.recorder, SeenKey(NOW, "urllib3", address)
        get(address, 200)
        assert recorder._scheduled
        recorder._flush_in_background()
        assert chaos.seen.counts[key].calls == 1
        get(address, 200, 200)
        recorder._flush_in_background()  # too soon: there may be thousands of processes
        assert chaos.seen.counts[key].calls == 1
        assert recorder._scheduled
        chaos.clock.sleep(5)
        recorder._flush_in_background()
        assert chaos.seen.counts[key].calls == 3
        assert not recorder._scheduled
        get(address, 200)
        recorder.flush_last()
        assert chaos.seen.counts[key].calls == 4


def test_where_requests_flush_they_flush_this_too_and_then_nothing_is_left_to_do(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observed, "OUT_OF_REACH", {})  # some of these other tests may have imported
    with observing(schedule=None) as chaos:
        recorder = chaos.chaos.engine.recorder
        assert not recorder.is_needed
        get(address, 200)
        assert recorder.is_needed
        assert recorder.is_flush_due()
        recorder.flush()
        assert chaos.seen.counts[SeenKey(NOW, "urllib3", address)].calls == 1
        assert not recorder.is_needed


def test_it_ends_by_itself_and_nothing_stays(address: str) -> None:
    with observing() as chaos:
        get(address, 200)
        chaos.clock.sleep(60)
        get(address, 200)
        chaos.refresh()
        until(lambda: not INSTALLATION.gates)
        get(address, 200)
        chaos.chaos.engine.recorder.flush()
        assert chaos.seen.counts[SeenKey(NOW, "urllib3", address)].calls == 1
    assert chaos.chaos.engine.is_idle()


def test_observing_costs_no_read_of_its_own_and_hits_nothing(address: str) -> None:
    with observing() as chaos:
        reads = chaos.store.reads
        for _ in range(20):
            get(address, 200)
        assert chaos.store.reads == reads
        assert chaos.results.writes == 0


def test_a_run_goes_on_hitting_while_its_calls_are_observed(address: str) -> None:
    failing = {"dependency": address, "fault": "error", "scope_of_calls": "process"}
    run = a_run("dependency_failure", duration_seconds=60.0, **failing)
    with observing(run) as chaos:
        assert requests.get(f"http://{address}/status/200", timeout=5).status_code == 503
        chaos.chaos.engine.recorder.flush()
        seen = chaos.seen.counts[SeenKey(NOW, "urllib3", address)]
        assert (seen.calls, seen.errors) == (1, 1)
        assert chaos.results.tallies[run.run_id].get("matched") == 1


def test_a_module_that_observes_takes_no_call_from_the_run_of_another_one(address: str) -> None:
    run = a_run(
        "dependency_failure", duration_seconds=60.0, dependency=address, fault="error", scope_of_calls="process"
    )
    other = Dependencies(run)
    with observing():
        other.refresh()
        status = requests.get(f"http://{address}/status/200", timeout=5).status_code
        other.stop()
    assert status == 503


def test_a_request_remembers_no_call_that_no_run_is_about(address: str) -> None:
    with observing(a_run(duration_seconds=60.0)) as chaos, chaos.request() as result:
        get(address, 200)
        assert result.passages == []


def test_without_a_question_nothing_is_counted(address: str) -> None:
    with failing("payments.example", "refused") as chaos:
        get(address, 200)
        chaos.chaos.engine.recorder.flush()
        assert chaos.seen.counts == {}
