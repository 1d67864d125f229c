"""Clients that keep all environments of a deployed stage busy, and remember what each answered."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Self

PATIENCE_SECONDS = 60

Tell = Callable[[str], None]
"""Takes a line of what was measured."""


@dataclass(frozen=True)
class Answer:
    """One answer of the application. `sent` and `received` are epoch seconds, `touched` the experiments it felt.

    `environment` is empty where the gateway answered, because the environment died.
    """

    sent: float
    received: float
    status: int
    environment: str
    touched: tuple[str, ...]


@dataclass
class Stage:
    """A deployed stage, over HTTP through its gateway."""

    port: int
    api: str
    token: str = ""

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)

    def call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        connection: http.client.HTTPConnection | None = None,
        **body: Any,
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, JSON and headers; an empty token sends none."""
        if connection is None:
            with closing(self.connect()) as own:
                return self.call(method, path, token=token, connection=own, **body)
        token = self.token if token is None else token
        headers = {
            "Host": f"{self.api}.execute-api.localhost:{self.port}",
            **({"Authorization": f"Bearer {token}"} if token else {}),
            **({"Content-Type": "application/json"} if body else {}),
        }
        connection.request(method, f"/api{path}", json.dumps(body) if body else None, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read()), dict(response.headers)

    def start(self, experiment: str, **parameters: Any) -> dict[str, Any]:
        return self._must("/start", experiment, **parameters)

    def stop(self, experiment: str) -> dict[str, Any]:
        return self._must("/stop", experiment)

    def where(self, connection: http.client.HTTPConnection | None = None, path: str = "/where") -> Answer:
        """Ask one of the application's own routes that tell which environment they are in."""
        sent = time.time()
        status, content, headers = self.call("GET", path, token="", connection=connection)
        touched = headers.get("X-Chaos-Experiment", "")
        environment = headers.get("X-Chaos-Environment") or content.get("environment", "")
        return Answer(sent, time.time(), status, environment, tuple(touched.split(", ")) if touched else ())

    def at_once(self, count: int, call: Callable[[], Any]) -> list[Any]:
        """What `count` concurrent calls give, let go at the same moment."""
        barrier = threading.Barrier(count)

        def wait_and_call() -> Any:
            barrier.wait()
            return call()

        with ThreadPoolExecutor(count) as pool:
            return [each.result() for each in [pool.submit(wait_and_call) for _ in range(count)]]

    def _must(self, path: str, experiment: str, **parameters: Any) -> dict[str, Any]:
        status, content, _ = self.call("POST", f"/chaos_experiments{path}", experiment_name=experiment, **parameters)
        assert status == 200, content
        result: dict[str, Any] = content["resultset"]
        return result


SIZE = 10
"""Clients, and so environments that are kept busy. At least 8 are asked for."""


def environments(answers: Sequence[Answer]) -> dict[str, list[Answer]]:
    """Each environment's answers, in the order in which they were asked for."""
    by_environment: dict[str, list[Answer]] = {}
    for answer in sorted(answers, key=lambda answer: answer.sent):
        if answer.environment:
            by_environment.setdefault(answer.environment, []).append(answer)
    return by_environment


def everywhere(holds: Callable[[Answer], bool]) -> Callable[[Sequence[Answer]], bool]:
    """Whether the last answer of each environment is so."""

    def check(answers: Sequence[Answer]) -> bool:
        seen = environments(answers)
        return len(seen) >= SIZE and all(holds(each[-1]) for each in seen.values())

    return check


def feels(experiment: str) -> Callable[[Answer], bool]:
    return lambda answer: experiment in answer.touched


def spared(experiment: str) -> Callable[[Answer], bool]:
    return lambda answer: experiment not in answer.touched


class Fleet:
    """While entered, clients ask one request after the other, so that as many environments are kept busy."""

    def __init__(self, stage: Stage, path: str = "/where") -> None:
        self._stage = stage
        self._path = path
        self._going = threading.Event()
        self._answers: list[Answer] = []
        self._failures: list[BaseException] = []
        self._clients: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._going.set()
        self._clients = [threading.Thread(target=self._ask) for _ in range(SIZE)]
        for client in self._clients:
            client.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._going.clear()
        for client in self._clients:
            client.join()

    def _ask(self) -> None:
        try:
            with closing(self._stage.connect()) as connection:
                while self._going.is_set():
                    self._answers.append(self._stage.where(connection, self._path))
        except BaseException as failure:  # noqa: BLE001 - told to the test
            self._failures.append(failure)

    def answers(self, since: float = 0.0) -> Sequence[Answer]:
        """Those to requests that were sent since then. Raises what a client raised."""
        if self._failures:
            raise self._failures[0]
        return [answer for answer in list(self._answers) if answer.sent >= since]

    def wait_until(
        self, holds: Callable[[Sequence[Answer]], bool], *, since: float, seconds: float = PATIENCE_SECONDS
    ) -> None:
        """How soon it held, the answers say: by when their requests were sent."""
        deadline = time.time() + seconds
        while not holds(self.answers(since)):
            assert time.time() < deadline, f"not within {seconds} s"
            time.sleep(0.02)
