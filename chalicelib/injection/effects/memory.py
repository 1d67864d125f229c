"""Memory that runs hold in this environment: really resident, bounded, given back when the run is over."""

import logging
import math
import mmap
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ...faults.base import ActiveRun
from .machine_lock import MachineLock
from .watcher import Watcher

log = logging.getLogger(__name__)

MB = 1024 * 1024
SLICE_MB = 16
SHARES = 16
"""How many times what is taken at once must be spare: so many processes may take it at the same time."""

_WRITTEN = b"\xaa" * MB


@dataclass(slots=True)
class _Held:
    """What is held for a run: `megabytes`, which grow to what is wanted in so many steps."""

    run: ActiveRun
    wanted: int
    steps: int
    step_seconds: float
    slices: list[mmap.mmap] = field(default_factory=list)
    megabytes: int = 0
    reported: int = 0
    """How much of it whoever asked for it knows of."""
    step: int = 0
    next_step_at: float = -math.inf

    def advance(self, now: float) -> int:
        """How much is due, now that its next step has begun. It begins once, also where less can be spared then."""
        while self.step < self.steps and now >= self._begins_at(self.step + 1):
            self.step += 1
        self.next_step_at = self._begins_at(self.step + 1)
        return self.wanted * self.step // self.steps

    def _begins_at(self, step: int) -> float:
        """The last step ends with the run; the first one has begun whenever it is asked for."""
        if step == 1:
            return -math.inf
        return self.run.expires_at - (self.steps - step + 1) * self.step_seconds if step <= self.steps else math.inf

    def add(self, megabytes: int) -> None:
        part = mmap.mmap(-1, megabytes * MB)
        for _ in range(megabytes):
            part.write(_WRITTEN)
        self.slices.append(part)
        self.megabytes += megabytes

    def release(self) -> None:
        for part in self.slices:
            part.close()


class Memory:
    """Holds memory for runs, once each.

    Mapped, not from the heap, so that all of it goes back at once; every page written to, or it would not be there.
    A watcher thread lives while something is held, so that a process without traffic gives it back, and takes the next
    step, too; where the process is frozen meanwhile, the next request does the same.
    """

    def __init__(
        self,
        active: Callable[[], Sequence[ActiveRun]],
        spare_mb: Callable[[], int],
        clock: Callable[[], float],
        seconds_until_stale: Callable[[], float],
        sleep: Callable[[float], None],
        *,
        machine: MachineLock | None = None,
    ) -> None:
        self._machine = machine or MachineLock(sleep=sleep)
        self._active = active
        self._spare_mb = spare_mb
        self._clock = clock
        self._seconds_until_stale = seconds_until_stale
        self._held: dict[str, _Held] = {}
        self._changing = threading.Lock()
        self._watcher = Watcher(self, sleep, "chaos-memory")

    @property
    def is_holding(self) -> bool:
        return bool(self._held)

    @property
    def held_mb(self) -> int:
        return sum(held.megabytes for held in list(self._held.values()))

    def available_mb(self) -> int:
        """The most that a run started now could hold: what is spare, and what gives way to it."""
        return self._spare_mb() + self.held_mb

    def held_for(self, run: ActiveRun) -> int | None:
        """How much is held for a run, in MB; None where `hold` is to be asked, for the first time or again.

        Does not block.
        """
        held = self._held.get(run.run_id)
        if held is None or held.megabytes != held.reported or self._is_step_due(held):
            return None
        return held.megabytes

    def hold(self, run: ActiveRun, megabytes: int, *, steps: int = 1, step_seconds: float = 0.0) -> tuple[int, int]:
        """Hold memory for a run, once, or as much of it as its step says; each lasts `step_seconds`.

        Returns how much is held, and how much of it no call has reported before, in MB. It is less than asked for if
        the environment cannot spare that much. The first call allocates; the ones that come meanwhile do not wait for
        it.
        """
        added = 0
        if self.held_for(run) is None and self._changing.acquire(blocking=False):
            try:
                self._release_what_is_over()
                held = self._held.setdefault(run.run_id, _Held(run, megabytes, steps, step_seconds))
                self._grow(held)
                added = held.megabytes - held.reported
                held.reported = held.megabytes
            finally:
                self._changing.release()
        known = self._held.get(run.run_id)
        return known.megabytes if known else 0, added

    def _is_step_due(self, held: _Held) -> bool:
        return held.next_step_at < math.inf and self._clock() >= held.next_step_at

    def _grow(self, held: _Held) -> None:
        """Take what is due since its last step. Only while nobody else is changing what is held."""
        if self._is_step_due(held):
            due = held.advance(self._clock())
            self._watcher.watch()
            self._fill(held, due)

    def is_due(self, active: Sequence[ActiveRun]) -> bool:
        """Whether something is held for a run that is not active."""
        ids = [run.run_id for run in active]
        return any(run_id not in ids for run_id in list(self._held))

    def settle(self, active: Sequence[ActiveRun]) -> None:
        """Give back what is held for runs that are not active; not while another thread is changing what is held."""
        if self.is_due(active) and self._changing.acquire(blocking=False):
            try:
                self._release_what_is_over()
            finally:
                self._changing.release()

    def _release_what_is_over(self) -> None:
        active = {run.run_id for run in self._active()}
        for run_id in [run_id for run_id in self._held if run_id not in active]:
            self._held.pop(run_id).release()

    def watch_seconds(self) -> float:
        """How long the watcher may sleep: to the next read of the table, the first end, or the next step."""
        moments = [min(held.run.expires_at, held.next_step_at) for held in list(self._held.values())]
        return max(0.0, min([self._seconds_until_stale(), *(moment - self._clock() for moment in moments)]))

    def look(self) -> None:
        """Give back what is over, and take what is due since. May block."""
        self.settle(self._active())
        with self._changing:
            for held in self._held.values():
                self._grow(held)

    def _fill(self, held: _Held, megabytes: int) -> None:
        while held.megabytes < megabytes:
            with self._machine.held() as is_mine:  # other processes see the same memory, and want it, too
                size = self._next_mb(megabytes - held.megabytes) if is_mine else 0
                if size > 0:
                    held.add(size)
            if size <= 0:
                log.warning(
                    "Run %s holds %d of %d MB: this environment has no more memory to spare",
                    held.run.run_id,
                    held.megabytes,
                    megabytes,
                )
                return

    def _next_mb(self, wanted: int) -> int:
        """How much to take at once. The less is left the less: other containers do not know of this one's lock."""
        spare = self._spare_mb()
        return min(SLICE_MB, wanted, max(spare // SHARES, 1) if spare > 0 else 0)
