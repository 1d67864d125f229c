"""Clients of databases that have no file of their own: new connections of pymysql and psycopg, to real servers."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.dependencies import servers
from tests.dependencies.harness import failing

pymysql = pytest.importorskip("pymysql")
psycopg = pytest.importorskip("psycopg")

ERRORS = {
    "timeout": "timed out",
    "refused": "Connection refused",
    "reset": "Connection reset",
    "dns": "Name or service not known",
}


@pytest.fixture(scope="module")
def mariadb() -> Iterator[servers.Address]:
    with servers.mariadb() as address:
        yield address


@pytest.fixture(scope="module")
def postgresql() -> Iterator[servers.Address]:
    with servers.postgresql() as address:
        yield address


class MySQL:
    def __init__(self, address: servers.Address) -> None:
        self._connection = pymysql.connect(
            host=address.host, port=address.port, user="app", database="mysql", connect_timeout=3
        )

    def ask(self, question: str = "SELECT 1") -> tuple[Any, ...]:
        with self._connection.cursor() as cursor:
            cursor.execute(question)
            return tuple(cursor.fetchone())

    def connections(self) -> int:
        """How many the server has been asked for."""
        return int(self.ask("SHOW STATUS LIKE 'Connections'")[1])

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def before(mariadb: servers.Address) -> Iterator[MySQL]:
    """A client that was connected before the run."""
    made = MySQL(mariadb)
    yield made
    made.close()


@pytest.mark.parametrize("fault", ERRORS)
def test_pymysql_reports_that_it_cannot_connect(mariadb: servers.Address, before: MySQL, fault: str) -> None:
    connections = before.connections()
    with failing(str(mariadb), fault) as chaos:
        with pytest.raises(pymysql.err.OperationalError, match=ERRORS[fault]) as raised:
            MySQL(mariadb)
        assert raised.value.args[0] == pymysql.constants.CR.CR_CONN_HOST_ERROR
        # libraries try every address of a name
        assert round(sum(chaos.clock.slept), 3) in ({3, 6} if fault == "timeout" else {0})
        assert before.ask() == (1,)
    assert before.connections() == connections
    after = MySQL(mariadb)
    assert after.ask() == (1,)
    after.close()


def test_pymysql_waits_for_a_connection_that_is_delayed(mariadb: servers.Address) -> None:
    with failing(str(mariadb), "latency", delay_seconds=2.0) as chaos:
        made = MySQL(mariadb)
        assert made.ask() == (1,)
        made.close()
        assert sum(chaos.clock.slept) >= 2


def with_psycopg(address: servers.Address) -> int:
    with psycopg.connect(
        host=address.host, port=address.port, user="app", dbname="postgres", connect_timeout=3
    ) as connection:
        return int(connection.execute("SELECT 1").fetchone()[0])


def with_psycopg_on_a_loop(address: servers.Address) -> int:
    async def ask() -> int:
        connecting = psycopg.AsyncConnection.connect(
            host=address.host, port=address.port, user="app", dbname="postgres", connect_timeout=3
        )
        async with await connecting as connection:
            return int((await (await connection.execute("SELECT 1")).fetchone())[0])

    return asyncio.run(ask())


PSYCOPG = pytest.mark.parametrize("ask", [with_psycopg, with_psycopg_on_a_loop])


@PSYCOPG
def test_psycopg_cannot_resolve_its_server(postgresql: servers.Address, ask: Callable[..., int]) -> None:
    unresolved = pytest.raises(psycopg.OperationalError, match="failed to resolve host 'localhost'")
    with failing(str(postgresql), "dns"), unresolved:
        ask(postgresql)
    assert ask(postgresql) == 1


@PSYCOPG
def test_psycopg_connects_in_c_where_nothing_else_reaches_it(postgresql: servers.Address, ask) -> None:
    with failing(str(postgresql), "refused"):
        assert ask(postgresql) == 1
