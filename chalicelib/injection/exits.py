"""How a process ends that a run crashes."""

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from ..effects.holder import Holder
from ..faults.base import Exit
from ..faults.crash import CRASHES
from ..results.recorder import Schedule
from ..time_limits import request_time

if TYPE_CHECKING:
    from .engine import Engine, InjectionResult

log = logging.getLogger(__name__)

ANSWER_SECONDS = 0.2
"""How long after the end of a call a server is given to send what it has of the answer."""

LEAVING_SECONDS = 5.0
"""How long the end of a process may wait for the table."""


def exit_process(code: int) -> NoReturn:
    """End this process at once, with what it has logged and printed.

    `sys.exit` would end a thread, or let the server clean up as it does when it is asked to end; SIGKILL has no exit
    code.
    """
    try:
        for flush in (logging.shutdown, *(each.flush for each in (sys.stdout, sys.stderr) if each)):
            with suppress(Exception):  # a pipe that nobody reads any more, a stream that is closed
                flush()
    finally:
        os._exit(code)


class Exits:
    """Ends this process for a run: what it holds is given back, and what it has counted is flushed, before it is gone.

    `give_back` returns the hits that this process has reserved, of the run with that id also those under way.
    """

    def __init__(
        self,
        engine: "Engine",
        give_back: Callable[[str], None],
        schedule: Schedule | None,
        exit_process: Callable[[int], object] = exit_process,
    ) -> None:
        self._engine = engine
        self._give_back = give_back
        self._schedule = schedule
        self._exit = exit_process
        self._leaving = threading.Lock()

    def leave(self, result: "InjectionResult") -> None:
        """End the process now. The call dies with it, unless it is answered. May block."""
        plan, outcome = result.hits[-1].plan, result.outcome
        assert isinstance(outcome, Exit)  # noqa: S101 - who calls has looked
        with self._leaving:  # who comes second waits for the end
            log.warning("Run %s crashes this process with exit code %d", plan.run_id, outcome.code)
            try:
                with request_time(LEAVING_SECONDS):
                    for step in self._last(result):
                        _carry_out(step)
            finally:
                self._exit(outcome.code)

    def _last(self, result: "InjectionResult") -> Iterator[Callable[[], object]]:
        plan, engine = result.hits[-1].plan, self._engine
        for effect in engine.effects:
            if isinstance(effect, Holder):
                yield effect.release_all
        if not result.is_answered:
            yield partial(engine.count, result, None)
        yield partial(engine.recorder.count_late, result, plan, {CRASHES: 1})
        yield partial(engine.recorder.flush_last, killed_by=plan.run_id)
        yield partial(_over, result)
        yield partial(self._give_back, plan.run_id)

    def leave_later(self, result: "InjectionResult") -> None:
        """The call is answered as far as the application is concerned: end the process when its time has come."""
        outcome = result.outcome
        if not isinstance(outcome, Exit) or outcome.after_seconds is None:
            return
        if self._schedule:
            try:
                self._schedule(ANSWER_SECONDS + outcome.after_seconds, partial(self._leave_unless_over, result))
            except RuntimeError as error:  # no more threads
                log.warning("This process is not crashed by a run: %s", error)
        else:
            self._engine.sleep(outcome.after_seconds)
            self._leave_unless_over(result)

    def _leave_unless_over(self, result: "InjectionResult") -> None:
        plan = result.hits[-1].plan
        is_active = any(each.run_id == plan.run_id for each in self._engine.snapshot.get())
        if is_active:
            self.leave(result)
        else:
            _over(result)


def _over(result: "InjectionResult") -> None:
    """Its hit is used, and with the last one the run is completed."""
    for end in filter(None, [budget.over() for budget in result.budgets]):
        end()


def _carry_out(step: Callable[[], object]) -> None:
    try:
        step()
    except Exception:
        log.exception("What is done before the end of this process raised an exception")
