"""Drives one fault: its steps, and what it reports."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from chalicelib.faults.base import Applied, Fault, RefreshSnapshot, Sleep, Step
from tests.support import NOW


@dataclass
class FakeRun:
    run_id: str = "1"
    expires_at: float = NOW + 60


@dataclass
class FakeHitCall:
    """A call that a run hits; its snapshot holds for a second, and time goes on with each sleep and each read."""

    run: FakeRun = field(default_factory=FakeRun)
    left: float = float("inf")
    read_seconds: float = 0.0
    clock: float = NOW
    active: Callable[[float], bool] = lambda _now: True
    effects: dict[type, Any] = field(default_factory=dict)
    chance: Callable[[], float] = lambda: 0.0
    limits: dict[str, float] = field(default_factory=dict)
    patience: float = float("inf")
    client_gone_at: float = float("inf")

    def remaining_seconds(self) -> float:
        return self.left - (self.clock - NOW)

    def is_client_gone(self) -> bool:
        return self.clock >= self.client_gone_at

    def client_timeout_seconds(self) -> float:
        return self.patience

    def seconds_until_stale(self) -> float:
        return 1.0

    def is_active(self) -> Generator[Step, Any, bool]:
        yield RefreshSnapshot()
        self.clock += self.read_seconds
        return self.active(self.clock)

    def now(self) -> float:
        return self.clock

    def timer(self) -> float:
        return self.clock

    def limit(self, parameter: str) -> float:
        return self.limits.get(parameter, float("inf"))

    def effect(self, kind: type[Any]) -> Any:
        return self.effects[kind]


def drive(fault: Fault, call: FakeHitCall) -> tuple[list[float], Applied]:
    """How long it slept, piece by piece, and what it reported."""
    steps, slept, answer = fault.apply(call), [], None
    if isinstance(steps, Applied):
        return [], steps
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as done:
            return slept, done.value
        answer = None
        if isinstance(step, Sleep):
            slept.append(step.seconds)
            call.clock += step.seconds
        elif not isinstance(step, RefreshSnapshot):
            answer = step.call()
