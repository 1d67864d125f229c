"""Eight processes of all three frameworks on one table, and a client that asks them in no order and many at once."""

import http.client
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import local
from typing import Any
from urllib.parse import urlsplit

from tests.contract.servers import Command, Server, chalice_local, gunicorn, serving, uvicorn
from tests.loopback import until

API = "/chaos_experiments"
CLIENTS = 48
WORKERS = 3


def with_workers(command: Command) -> Command:
    def more(folder: Path, port: int) -> list[str]:
        line = command(folder, port)
        line[line.index("--workers") + 1] = str(WORKERS)
        return line

    return more


FLEET = (chalice_local, chalice_local, with_workers(gunicorn), with_workers(uvicorn))
PROCESSES = (1, 1, WORKERS, WORKERS)


class Fleet:
    """Servers, each of which gets a part of the requests of so many clients, by the `weights`."""

    def __init__(self, servers: Sequence[Server], weights: Sequence[int] = (), clients: int = CLIENTS) -> None:
        self.servers = servers
        self._clients = clients
        self._weights = weights or None
        self._chance = random.Random(15)  # noqa: S311 - not for secrets
        self._connections = local()
        self._opened: list[http.client.HTTPConnection] = []
        self._started: str | None = None

    def call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        answer = self.servers[0].call(method, API + path, **options)
        assert answer.status_code == 200, answer.text
        content: dict[str, Any] = answer.json()["resultset"]
        self._started = content.get("run_id") or self._started
        return content

    def wait_until_known(self, experiment: str) -> None:
        """By each process. The requests have no header, so a run that goes by a key hits none of them."""
        known: set[str] = set()

        def is_known() -> bool:
            for server in self.servers:
                tested = server.call("GET", f"{API}/test").json()["resultset"]
                if experiment in tested["active_chaos_experiments"]:
                    known.add(tested["environment"])
            return len(known) == sum(PROCESSES)

        until(is_known, shown=lambda: known)

    def hits(self, requests: Iterable[Mapping[str, str]]) -> int:
        """How many of the requests, each with these headers, are hit by the run that was started last.

        A server that is busy may know of the run before it for a moment longer.
        """
        asked = [(self._any(), headers) for headers in requests]
        with ThreadPoolExecutor(self._clients) as clients:
            answers = clients.map(lambda each: self._is_hit(*each), asked)
            hit = sum(answers)
        while self._opened:
            self._opened.pop().close()
        return hit

    def warnings(self) -> str:
        """What the module has logged, where fewer are hit than there should be: a table that did not answer."""
        logs = [server.log.read_text().splitlines() for server in self.servers if server.log]
        return "\n".join(line for log in logs for line in log if "run " in line.lower() or "could not" in line.lower())

    def _any(self) -> Server:
        return self._chance.choices(self.servers, self._weights)[0]

    def _is_hit(self, server: Server, headers: Mapping[str, str]) -> bool:
        connection = self._connection(server)
        try:
            connection.request("GET", "/orders/7", headers=headers)
            answer = connection.getresponse()
        except (ConnectionError, http.client.BadStatusLine):  # the server has closed it
            connection.close()
            return self._is_hit(server, headers)
        answer.read()
        assert answer.status == 201
        run = answer.headers.get("X-Chaos-Run")
        return run is not None and self._started in (None, run)

    def _connection(self, server: Server) -> http.client.HTTPConnection:
        """One for each thread of the client."""
        known: dict[str, http.client.HTTPConnection] = self._connections.__dict__
        if server.url not in known:
            known[server.url] = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
            self._opened.append(known[server.url])
        return known[server.url]


@contextmanager
def a_fleet(new_folder: Callable[[], Path], **variables: str) -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet([stack.enter_context(serving(command, new_folder(), **variables)) for command in FLEET], PROCESSES)
