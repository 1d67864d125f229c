"""Processes of different frameworks agree, as those of one do."""

import time

from tests.contract.servers import IDLE_SECONDS, REFRESH_SECONDS, Server

API = "/chaos_experiments"


def test_started_in_one_felt_in_the_others_stopped_from_the_third(servers: dict[str, Server]) -> None:
    first, second, third = servers.values()
    started = first.call("POST", f"{API}/start", json={"experiment_name": "latency_injection", "delay_seconds": 0.01})
    run = started.json()["resultset"]
    time.sleep(IDLE_SECONDS)
    for server in (first, second, third):
        for _ in range(6):
            assert server.call("GET", "/orders/7").headers["X-Chaos-Run"] == run["run_id"]
    third.call("POST", f"{API}/stop", json={"experiment_name": "latency_injection"})
    time.sleep(REFRESH_SECONDS)
    for server in (first, second, third):
        for _ in range(6):
            assert "X-Chaos-Run" not in server.call("GET", "/orders/7").headers
