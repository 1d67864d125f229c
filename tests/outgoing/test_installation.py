"""What is replaced, and that it is as before when it has been taken out, whoever else replaces the same."""

import errno
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from chalicelib.outgoing.installation import Installation, Patch

LIBRARY, OTHER = "library_of_a_test", "other_library_of_a_test"
HUNG = 30


class Gate:
    """Of a module."""


def make_library() -> Any:
    """A client library: a class with a base, and a function."""

    class Base:
        def inherited(self) -> list[str]:
            return ["inherited"]

    class Client(Base):
        first = 1

        def call(self) -> list[str]:
            return ["call"]

        @staticmethod
        def static() -> list[str]:
            return ["static"]

        @classmethod
        def of_class(cls) -> list[str]:
            return [cls.__name__]

        last = 2

    library: Any = ModuleType(LIBRARY)
    library.Client = Client
    library.function = lambda: ["function"]
    return library


def patches_of(library: Any, installation: Installation) -> Callable[[], Iterator[Patch]]:
    def ours(original: Callable[..., list[str]]) -> Callable[..., list[str]]:
        @wraps(original)
        def replacement(*given: Any) -> list[str]:
            called = original(*given)
            return ["ours", *called] if installation.gates else called

        return replacement

    def of_class(original: Callable[..., list[str]]) -> Callable[..., list[str]]:
        return ours(original)

    def patches() -> Iterator[Patch]:
        for name in ("call", "inherited", "static", "of_class"):
            yield Patch(library.Client, name, of_class)
        yield Patch(library, "function", ours)

    return patches


class Process:
    """Has imported a library, with a file that patches it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.installation = Installation({LIBRARY: "of_a_test", OTHER: "of_another_test"})
        self.library = make_library()
        self.client = self.library.Client()
        self.imports(LIBRARY, self.library)
        self.has_file("of_a_test", patches_of(self.library, self.installation))
        self.before = self.attributes

    def imports(self, name: str, library: Any) -> None:
        self._monkeypatch.setitem(sys.modules, name, library)

    def has_file(self, name: str, patches: Callable[[], Iterator[Patch]]) -> None:
        self.imports(f"chalicelib.outgoing.{name}", SimpleNamespace(patches=patches))

    @property
    def attributes(self) -> list[tuple[str, Any]]:
        """Of the classes and of the module, in their order."""
        owners = [*self.library.Client.__mro__[:2], self.library]
        return [each for owner in owners for each in vars(owner).items()]

    def settle(self) -> list[str]:
        self.installation.settle()
        return list(self.client.call())


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Process:
    return Process(monkeypatch)


def test_attributes_of_all_kinds_are_replaced_and_are_as_before_when_they_are_taken_out(process: Process) -> None:
    gate: Any = Gate()
    for _ in range(3):
        process.installation.join(gate)
        client = process.client
        assert [client.call(), client.inherited(), client.static(), client.of_class(), process.library.function()] == [
            ["ours", "call"],
            ["ours", "inherited"],
            ["ours", "static"],
            ["ours", "Client"],
            ["ours", "function"],
        ]
        assert process.library.Client.static() == ["ours", "static"]
        process.installation.leave(gate)
        assert process.attributes == process.before
        assert client.call() == ["call"]
    assert not process.installation.has_leftovers


def test_what_is_installed_for_two_modules_stays_until_the_last_one_leaves(process: Process) -> None:
    one, other = Gate(), Gate()
    for gate in (one, other, one):
        process.installation.join(gate)  # type: ignore[arg-type]
    process.installation.leave(one)  # type: ignore[arg-type]
    assert process.client.call() == ["ours", "call"]
    process.installation.leave(other)  # type: ignore[arg-type]
    assert process.attributes == process.before


def test_a_module_that_is_garbage_has_left(process: Process) -> None:
    gate: Any = Gate()
    gate.itself = gate
    process.installation.join(gate)
    del gate
    gc.collect()
    assert process.attributes == process.before


def test_garbage_that_is_collected_while_something_changes_has_left_in_the_end(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector may run in the middle of an installation, in its thread."""
    joined: list[Any] = [Gate()]

    def patches() -> Iterator[Patch]:
        joined.clear()
        gc.collect()
        yield from patches_of(process.library, process.installation)()

    process.has_file("of_a_test", patches)
    monkeypatch.delitem(sys.modules, LIBRARY)
    process.installation.join(joined[0])
    process.imports(LIBRARY, process.library)
    process.installation.settle()
    assert (joined, process.attributes, process.installation.gates) == ([], process.before, ())


