"""Starts, restarts, stops and time in any order, on the real store, with what must be true beside it."""

import uuid
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from chalicelib.dynamodb.runs import DynamoDBRunStore
from chalicelib.runs.run import Run
from chalicelib.settings import Settings
from tests.support import NOW, a_run

LABELS = {"latency_injection": "latency_injection", "slow-orders": "latency_injection", "errors": "error_injection"}
"""Of each label the experiment."""

NAMES = strategies.sampled_from(list(LABELS))


@pytest.fixture
def machine(settings: Settings) -> type[RuleBasedStateMachine]:  # noqa: C901 - a machine stands in one place
    class LifeOfRuns(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.now = NOW
            self.count = 0
            self.known: dict[str, Run] = {}
            self.store = DynamoDBRunStore(replace(settings, application=uuid.uuid4().hex))

        def running(self, name: str) -> Run | None:
            run = self.known.get(name)
            return run if run and run.is_active(self.now) else None

        def new(self, name: str, duration: float) -> Run:
            self.count += 1
            more = {"label": name, "token": f"{self.count:03d}", "duration_seconds": duration}
            return a_run(LABELS[name], now=self.now, **more)

        @rule(name=NAMES, duration=strategies.sampled_from([0.5, 2.0, 3600.0]))
        def start(self, name: str, duration: float) -> None:
            run = self.new(name, duration)
            in_the_way = self.store.start([run], now=self.now)
            assert in_the_way == self.running(name)
            if in_the_way is None:
                self.known[name] = run

        @rule(name=NAMES)
        def restart(self, name: str) -> None:
            run = self.new(name, 2.0)
            old = self.running(name)
            replaced = [old.ended(now=self.now, by="bob", reason="replaced")] if old else []
            assert self.store.start([run], now=self.now, replaced=replaced) is None
            self.known[name] = run

        @rule(name=NAMES)
        def stop(self, name: str) -> None:
            run = self.known.get(name)
            if run:
                ended = run.ended(now=self.now, by="bob", reason=None)
                assert self.store.stop(ended) == run.is_active(self.now)
                if run.is_active(self.now):
                    self.known[name] = ended

        @rule(seconds=strategies.sampled_from([0.001, 0.5, 1.0, 3600.0]))
        def time_passes(self, seconds: float) -> None:
            self.now = round(self.now + seconds, 3)

        @invariant()
        def everybody_reads_the_same(self) -> None:
            active = {name: run for name, run in self.known.items() if run.is_active(self.now)}
            assert {run.label: run for run in self.store.active(self.now)} == active
            assert {name: run for name in LABELS if (run := self.store.last_labelled(name))} == self.known
            newest = max(self.known.values(), key=lambda run: run.order, default=None)
            assert newest is None or self.store.last(newest.experiment) == newest

    return LifeOfRuns


def test_the_life_of_runs(machine: type[RuleBasedStateMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=8, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
