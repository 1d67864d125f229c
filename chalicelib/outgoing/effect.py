"""The patches of client libraries as an effect: there while a run of one module is about outgoing calls."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from ..injection.effects.watcher import Watcher
from ..injection.plan import Plan
from ..time_limits import pass_on
from .gate import Gate
from .installation import INSTALLATION, Installation

log = logging.getLogger(__name__)


class Patches:
    """Installs and takes out. A watcher thread lives while they are installed, so that a process without requests takes
    them out, too, and patches what is imported meanwhile; where the process is frozen, the next request does the same.
    """

    def __init__(
        self,
        gate: Gate,
        active: Callable[[], Sequence[Plan]],
        seconds_until_stale: Callable[[], float],
        sleep: Callable[[float], None],
        *,
        installation: Installation = INSTALLATION,
    ) -> None:
        self._gate = gate
        self._active = active
        self.watch_seconds = seconds_until_stale
        self._installation = installation
        self._watcher = Watcher(self, sleep, "chaos-patches")
        self.is_holding = False

    def is_due(self, active: Sequence[Plan]) -> bool:
        """Whether they are to be taken out, or a library may have been imported since."""
        return not _is_needed(active) or self._installation.may_be_incomplete

    def notice(self, active: Sequence[Plan]) -> None:
        """Install or take out what the runs need that have just been read. Does not block, and never raises.

        Only who reads installs: another thread may know of runs that a read has just found to be over.
        """
        with _logged():
            if _is_needed(active):
                self._hold()
            else:
                self._release()

    def settle(self, active: Sequence[Plan]) -> None:
        """Take out what is over, and patch what has been imported since. Does not block, and never raises."""
        with _logged():
            if not _is_needed(active):
                self._release()
            elif self.is_holding:
                self._installation.settle()

    def look(self) -> None:
        """Read which runs are active if that is due, which `notice` hears of, and settle."""
        self.settle(self._active())

    def _hold(self) -> None:
        self.is_holding = True
        self._installation.join(self._gate)
        with suppress(RuntimeError):  # the process may have no more threads: requests do the same
            self._watcher.watch()

    def _release(self) -> None:
        if self.is_holding:
            self.is_holding = False
            self._installation.leave(self._gate)
        elif self._installation.has_leftovers:
            self._installation.settle()


@contextmanager
def _logged() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        pass_on(error)
        log.exception("The patches of client libraries raised an exception; the next read of the runs tries again")


def _is_needed(active: Sequence[Plan]) -> bool:
    for plan in active:  # noqa: SIM110 - requests pass here, and any() costs twice as much
        if plan.outgoing is not None:
            return True
    return False