# Agents


def wrap(process: Process, *, is_open: bool) -> Callable[[], None]:
    """As an agent does: returns what takes its wrapper out. `is_open`: it says what it wraps."""
    owner, inner = process.library.Client, process.library.Client.call

    def wrapper(self: Any) -> list[str]:
        return ["agent", *inner(self)]

    owner.call = wraps(inner)(wrapper) if is_open else wrapper

    def unwrap() -> None:
        owner.call = inner

    return unwrap


@pytest.mark.parametrize("is_open", [True, False])
def test_an_agent_that_has_wrapped_it_since_keeps_its_wrapper_and_ours_goes_with_that(
    process: Process, *, is_open: bool
) -> None:
    gate: Any = Gate()
    process.installation.join(gate)
    unwrap = wrap(process, is_open=is_open)
    for _ in range(3):
        assert process.settle() == ["agent", "ours", "call"]
        process.installation.leave(gate)
        assert process.client.call() == ["agent", "call"]
        assert process.client.inherited() == ["inherited"]
        assert process.installation.has_leftovers
        process.installation.join(gate)
    process.installation.leave(gate)
    unwrap()
    assert process.settle() == ["call"]
    assert process.attributes == process.before
    assert not process.installation.has_leftovers


@pytest.mark.parametrize("is_open", [True, False])
def test_an_agent_that_came_and_went_while_it_is_installed_leaves_it_installed(
    process: Process, *, is_open: bool
) -> None:
    gate: Any = Gate()
    process.installation.join(gate)
    unwrap = wrap(process, is_open=is_open)
    unwrap()
    assert process.settle() == ["ours", "call"]
    process.installation.leave(gate)
    assert process.attributes == process.before


def test_an_agent_that_was_there_before_stays_as_it_was(process: Process) -> None:
    unwrap = wrap(process, is_open=True)
    gate: Any = Gate()
    process.installation.join(gate)
    assert process.client.call() == ["ours", "agent", "call"]
    process.installation.leave(gate)
    assert process.client.call() == ["agent", "call"]
    unwrap()
    assert process.attributes == process.before


def test_where_an_agent_takes_ours_out_with_its_own_it_is_installed_again(process: Process) -> None:
    unwrap = wrap(process, is_open=True)
    gate: Any = Gate()
    process.installation.join(gate)
    unwrap()
    assert process.client.call() == ["call"]
    assert process.settle() == ["ours", "call"]
    process.installation.leave(gate)
    assert process.attributes == process.before


# Imports


def test_a_library_is_patched_when_the_application_imports_it_and_never_imported(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, LIBRARY)
    gate: Any = Gate()
    process.installation.join(gate)
    assert (LIBRARY in sys.modules, process.client.call()) == (False, ["call"])
    assert not process.installation.may_be_incomplete
    process.imports(LIBRARY, process.library)
    assert process.installation.may_be_incomplete
    assert process.settle() == ["ours", "call"]
    process.installation.leave(gate)


