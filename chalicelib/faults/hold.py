"""What every fault does that lets a run hold something in the environment until it ends."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from ..effects.holder import Holder
from ..effects.places import PlacesHolder
from .base import Applied, Fault, HitCall, RunBlocking, Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold(Fault, ABC):
    """The first call that is hit takes it, once in each environment; every one that is hit reports it."""

    effect: ClassVar[type[Holder[Any, Any]]]
    """What takes it, and gives it back."""
    order = 0

    @property
    @abstractmethod
    def wanted(self) -> Any:  # noqa: ANN401 - each effect has its own
        """How much, as the effect has it."""

    def apply(self, call: HitCall) -> Applied | Steps:
        holder = call.effect(self.effect)
        held = holder.held_for(call.run)
        return self._hold(call, holder) if held is None else _applied(held)

    def _hold(self, call: HitCall, holder: Holder[Any, Any]) -> Steps:
        details, counters = yield RunBlocking(partial(holder.hold, call.run, self.wanted))
        holder.count(call.run, counters)  # not with the call, of which nothing is counted where it is one of `/test`
        return _applied(details)


def _applied(details: Mapping[str, Any]) -> Applied:
    """Where nothing is held, nothing is felt of it."""
    return Applied(details=details, did_nothing="problem" in details)


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldPlaces(Hold, ABC):
    """It is taken in every place where calls are served: on each event loop, of each pool of threads."""

    effect: ClassVar[type[PlacesHolder[Any, Any, Any]]]

    def apply(self, call: HitCall) -> Applied | Steps:
        call.effect(self.effect).meet()
        return Hold.apply(self, call)  # not super(): slots make a second class of this one
