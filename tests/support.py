"""Fakes: a clock that only a test moves, a sleep that moves it, a store in a list."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from chalicelib.access import Token
from chalicelib.errors import StoreUnavailable
from chalicelib.experiments import EXPERIMENTS
from chalicelib.runs.run import Run

NOW = 1_800_000_000.0


class Clock:
    """Scripted time: call it for `now`, move it with `sleep` or `now = …`."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def a_run(name: str = "latency_injection", *, now: float = NOW, token: str = "1", **parameters: Any) -> Run:
    experiment = EXPERIMENTS[name]
    return Run.started(experiment, experiment.Parameters(**parameters), now=now, by="ada", token=token)


@dataclass
class FakeRunStore:
    """A `RunStore` that counts its reads, and fails while `broken`."""

    runs: dict[str, Run] = field(default_factory=dict)
    broken: bool = False
    reads: int = 0

    def latest(self) -> Sequence[Run]:
        self.reads += 1
        if self.broken:
            raise StoreUnavailable("The table does not answer.")
        return list(self.runs.values())

    def active(self, now: float) -> Sequence[Run]:
        return [run for run in self.latest() if run.is_active(now)]

    def start(self, run: Run, *, now: float, replaced: Run | None = None) -> Run | None:
        if self.broken:
            raise StoreUnavailable("The table does not answer.")
        known = self.runs.get(run.experiment.name)
        if known and known.is_active(now) and not (replaced and replaced.run_id == known.run_id):
            return known
        self.runs[run.experiment.name] = run
        return None

    def stop(self, run: Run) -> bool:
        if self.broken:
            raise StoreUnavailable("The table does not answer.")
        known = self.runs.get(run.experiment.name)
        if known is None or known.run_id != run.run_id or not known.is_active(run.ended_at or 0):
            return False
        self.runs[run.experiment.name] = run
        return True


@dataclass
class FakeTokenStore:
    tokens: dict[str, Token] = field(default_factory=dict)

    def find(self, token_hash: str) -> Token | None:
        return self.tokens.get(token_hash)

    def add(self, token: Token) -> None:
        self.tokens[token.hash] = token

    def all(self) -> Sequence[Token]:
        return list(self.tokens.values())

    def revoke(self, token_hash: str) -> None:
        self.tokens.pop(token_hash, None)
