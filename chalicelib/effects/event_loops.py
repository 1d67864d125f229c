"""Event loops that runs block in this environment, again and again, for a while each time."""

import math
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from .base import ActiveRun
from .holder import Holding
from .places import Loop, PlacesHolder, running_loop

BLOCKS = "loop_blocks"
BLOCKED = "loop_blocked"
"""Counters: how often event loops were blocked, and for how long, in microseconds."""

MICROSECONDS = 1_000_000

NO_LOOP = "this process serves its requests without an event loop."


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """From the beginning of one block to that of the next are `every_seconds`."""

    block_seconds: float
    every_seconds: float


class ServingLoop:
    """An event loop that serves requests. After a block it is free for as long as that was, whatever runs want."""

    def __init__(self, loop: Loop, clock: Callable[[], float]) -> None:
        self.free_at = -math.inf
        self.is_over = False
        self._call_soon = loop.call_soon
        self._clock = clock
        self._is_asked = False

    def ask(self, held: "HeldLoops") -> bool:
        """Ask the loop to block for a run. Whether it is free to."""
        if self._is_asked or self._clock() < self.free_at:
            return False
        self._is_asked = True
        try:
            self._call_soon(partial(self._block, held))
        except RuntimeError:
            self.is_over = True
        return True

    def _block(self, held: "HeldLoops") -> None:
        seconds = 0.0
        try:
            seconds = held.block(self._clock())
        finally:
            self.free_at = self._clock() + seconds
            self._is_asked = False


class HeldLoops(Holding):
    """What blocks event loops for a run. `next_at` is when it is the next time for each of them."""

    def __init__(self, run: ActiveRun, wanted: Wanted, *, has_loop: bool) -> None:
        super().__init__(run)
        self.wanted = wanted
        self.next_at: dict[ServingLoop, float] = {}
        self._over = threading.Event()
        self._has_loop = has_loop
        self._counting = threading.Lock()
        self._counts = {BLOCKS: 0, BLOCKED: 0}
        self._reported = dict(self._counts)

    @property
    def problem(self) -> str | None:
        return None if self._has_loop or self.next_at else NO_LOOP

    @property
    def shown(self) -> Mapping[str, Any]:
        return {} if self.problem else {"event_loops": len(self.next_at)}

    def block(self, now: float) -> float:
        """Block the thread that calls it, until the run is over or it is long enough. How long it was, in seconds."""
        seconds = min(self.wanted.block_seconds, self.run.expires_at - now)
        if seconds <= 0:
            return 0.0
        began = time.perf_counter()
        self._over.wait(seconds)
        blocked = time.perf_counter() - began
        with self._counting:
            self._counts[BLOCKS] += 1
            self._counts[BLOCKED] += round(blocked * MICROSECONDS)
        return blocked

    def take_counters(self) -> Mapping[str, int]:
        with self._counting:
            counts = dict(self._counts)
        added = {name: count - self._reported[name] for name, count in counts.items() if count > self._reported[name]}
        self._reported = counts
        return added

    def release(self) -> None:
        self._over.set()


class EventLoops(PlacesHolder[HeldLoops, Wanted, ServingLoop]):
    """The watcher's thread asks the loops, which goes on while they are blocked: so it sees the end of the run."""

    def found(self) -> Iterator[tuple[Hashable, Callable[[], ServingLoop]]]:
        if loop := running_loop():
            yield loop.key, partial(ServingLoop, loop, self._clock)

    def take(self, run: ActiveRun, wanted: Wanted) -> HeldLoops:
        held = HeldLoops(run, wanted, has_loop=bool(self._places))
        held.due_at = -math.inf
        return held

    def advance(self, holding: HeldLoops) -> None:
        """Block the loops that are due. One that is not free, or that does not run, is asked again a while later."""
        now, wanted = self._clock(), holding.wanted
        for key, loop in list(self._places.items()):
            if holding.next_at.get(loop, now) <= now:
                pause = wanted.every_seconds if loop.ask(holding) else max(loop.free_at - now, wanted.block_seconds)
                holding.next_at[loop] = now + pause
            if loop.is_over:
                del self._places[key]
        holding.next_at = {loop: at for loop, at in holding.next_at.items() if not loop.is_over}
        holding.due_at = min(holding.next_at.values(), default=math.inf)
