import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Attempt(Generic[T]):
    """A call on a thread of its own, for which nobody has to wait to its end: the process may end before it does."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._done = threading.Event()
        self._result: list[T] = []
        self._error: Exception | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def result(self, seconds: float) -> T:
        """What it returned. Raises what it raised, and TimeoutError where it goes on for longer than `seconds`."""
        if not self._done.wait(seconds):
            raise TimeoutError
        if self._error:
            raise self._error
        return self._result[0]

    def _run(self) -> None:
        try:
            self._result.append(self._call())
        except Exception as error:  # noqa: BLE001 - raised again, where it is waited for
            self._error = error
        self._done.set()
