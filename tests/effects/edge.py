"""A process of 512 MB, as Lambda would say, that is asked for all the memory that it may lose, again and again."""

import operator
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import flask

from chalicelib.bootstrap import bootstrap
from chalicelib.frameworks.flask import ChaosExperiments
from chalicelib.settings import Settings
from tests.support import FakeResultStore, FakeRunStore, FakeTokenStore

MB = 1024 * 1024
PREFIX = "/chaos_experiments"
GIVEN_BACK_MB = 20
PATIENCE_SECONDS = 10
AUTHORIZED = {"Authorization": "Bearer let-me-in"}


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MB


def main(rounds: int, size_mb: int) -> None:
    """Prints a line each round: what was asked for, what is resident then, and what is after the stop."""
    runs = FakeRunStore()
    settings = Settings(stage="dev", dev_token="let-me-in", lambda_memory_mb=size_mb)
    app = flask.Flask("edge")
    app.add_url_rule("/orders", view_func=lambda: {"orders": []})
    ChaosExperiments(
        app, wire=partial(bootstrap, settings, runs=runs, tokens=FakeTokenStore(), results=FakeResultStore())
    )
    client = app.test_client()

    def post(path: str, **body: Any) -> Any:
        answer = client.post(PREFIX + path, headers=AUTHORIZED, json={"experiment_name": "resource_exhaustion", **body})
        assert answer.status_code == 200, answer.text
        return answer.json["resultset"]

    def order() -> None:
        answer = client.get("/orders")
        assert (answer.status_code, answer.json) == (200, {"orders": []})

    def order_until(holds: Callable[[float], bool]) -> None:
        """What another thread is about to give back, or holds meanwhile, a request does not wait for."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds(resident_mb()) and time.monotonic() < deadline:
            order()
            time.sleep(0.01)

    order()
    at_first = resident_mb()
    for number in range(rounds):
        listed = client.get(f"{PREFIX}/list", headers=AUTHORIZED).json["resultset"]["available_experiments"]
        (limit,) = [
            part["maximum"]
            for each in listed
            for name, part in each["parameters"]["properties"].items()
            if name == "memory_mb"
        ]
        asked = max(1, limit * (number % 10 + 1) // 10)  # from a tenth up to all of it
        too_much = {"experiment_name": "resource_exhaustion", "memory_mb": limit + 50}
        assert client.post(f"{PREFIX}/start", headers=AUTHORIZED, json=too_much).status_code == 400
        post("/start", memory_mb=asked, duration_seconds=60)
        for _ in range(5):
            order()
        order_until(partial(operator.le, asked))
        held = resident_mb()
        post("/stop")
        order_until(partial(operator.gt, at_first + GIVEN_BACK_MB))
        print(f"{asked} {held:.0f} {resident_mb():.0f}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
