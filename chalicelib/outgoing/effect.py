"""The patches of client libraries as an effect: there while a run of one module is about outgoing calls."""

import logging
import threading
from collections.abc import Callable, Sequence

from ..injection.plan import Plan
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
        self._seconds_until_stale = seconds_until_stale
        self._sleep = sleep
        self._installation = installation
        self._changing = threading.Lock()
        self._watcher: threading.Thread | None = None

    @property
    def is_holding(self) -> bool:
        return self._gate in self._installation.gates

    def is_due(self, active: Sequence[Plan]) -> bool:
        """Whether they are to be taken out, or a library may have been imported since."""
        return not _is_needed(active) or self._installation.may_be_incomplete

    def settle(self, active: Sequence[Plan]) -> None:
        """Install or take out what the active runs need. Does not block."""
        with self._changing:
            self._gate.marks = any(plan.propagation for plan in active)
            if _is_needed(active):
                self._installation.join(self._gate)
                self._watch()
            elif self.is_holding:
                self._installation.leave(self._gate)

    def _watch(self) -> None:
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._watch_until_over, name="chaos-patches", daemon=True)
            try:
                self._watcher.start()
            except RuntimeError:  # the process may have no more threads: requests do the same
                self._watcher = None

    def _watch_until_over(self) -> None:
        try:
            while True:
                self._sleep(self._seconds_until_stale())
                self.settle(self._active())
                with self._changing:
                    if not self.is_holding:
                        self._watcher = None
                        return
        except Exception:
            log.exception("The watcher of patches raised an exception; the next request takes them out instead")
            self._watcher = None


def _is_needed(active: Sequence[Plan]) -> bool:
    return any(plan.outgoing or plan.propagation for plan in active)
