"""What becomes of one outgoing call where the process changes meanwhile: its deadline, a stop, a call within it."""

import asyncio
import gc
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from contextvars import Context, copy_context
from weakref import ref

import pytest

from chalicelib.faults.base import Failure
from chalicelib.injection.call import OutgoingCall
from chalicelib.outgoing.installation import INSTALLATION
from chalicelib.outgoing.passing import (
    context_of_a_part,
    described,
    is_to_be_asked,
    part_of_a_call,
    send,
    send_on_loop,
)
from chalicelib.own_calls import own_calls
from tests.dependencies.harness import Dependencies
from tests.support import NOW, a_run

HUNG = 30
CALL = OutgoingCall("client", frozenset({"latency", "error"}), host="payments.example", port=443)


def running(**parameters: object) -> Dependencies:
    given = {"dependency": "payments.example", "scope_of_calls": "process", "duration_seconds": 600.0, **parameters}
    made = Dependencies(a_run("dependency_failure", now=NOW, **given))
    made.refresh()
    return made


@pytest.fixture
def delayed() -> Iterator[Dependencies]:
    """Calls are delayed by real time."""
    made = running(fault="latency", delay_seconds=60.0)
    made.clock.sleep = time.sleep  # type: ignore[method-assign]
    yield made
    made.stop()


@pytest.fixture
def failing() -> Iterator[Dependencies]:
    made = running(fault="error")
    yield made
    made.stop()


def fails(_failure: Failure, _proceed: Callable[[], str]) -> str:
    return "failed"


async def fails_on_loop(_failure: Failure, _proceed: Callable[[], Awaitable[str]]) -> str:
    return "failed"


def no_status(_result: str) -> None:
    return None


def test_a_call_within_one_is_not_asked_again(failing: Dependencies) -> None:
    seen: list[bool] = []

    def fail(_failure: Failure, _proceed: Callable[[], str]) -> str:
        seen.append(is_to_be_asked())
        return "failed"

    assert send(CALL, lambda: "made", fail, no_status) == "failed"
    assert (seen, is_to_be_asked()) == ([False], True)
    with own_calls():
        assert not is_to_be_asked()
    failing.stop()
    assert not is_to_be_asked()


def test_a_context_that_outlives_a_call_is_of_that_call_no_longer(failing: Dependencies) -> None:
    kept: list[Context] = []

    def fail(_failure: Failure, _proceed: Callable[[], str]) -> str:
        with part_of_a_call():  # such as that of a connection that is made for it
            kept.append(copy_context())
        kept.append(context_of_a_part())
        assert [context.run(is_to_be_asked) for context in kept] == [False, False]
        return "failed"

    assert send(CALL, lambda: "made", fail, no_status) == "failed"
    assert [context.run(is_to_be_asked) for context in kept] == [True, False]


def test_a_deadline_of_the_application_ends_the_delay_of_a_call_on_a_loop(delayed: Dependencies) -> None:
    async def proceed() -> str:
        return "made"

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await send_on_loop(CALL, proceed, fails_on_loop, no_status)
        assert is_to_be_asked()

    asyncio.run(main())
    delayed.stop()


def test_a_cancelled_call_on_a_loop_is_cancelled_while_it_is_made(failing: Dependencies) -> None:
    cancelled: list[bool] = []

    async def proceed() -> str:
        try:
            await asyncio.sleep(HUNG)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        return "made"

    async def main() -> None:
        other = OutgoingCall("client", frozenset(), host="payments.example")  # it meets no fault
        task = asyncio.create_task(send_on_loop(other, proceed, fails_on_loop, no_status))
        await asyncio.sleep(0.01)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert cancelled == [True]


def test_a_call_that_began_before_a_stop_is_made_after_it(failing: Dependencies) -> None:
    begun, may_end, answers = threading.Event(), threading.Event(), list[str]()

    def proceed() -> str:
        begun.set()
        assert may_end.wait(HUNG)
        return "made"

    other = OutgoingCall("client", frozenset(), host="payments.example")  # it meets no fault
    thread = threading.Thread(target=lambda: answers.append(send(other, proceed, fails, no_status)))
    thread.start()
    assert begun.wait(HUNG)
    failing.stop()
    assert INSTALLATION.gates == ()
    may_end.set()
    thread.join(HUNG)
    assert answers == ["made"]


def test_an_exception_of_the_client_is_the_callers(failing: Dependencies) -> None:
    def fail(_failure: Failure, _proceed: Callable[[], str]) -> str:
        raise ConnectionResetError("as the client has it")

    with pytest.raises(ConnectionResetError):
        send(CALL, lambda: "made", fail, no_status)
    assert is_to_be_asked()
    failing.stop()


# A defect of ours costs the application nothing


def broken(*_: object) -> int:
    raise ZeroDivisionError("a defect")


def test_a_call_that_cannot_be_described_is_made(failing: Dependencies, caplog: pytest.LogCaptureFixture) -> None:
    async def proceed() -> str:
        return "made"

    call = described(broken, "payments.example")
    assert send(call, lambda: "made", fails, no_status) == "made"
    assert asyncio.run(send_on_loop(call, proceed, fails_on_loop, no_status)) == "made"
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("step", ["enter", "_decide"])
def test_a_call_that_cannot_be_decided_about_is_made(
    failing: Dependencies, step: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (joined,) = INSTALLATION.gates
    gate = joined()
    assert gate
    monkeypatch.setattr(gate if step == "enter" else gate._calls, step, broken)
    assert send(CALL, lambda: "made", fails, no_status) == "made"
    assert "ZeroDivisionError" in caplog.text


def test_an_answer_without_a_status_is_the_applications(
    failing: Dependencies, caplog: pytest.LogCaptureFixture
) -> None:
    async def proceed() -> str:
        return "made"

    assert send(CALL, lambda: "made", fails, broken) == "failed"
    assert asyncio.run(send_on_loop(CALL, proceed, fails_on_loop, broken)) == "failed"
    assert caplog.text.count("ZeroDivisionError: a defect") == 2


class Client:
    """Hands out a header of what it sends."""

    def get_header(self, _name: str) -> str | None:
        return "key"


def test_what_the_client_sends_is_let_go_when_its_call_has_ended(failing: Dependencies) -> None:
    client = Client()
    known = ref(client)
    gc.disable()
    try:
        with failing.request() as result:
            call = OutgoingCall("client", CALL.faults, "payments.example", is_repeatable=False)
            call.get_header = client.get_header
            assert send(call, lambda: "made", fails, no_status) == "failed"
            del client
            (passage,) = result.passages
            assert (known(), passage.inbound) == (None, None)
            assert passage.call.is_repeatable
    finally:
        gc.enable()
