"""Injected exceptions on real servers: each application answers as it does for its own, and the endpoints answer on."""

from pathlib import Path

import pytest

from tests.contract.servers import SERVERS, serving
from tests.loopback import until

ANSWERS = {
    "chalice local": "An internal server error occurred.",
    "flask, gunicorn": "The server encountered an internal error",
    "fastapi, uvicorn": "Internal Server Error",
}


@pytest.mark.parametrize("name", SERVERS)
def test_an_injected_exception_is_answered_as_the_applications_own_until_the_run_is_stopped(
    name: str, tmp_path: Path
) -> None:
    with serving(SERVERS[name], tmp_path) as server:
        body = {"experiment_name": "exception_injection", "exception": "TimeoutError", "message": "no stock"}
        started = server.call("POST", "/chaos_experiments/start", json=body)
        assert started.status_code == 200
        run_id = started.json()["resultset"]["run_id"]
        until(lambda: server.call("GET", "/orders/7").status_code == 500)
        answer = server.call("GET", "/orders/7")
        assert (answer.headers["X-Chaos-Run"], answer.headers["X-Chaos-Experiment"]) == (run_id, "exception_injection")
        assert ANSWERS[name] in answer.text
        assert server.log
        assert f"TimeoutError: no stock\nInjected by chaos experiment run {run_id}" in server.log.read_text()
        assert server.call("GET", "/chaos_experiments/list").status_code == 200
        assert server.call("POST", "/chaos_experiments/stop", json={"experiment_name": "exception_injection"}).ok
        until(lambda: server.call("GET", "/orders/7").status_code == 201)
