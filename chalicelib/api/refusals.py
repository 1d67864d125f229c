"""Which refusals of a caller the history records: a script in a loop must neither fill it nor cost a write each."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MINUTE = 60.0
MOST_A_MINUTE = 5
"""How many refusals of one caller a process records within a minute. All of them are in its log."""

MOST_CALLERS = 1000
LAST = "Further refusals of this caller within the minute are in the log only; its next entry says how many."


@dataclass(slots=True)
class _Minute:
    """What was refused to one caller since `began`."""

    began: float
    recorded: int = 0
    left_out: int = 0


class Refusals:
    """Bounds how many refusals of each caller are recorded, by one process. Safe to share between threads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._minutes: dict[str, _Minute] = {}
        self._changing = threading.Lock()

    def admit(self, caller: str) -> Mapping[str, Any] | None:
        """What to add to the entry of one more refusal; None where it is not to be recorded."""
        with self._changing:
            known = self._minutes.get(caller)
            if known is None or not known.began <= self._clock() < known.began + MINUTE:
                return self._begin(caller, known)
            if known.recorded >= MOST_A_MINUTE:
                known.left_out += 1
                return None
            known.recorded += 1
            return {"note": LAST} if known.recorded == MOST_A_MINUTE else {}

    def _begin(self, caller: str, over: _Minute | None) -> Mapping[str, Any]:
        """A new minute; `over` is the caller's last one."""
        self._minutes.pop(caller, None)
        if len(self._minutes) >= MOST_CALLERS:
            del self._minutes[next(iter(self._minutes))]  # the one that began first
        self._minutes[caller] = _Minute(self._clock(), recorded=1)
        return {"left_out_before": over.left_out} if over and over.left_out else {}
