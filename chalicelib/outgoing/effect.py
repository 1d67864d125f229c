"""The patches of client libraries as an effect: there while a run of one module is about outgoing calls, or somebody
asks what is called.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from ..effects.base import ActiveRun
from ..effects.watcher import Watcher
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

    def is_due(self, active: Sequence[ActiveRun]) -> bool:
        """Whether a library may have been imported since."""
        del active
        return self._installation.may_be_incomplete

    def settle(self, active: Sequence[ActiveRun]) -> None:
        """Patch what has been imported since. Does not block, and never raises."""
        del active
        with _logged():
            if self.is_holding:
                self._installation.settle()

    def abandon(self) -> None:
        """The installation itself knows of copies."""

    def notice(self, active: Sequence[Plan]) -> None:
        """Install or take out what the active runs need. Does not block, and never raises.

        Only the snapshot calls it, with each new view: other threads may know of an older one.
        """
        with _logged():
            if self._gate.is_observing or any(plan.outgoing or plan.propagation for plan in active):
                self._hold()
            else:
                self._release()

    def look(self) -> None:
        """Read which runs are active if that is due, of which `notice` hears, and patch what has been imported."""
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