@pytest.mark.parametrize("name", [LIBRARY, f"{LIBRARY}.inner"])
def test_a_library_that_another_thread_is_about_to_import_is_patched_when_it_is_there(
    process: Process, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    process.installation = Installation({name: "of_a_test"})
    process.imports(name, process.library)
    process.has_file("of_a_test", patches_of(process.library, process.installation))
    process.library.__spec__ = SimpleNamespace(_initializing=True)
    gate: Any = Gate()
    process.installation.join(gate)
    assert process.client.call() == ["call"]
    process.library.__spec__._initializing = False
    assert process.settle() == ["ours", "call"]
    process.installation.leave(gate)
    assert not caplog.records


def test_a_library_of_another_version_is_reported_once_and_left_alone_and_the_others_are_patched(
    process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    other = make_library()
    process.imports(OTHER, other)

    def patches() -> Iterator[Patch]:
        yield Patch(other.Client, "call", lambda _: lambda _: ["ours"])
        yield Patch(other.Client, "gone", lambda _: lambda _: ["ours"])

    process.has_file("of_another_test", patches)
    gate: Any = Gate()
    before = dict(vars(other.Client))
    with caplog.at_level(logging.ERROR):
        process.installation.join(gate)
        assert process.settle() == ["ours", "call"]
    assert dict(vars(other.Client)) == before
    assert [record.getMessage() for record in caplog.records] == [
        f"{OTHER} cannot be patched: its calls meet no faults"
    ]
    process.installation.leave(gate)
    assert process.attributes == process.before


@pytest.mark.parametrize("error", [OSError(errno.EMFILE, "Too many open files"), MemoryError()])
def test_a_library_that_cannot_be_patched_for_a_moment_is_patched_later(process: Process, error: Exception) -> None:
    hooks, errors, gate = patches_of(process.library, process.installation), [error, error], Gate()

    def patches() -> Iterable[Patch]:
        if errors:
            raise errors.pop()
        return hooks()

    process.has_file("of_a_test", patches)
    process.installation.join(gate)  # type: ignore[arg-type]
    assert process.client.call() == ["call"]
    process.installation.join(gate)  # type: ignore[arg-type]
    assert process.client.call() == ["ours", "call"]
    process.installation.leave(gate)  # type: ignore[arg-type]


def test_what_a_signal_handler_raises_while_a_library_is_looked_at_is_the_hosts(process: Process) -> None:
    hooks, gate = patches_of(process.library, process.installation), Gate()

    def give_up(*_: object) -> None:
        raise ZeroDivisionError

    def patches() -> Iterable[Patch]:
        signal.raise_signal(signal.SIGUSR1)
        return hooks()

    process.has_file("of_a_test", patches)
    before = signal.signal(signal.SIGUSR1, give_up)
    try:
        with pytest.raises(ZeroDivisionError):
            process.installation.join(gate)  # type: ignore[arg-type]
    finally:
        signal.signal(signal.SIGUSR1, before)
    process.has_file("of_a_test", hooks)
    process.installation.join(gate)  # type: ignore[arg-type]
    assert process.client.call() == ["ours", "call"]
    process.installation.leave(gate)  # type: ignore[arg-type]


# Interruptions, threads, copies


class Interruption(BaseException):
    """As gevent's time-out, or a signal handler's."""


def test_what_interrupts_it_goes_on_to_the_host_and_the_next_time_completes_it(process: Process) -> None:
    hooks, gate = patches_of(process.library, process.installation), Gate()
    interruptions = [Interruption()]

    def patches() -> Iterator[Patch]:
        for patch in hooks():

            def wrap_it(original: Any, patch: Patch = patch) -> Any:
                if patch.name == "static" and interruptions:
                    raise interruptions.pop()
                return patch.wrap(original)

            yield patch._replace(wrap=wrap_it)

    process.has_file("of_a_test", patches)
    with pytest.raises(Interruption):
        process.installation.join(gate)  # type: ignore[arg-type]
    assert process.settle() == ["ours", "call"]
    assert process.client.static() == ["ours", "static"]
    process.installation.leave(gate)  # type: ignore[arg-type]
    assert process.attributes == process.before


def test_threads_that_join_and_leave_at_once_leave_nothing(process: Process) -> None:
    is_over = threading.Event()
    wrong: list[Any] = []

    def change() -> None:
        gate: Any = Gate()
        while not is_over.is_set():
            process.installation.join(gate)
            process.installation.leave(gate)

    def call() -> None:
        while not is_over.is_set():
            answers = [process.client.call(), process.client.static(), process.library.function()]
            if [answer[-1] for answer in answers] != ["call", "static", "function"]:
                wrong.append(answers)

    threads = [threading.Thread(target=each) for each in (change, change, change, call, call)]
    for thread in threads:
        thread.start()
    is_over.wait(1.0)
    is_over.set()
    for thread in threads:
        thread.join(HUNG)
    assert (process.attributes, process.installation.gates, wrong) == (process.before, (), [])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="This system has no forks.")
def test_a_copy_of_the_process_takes_out_what_it_inherits_though_a_lock_is_held(process: Process) -> None:
    gate: Any = Gate()
    process.installation.join(gate)
    with process.installation._changing:
        child = os.fork()
        if child == 0:
            try:
                process.installation.renew()
                os._exit(0 if process.attributes == process.before and not process.installation.gates else 1)
            finally:  # or a copy of pytest goes on
                os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert process.client.call() == ["ours", "call"]
    process.installation.leave(gate)
