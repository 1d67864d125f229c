"""Where the application makes a call, whoever runs it; and whether somebody gives it up after a time."""

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from inspect import currentframe
from pathlib import Path
from typing import Any

import pytest

from chalicelib.injection.places import LONGEST, place
from chalicelib.injection.tasks import flow, is_time_limited

HERE = "tests/injection/test_places.py"
CLIENT = """
from chalicelib.injection.places import place

def get(call=place):
    return call()

async def get_on_loop(call=place):
    return call()
"""


def line() -> str:
    """The caller's next one."""
    frame = currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return f"{HERE}:{frame.f_back.f_lineno + 1}"


Installed = Callable[..., Any]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installed]:
    """Makes a module in a folder of its own, which is where modules are found."""
    made: list[str] = []

    def install(name: str, folder: str = "lib/site-packages", text: str = CLIENT) -> Any:
        root = tmp_path / folder
        root.mkdir(parents=True, exist_ok=True)
        file = root.joinpath(*name.split(".")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        monkeypatch.syspath_prepend(str(root))
        made.append(name.partition(".")[0])
        return import_module(name)

    yield install
    for name in [each for each in sys.modules if each.partition(".")[0] in made]:
        del sys.modules[name]


@pytest.fixture
def client(installed: Installed) -> Any:
    return installed("a_client")


def test_it_is_the_nearest_line_of_the_application(client: Any) -> None:
    def of_the_application() -> Any:
        nonlocal expected
        expected = line()
        return client.get()

    expected = ""
    assert of_the_application() == expected


def test_a_thread_has_its_own(client: Any) -> None:
    def serve() -> tuple[Any, str]:
        expected = line()
        return client.get(), expected

    with ThreadPoolExecutor(1) as threads:
        found, expected = threads.submit(serve).result()
    assert found == expected


def test_where_a_thread_runs_nothing_but_a_client_nobody_can_tell(
    installed: Installed,
) -> None:
    known = installed("requests_toolbelt.sessions")
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(known.get).result() == ""


async def in_coroutines(get: Callable[[], Awaitable[Any]]) -> tuple[Any, str]:
    async def inner() -> tuple[Any, str]:
        expected = line()
        return await get(), expected

    return await inner()


async def in_a_task_of_its_own(get: Callable[[], Awaitable[Any]]) -> tuple[Any, str]:
    async def inner() -> tuple[Any, str]:
        expected = line()
        return await get(), expected

    return await asyncio.create_task(inner())


async def gathered(get: Callable[[], Any]) -> tuple[Any, str]:
    expected = line()
    found = await asyncio.gather(get(), get())
    assert found[0] == found[1]
    return found[0], expected


async def waited_for(get: Callable[[], Awaitable[Any]]) -> tuple[Any, str]:
    expected = line()
    return await asyncio.wait_for(get(), 5), expected


async def in_a_group(get: Callable[[], Any]) -> tuple[Any, str]:
    expected = line()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(get())
    return task.result(), expected


async def gathered_and_waited_for(get: Callable[[], Any]) -> tuple[Any, str]:
    expected = line()
    (found,) = await asyncio.wait_for(asyncio.gather(get()), 5)
    return found, expected


@pytest.mark.parametrize(
    "serve", [in_coroutines, in_a_task_of_its_own, gathered, waited_for, in_a_group, gathered_and_waited_for]
)
def test_it_is_found_on_an_event_loop_whoever_awaits_it(serve: Callable[[Any], Any], client: Any) -> None:
    found, expected = asyncio.run(serve(client.get_on_loop))
    assert found == expected


def test_a_task_that_nobody_waits_for_is_not_said_to_be_where_the_loop_was_started(installed: Installed) -> None:
    known = installed("tenacity")

    async def main() -> Any:
        task = asyncio.create_task(known.get_on_loop())
        await asyncio.sleep(0)
        return task.result()

    assert asyncio.run(main()) == ""


def test_in_lambda_what_lies_beside_the_application_is_not_the_application(
    installed: Installed, tmp_path: Path
) -> None:
    task = tmp_path / "task"
    task.mkdir()
    (task / "Some_Client-1.0.dist-info").mkdir()
    for name in ("some_client", "tenacity"):
        installed(name, "task", "def get(call):\n    return call()\n")
    text = "import some_client, tenacity\n\ndef order(call):\n    return tenacity.get(lambda: some_client.get(call))\n"
    assert installed("shop.orders", "task", text).order(place) == "shop/orders.py:4"


def test_an_application_that_is_an_installed_package_is_found_where_nothing_else_is(installed: Installed) -> None:
    shop = installed("a_shop.orders")
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(shop.get).result() == "a_shop/orders.py:5"


def test_it_never_has_a_folder_of_the_machine_and_is_cut_from_the_left(installed: Installed) -> None:
    name = ".".join(["deep" * 12] * 3)
    found = installed(f"{name}.orders", "task").get()
    assert len(found) == LONGEST
    assert found.endswith("/orders.py:5")
    assert "/tmp" not in installed("short", "task").get()  # noqa: S108 - it is not opened


def test_code_without_a_file_is_nobodys() -> None:
    expected = line()
    assert eval("place()", {"place": place, "__name__": "made_up"}) == expected  # noqa: S307 - it is this test's


def test_tasks_and_threads_are_told_apart() -> None:
    async def both() -> tuple[Any, Any]:
        async def one() -> Any:
            await asyncio.sleep(0)
            return flow()

        first, second = await asyncio.gather(one(), one())
        return first, second

    first, second = asyncio.run(both())
    assert first != second
    assert flow() == threading.get_ident()


def test_what_wait_for_makes_belongs_to_who_waits() -> None:
    async def inner() -> Any:
        await asyncio.sleep(0)
        return flow()

    async def outer() -> tuple[Any, Any]:
        return flow(), await asyncio.wait_for(inner(), 5)

    first, second = asyncio.run(outer())
    assert first == second


# Time limits


async def with_timeout() -> bool:
    async with asyncio.timeout(5):
        await asyncio.sleep(0)
        return is_time_limited()


async def with_wait_for() -> bool:
    async def inner() -> bool:
        await asyncio.sleep(0)
        return is_time_limited()

    return await asyncio.wait_for(inner(), 5)


async def gathered_within_a_timeout() -> bool:
    async def inner() -> bool:
        await asyncio.sleep(0)
        return is_time_limited()

    async with asyncio.timeout(5):
        return all(await asyncio.gather(inner(), inner()))


async def with_anyio() -> bool:
    anyio = pytest.importorskip("anyio")
    with anyio.move_on_after(5):
        return is_time_limited()


@pytest.mark.parametrize("limited", [with_timeout, with_wait_for, gathered_within_a_timeout, with_anyio])
def test_a_time_limit_around_a_call_is_seen(limited: Callable[[], Any]) -> None:
    assert asyncio.run(limited()) is True


def test_where_there_is_none_or_it_is_over_none_is_seen() -> None:
    async def after() -> bool:
        await with_timeout()
        async with asyncio.timeout(None):
            await asyncio.sleep(0)
            return is_time_limited()

    async def of_another() -> bool:
        async def other() -> None:
            async with asyncio.timeout(5):
                await asyncio.sleep(0.01)

        task = asyncio.create_task(other())
        await asyncio.sleep(0)
        found = is_time_limited()
        await task
        return found

    assert asyncio.run(after()) is False
    assert asyncio.run(of_another()) is False
    assert is_time_limited() is False
