"""A delay ends before the server would kill the worker that serves it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.contract.servers import BIN, HOSTS, Server, serving

API = "/chaos_experiments"
LIMIT_SECONDS = 4
ATTEMPTS = 3
START = {"experiment_name": "latency_injection", "delay_seconds": 20.0, "duration_seconds": 60.0}


def gunicorn(*options: str) -> Callable[[Path, int], list[str]]:
    def command(folder: Path, port: int) -> list[str]:
        (folder / "app.py").write_text((HOSTS / "flask_host.py").read_text())
        return [str(BIN / "gunicorn"), "--bind", f"127.0.0.1:{port}", *options, "app:app"]

    return command


def by_a_file(folder: Path, port: int) -> list[str]:
    """Wherever it is set: in a configuration file, which gunicorn finds itself."""
    (folder / "gunicorn.conf.py").write_text(f"timeout = {LIMIT_SECONDS}\n")
    return gunicorn()(folder, port)


def uwsgi(folder: Path, port: int) -> list[str]:
    gunicorn()(folder, port)
    options = ["--master", "--die-on-term", "--need-app", "--enable-threads", "--harakiri", str(LIMIT_SECONDS)]
    return [str(BIN / "uwsgi"), "--http-socket", f"127.0.0.1:{port}", "--module", "app:app", *options]


@pytest.mark.parametrize("command", [gunicorn("--timeout", str(LIMIT_SECONDS)), by_a_file, uwsgi])
def test_a_worker_outlives_a_delay_that_is_longer_than_its_limit(
    dynamodb_url: str, tmp_path: Path, command: Callable[[Path, int], list[str]]
) -> None:
    """A machine that stands still for longer than the margin kills the worker anyhow: then it is tried again."""
    attempts = (_outlives(dynamodb_url, tmp_path, command, number) for number in range(ATTEMPTS))
    assert any(attempts)


def _outlives(url: str, tmp_path: Path, command: Callable[[Path, int], list[str]], number: int) -> bool:
    folder = tmp_path / str(number)
    folder.mkdir()
    place = {"AWS_ENDPOINT_URL_DYNAMODB": url, "CHAOS_TABLE": f"limits-{number}-{tmp_path.name[-40:]}"}
    with serving(command, folder, **place) as server:
        try:
            if server.call("POST", f"{API}/start", json=START).status_code != 200:
                return False  # of a cold worker, which was killed while it imported
            tested = server.call("GET", f"{API}/test")
            answer = server.call("GET", "/orders/1")
        except requests.ConnectionError:
            return False
    log = (folder / "server.log").read_text()
    if answer.status_code == 500 or "TIMEOUT" in log or "HARAKIRI ON WORKER" in log:
        return False
    assert (answer.status_code, answer.headers["X-Chaos-Cut"]) == (201, "latency_injection")
    (injected,) = tested.json()["resultset"]["injected"]
    assert 0 < injected["seconds"] <= LIMIT_SECONDS - 0.5
    assert injected["cut_from_seconds"] == 20.0
    return True


def test_threads_of_a_worker_have_no_such_limit(dynamodb_url: str, tmp_path: Path) -> None:
    """A machine that stands still for a second kills the worker anyhow: then it is tried again."""
    place = {"AWS_ENDPOINT_URL_DYNAMODB": dynamodb_url, "CHAOS_TABLE": f"limits-{tmp_path.name[-40:]}"}
    with serving(gunicorn("--timeout", "2", "--threads", "4"), tmp_path, **place) as server:
        answers = (_delayed(server) for _ in range(ATTEMPTS))
        answer = next(each for each in answers if each is not None)  # an answer that is an error is false
    assert answer.status_code == 201
    assert "X-Chaos-Run" in answer.headers
    assert "X-Chaos-Cut" not in answer.headers


def _delayed(server: Server) -> requests.Response | None:
    try:
        started = server.call("POST", f"{API}/start", json={**START, "delay_seconds": 4.0, "restart": True})
        return server.call("GET", "/orders/1") if started.status_code == 200 else None
    except requests.ConnectionError:
        return None
