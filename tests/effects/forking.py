"""A process that holds disk space, descriptors and a shifted clock, and forks. Both print what they have then."""

import json
import os
import resource
import stat
import time
from functools import partial

import flask

from chalicelib.bootstrap import bootstrap
from chalicelib.effects import descriptors
from chalicelib.frameworks.flask import ChaosExperiments
from chalicelib.settings import Settings
from tests.support import FakeResultStore, FakeRunStore, FakeTokenStore

AUTHORIZED = {"Authorization": "Bearer let-me-in"}
LIMIT = 500
RUNS = (
    {"experiment_name": "disk_exhaustion", "disk_mb": 3},
    {"experiment_name": "file_descriptor_exhaustion"},
    {"experiment_name": "clock_skew", "offset_seconds": 1000},
)


def held() -> dict[str, object]:
    files = [os.fstat(int(name)) for name in os.listdir("/dev/fd") if int(name) in _open()]  # noqa: PTH208
    unnamed = sum(file.st_blocks * 512 for file in files if file.st_nlink == 0 and stat.S_ISREG(file.st_mode))
    return {
        "disk_mb": unnamed // 1_048_576,
        "descriptors": len(files),
        "ahead": round(time.time() - time.clock_gettime_ns(time.CLOCK_TAI) / 1e9 + TAI),
        "limit": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    }


def _open() -> set[int]:
    return {number for number in range(LIMIT * 2) if descriptors.is_open(number)}


TAI = round(time.clock_gettime_ns(time.CLOCK_TAI) / 1e9 - time.time())
"""By how much the clock without leap seconds is ahead: nobody shifts it."""


def main() -> None:
    descriptors.MOST = LIMIT // 2
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    app = flask.Flask("forking")
    app.add_url_rule("/orders", view_func=lambda: {"orders": []})
    settings = Settings(stage="dev", dev_token="let-me-in")
    stores = {"runs": FakeRunStore(), "tokens": FakeTokenStore(), "results": FakeResultStore()}
    ChaosExperiments(app, wire=partial(bootstrap, settings, **stores))
    client = app.test_client()
    shown = [held()]
    for run in RUNS:
        answer = client.post("/chaos_experiments/start", headers=AUTHORIZED, json={**run, "duration_seconds": 60})
        assert answer.status_code == 200, answer.text
    client.get("/orders")
    shown.append(held())
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(reader)
        os.write(writer, json.dumps(held()).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as of_the_child:
        shown.append(json.loads(of_the_child.read()))
    shown.append(held())
    print(json.dumps(shown))


if __name__ == "__main__":
    main()
