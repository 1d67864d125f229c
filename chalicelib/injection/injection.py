"""One per process: decides what a request is hit by, and applies it."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..faults import Answer, Chance, Hold, Wait
from ..runs.run import Run
from ..runs.snapshot import Snapshot
from .decide import decide
from .memory import Memory

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Injected:
    """What `environment` did to one request; `answer`, where there is one, takes the application's place."""

    environment: str = ""
    active: tuple[Run, ...] = ()
    hits: tuple[dict[str, Any], ...] = ()
    answer: Answer | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What tells a touched response from the application's own; empty for an untouched one."""
        if not self.hits:
            return {}
        return {
            "X-Chaos-Experiment": ", ".join(dict.fromkeys(hit["experiment"] for hit in self.hits)),
            "X-Chaos-Environment": self.environment,
            "X-Chaos-Run": ", ".join(dict.fromkeys(hit["run_id"] for hit in self.hits)),
        }


UNTOUCHED = Injected()


class Injection:
    """Called with the path of every request. Never raises: a defect is logged, and the request goes on untouched."""

    def __init__(
        self,
        snapshot: Snapshot,
        memory: Memory,
        *,
        chance: Chance,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        environment: str,
        control_plane: str,
        excluded_paths: tuple[str, ...] = (),
    ) -> None:
        """`excluded_paths` are never hit: exact, or everything that begins so where they end in `*`."""
        self._snapshot = snapshot
        self._memory = memory
        self._chance = chance
        self._clock = clock
        self._sleep = sleep
        self._environment = environment
        prefixes = tuple(path[:-1] for path in excluded_paths if path.endswith("*"))
        test_path = f"{control_plane}/test"
        self._test_path = None if test_path in excluded_paths or test_path.startswith(prefixes) else test_path
        self._exact = frozenset((*excluded_paths, control_plane))
        self._prefixes = (f"{control_plane}/", *prefixes)

    def __call__(self, path: str) -> Injected:
        try:
            if path.startswith(self._prefixes) or path in self._exact:
                if path != self._test_path:
                    return UNTOUCHED
                active = self._snapshot.refresh()
            else:
                active = self._snapshot.active()
            if self._memory.is_holding:
                self._memory.settle(active)
            if active:
                return self._apply(active)
        except Exception:
            log.exception("Injection failed; the request goes on untouched")
        return UNTOUCHED

    def _apply(self, active: tuple[Run, ...]) -> Injected:
        done: list[dict[str, Any]] = []
        waited = 0.0
        for hit in decide(active, self._chance):
            if waited and not self._snapshot.is_active(hit.run):
                continue  # it ended while this request waited
            told = {"experiment": hit.run.experiment.name, "run_id": hit.run.run_id}
            match hit.fault:
                case Hold(megabytes):
                    done.append({**told, "fault": "hold", "memory_mb": self._memory.hold(hit.run, megabytes)})
                case Wait(seconds):
                    waited = self._wait(hit.run, seconds)
                    done.append({**told, "fault": "wait", "seconds": waited})
                case Answer() as answer:
                    done.append({**told, "fault": "answer", "status": answer.status})
                    return Injected(self._environment, active, tuple(done), answer)
        return Injected(self._environment, active, tuple(done))

    def _wait(self, run: Run, seconds: float) -> float:
        waited = 0.0
        for piece in self._pieces(run, seconds):
            self._sleep(piece)
            waited += piece
        return round(waited, 3)

    def _pieces(self, run: Run, seconds: float) -> Iterator[float]:
        """One delay in pieces, between which to look whether the run goes on: a stop ends the delays under way too."""
        left = seconds
        while left > 0:
            piece = min(left, self._snapshot.fresh_for(), run.expires_at - self._clock())
            if piece <= 0:
                return
            yield piece
            left -= piece
            if left > 0 and not self._snapshot.is_active(run):
                return
