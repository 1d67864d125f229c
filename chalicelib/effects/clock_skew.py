"""Clocks that runs shift in modules of the host: names there are bound to others, and back when the run is over."""

import logging
import math
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from .base import ActiveRun, Surroundings
from .holder import Amount, Holder, Impossible
from .host_modules import selection
from .shifted import Skew, StandIns, is_replaced

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often is looked for modules that have been imported since."""

SKEWED = "skewed_modules"
"""Counter: modules in which environments shift the clock."""

Namespace = dict[str, Any]
Shifted = tuple["Shift", ...]


NOTHING_TO_SHIFT = "no module that is imported here has a clock to shift: name some in modules"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A clock that is off by so many seconds, in the modules named; in the host's own, where none is."""

    seconds: float
    modules: Sequence[str] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Shift:
    """A skew, and the modules in which it is one."""

    skew: Skew
    selects: Callable[[str, ModuleType], bool]


@dataclass(slots=True)
class Patched:
    """The names of a module that are bound to others: what they were bound to, and what they are."""

    namespace: Namespace
    shifts: Shifted = ()
    names: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    def bind(self, shifts: Shifted, stand_ins: StandIns | None) -> None:
        """Bind the names anew. One that somebody else has bound since stays his."""
        for name, value in self.namespace.copy().items():
            original, ours = self.names.get(name, (None, None))
            is_ours = ours is not None and value is ours
            found = stand_ins.find(original if is_ours else value) if stand_ins else None
            if found is not None:
                self.names[name] = (original if is_ours else value), found
                self.namespace[name] = found
            elif is_ours:
                self.namespace[name] = original
        self.shifts = shifts
        if stand_ins is None:
            self.names.clear()


class Shifts:
    """Those of all runs in this process: names are of the process, and an application may have several modules."""

    def __init__(self, modules: Mapping[str, ModuleType] = sys.modules) -> None:
        self._modules = modules
        self._active: Shifted = ()
        self._patched: dict[int, Patched] = {}
        self._stand_ins: dict[Shifted, StandIns | None] = {}
        self._changing = threading.Lock()
        self._settled: tuple[Shifted, int] | None = None

    def add(self, shift: Shift) -> None:
        """Shift the clock in what has been imported by now; for one that is added already, in what is new."""
        with self._changing:
            if shift not in self._active:
                self._active = (*self._active, shift)
            self._settle()

    def remove(self, shift: Shift) -> None:
        shift.skew.seconds = 0.0
        with self._changing:
            self._active = _without(self._active, shift)
            self._settle()

    def number(self, shift: Shift) -> int:
        """Of the modules in which it shifts something."""
        return sum(shift in each.shifts and bool(each.names) for each in list(self._patched.values()))

    def renew(self) -> None:
        """Of a process that is a copy: another thread of the original may have held the lock."""
        self._changing = threading.Lock()

    def _settle(self) -> None:
        """Each combination of shifts has one set of stand-ins: a class is the same in all modules of them."""
        imported = list(self._modules.items())
        if self._settled == (self._active, len(imported)):
            return
        wanted = self._wanted(imported)
        self._stand_ins = {each: self._made(each) for each in {shifts for _, shifts in wanted.values()}}
        for key, (namespace, shifts) in wanted.items():
            patched = self._patched.setdefault(key, Patched(namespace))
            if patched.shifts != shifts:
                patched.bind(shifts, self._stand_ins[shifts])
        self._patched = {key: each for key, each in self._patched.items() if each.shifts}
        is_whole = not any(_is_being_imported(module) for _, module in imported)
        self._settled = (self._active, len(imported)) if is_whole else None

    def _wanted(self, imported: Sequence[tuple[str, ModuleType]]) -> Mapping[int, tuple[Namespace, Shifted]]:
        """The shifts of each module, which may be imported under several names, or not be there any more."""
        wanted = {
            key: (each.namespace, tuple(shift for shift in each.shifts if shift in self._active))
            for key, each in self._patched.items()
        }
        for name, module in imported:
            shifts = tuple(each for each in self._active if each.selects(name, module))
            if shifts and not _is_being_imported(module):
                _, known = wanted.get(id(vars(module)), (None, ()))
                both = tuple(each for each in self._active if each in shifts or each in known)
                wanted[id(vars(module))] = vars(module), both
        return wanted

    def _made(self, shifts: Shifted) -> StandIns | None:
        known = self._stand_ins.get(shifts)
        return known or (StandIns([each.skew for each in shifts]) if shifts else None)


def _without(shifts: Shifted, shift: Shift) -> Shifted:
    return tuple(each for each in shifts if each is not shift)


def _is_being_imported(module: ModuleType) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


SHIFTS = Shifts()


class HeldSkew(Amount):
    """Names of modules that are bound to a shifted clock."""

    counter = SKEWED

    def __init__(self, run: ActiveRun, wanted: Wanted, shifts: Shifts) -> None:
        super().__init__(run)
        self.due_at = -math.inf
        self.modules = 0
        self._seconds = wanted.seconds
        self._shift = Shift(Skew(wanted.seconds), selection(wanted.modules))
        self._shifts = shifts

    @property
    def amount(self) -> int:
        return self.modules

    @property
    def problem(self) -> str | None:
        return None if self.modules else NOTHING_TO_SHIFT

    @property
    def shown(self) -> Mapping[str, Any]:
        return {"offset_seconds": self._seconds, SKEWED: self.modules}

    def settle(self) -> None:
        """Shift the clock in the modules that are imported by now."""
        self._shifts.add(self._shift)
        self.modules = self._shifts.number(self._shift)

    def release(self) -> None:
        self._shifts.remove(self._shift)

    def abandon(self) -> None:
        self._shifts.renew()
        self.release()


class ClockSkew(Holder[HeldSkew, Wanted]):
    """Shifts what modules of the host see as the time; nobody else's, and never that of this module itself."""

    def __init__(self, surroundings: Surroundings, *, shifts: Shifts = SHIFTS) -> None:
        super().__init__(surroundings)
        self._shifts = shifts

    def take(self, run: ActiveRun, wanted: Wanted) -> HeldSkew:
        if is_replaced():
            raise Impossible("somebody else has replaced time.time or datetime.datetime, as freezegun does")
        return HeldSkew(run, wanted, self._shifts)  # its first step shifts

    def advance(self, holding: HeldSkew) -> None:
        holding.due_at = self._clock() + LOOK_SECONDS
        holding.settle()
