"""What is made when it is first needed: once for each object, and in a process that was forked meanwhile, too."""

import multiprocessing
import threading
from typing import Any

from chalicelib.lazy import cached_property


class Thing:
    """Notes which threads make its value. With a barrier each of them waits there for the others."""

    def __init__(self, barrier: threading.Barrier | None = None) -> None:
        self.made_by: list[int] = []
        self._barrier = barrier

    @cached_property
    def value(self) -> list[int]:
        """The same for all who ask."""
        self.made_by.append(threading.get_ident())
        if self._barrier:
            self._barrier.wait()
        return [len(self.made_by)]


def test_it_is_made_once_for_each_object() -> None:
    one, other = Thing(), Thing()
    assert one.value is one.value
    assert one.value is not other.value
    assert (len(one.made_by), Thing.value.__doc__) == (1, "The same for all who ask.")


def test_of_two_threads_that_make_it_both_get_the_same() -> None:
    thing, got = Thing(threading.Barrier(2)), []
    threads = [threading.Thread(target=lambda: got.append(thing.value)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(thing.made_by), got[0] is got[1]) == (2, True)


class Slow:
    """What takes long to make, in the first process alone."""

    begun = threading.Event()
    goes_on = threading.Event()

    @cached_property
    def value(self) -> int:
        if not self.begun.is_set():
            self.begun.set()
            self.goes_on.wait()
        return 1


def _ask(answers: Any) -> None:
    answers.put(Slow().value)


def test_a_process_that_is_forked_while_another_thread_makes_one_makes_its_own() -> None:
    context: Any = multiprocessing.get_context("fork")
    answers = context.Queue()
    making = threading.Thread(target=lambda: Slow().value)
    making.start()
    try:
        Slow.begun.wait()
        child = context.Process(target=_ask, args=(answers,))
        child.start()
        try:
            assert answers.get(timeout=60) == 1
        finally:
            child.kill()
            child.join()
    finally:
        Slow.goes_on.set()
        making.join()
