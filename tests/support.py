"""Fakes: a clock that only a test moves, a sleep that moves it, a store in a list."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from chalicelib.access import Token
from chalicelib.errors import AlarmsUnavailable, Halted, StoreUnavailable, UnknownAlarm
from chalicelib.experiments.base import Parameters
from chalicelib.experiments.catalogue import installed
from chalicelib.results.recorder import FlushPolicy, Recorder, Schedule
from chalicelib.results.seen import Seen, SeenCalls, SeenKey
from chalicelib.results.tally import OpenCalls, Tally
from chalicelib.runs.event import Action, Event
from chalicelib.runs.observation import Observation
from chalicelib.runs.options import Hypothesis
from chalicelib.runs.run import Run
from chalicelib.runs.store import Current, Exchange, HistoryPage, Lease, RunStore, require_room

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


def an_event(action: Action = "halt", *, now: float = NOW, token: str = "e", **more: Any) -> Event:
    return Event.of(action, now=now, by="ada", token=token, **more)


def a_run(
    name: str = "latency_injection",
    *,
    now: float = NOW,
    token: str = "1",
    options: Mapping[str, Any] | None = None,
    label: str | None = None,
    scenario: str | None = None,
    **parameters: Any,
) -> Run:
    """Of an experiment that is not installed, with the parameters that all have."""
    model = installed()[name].Parameters if name in installed() else Parameters
    complete = model(**parameters).model_dump(mode="json", exclude_none=True)
    how = {"now": now, "by": "ada", "token": token, "options": options, "label": label, "scenario": scenario}
    return Run.started(name, complete, **how)


def latest(store: RunStore) -> list[Run]:
    """The current or last run of each experiment."""
    return [run for name in sorted(installed()) if (run := store.last(name))]


def _newest(runs: Iterable[Run]) -> Run | None:
    return max(runs, key=lambda run: run.order, default=None)


def with_options(run: Run, **options: Any) -> Run:
    """The run as if it had been started with these options, too."""
    return replace(run, options={**run.options, **options})


def with_hypothesis(run: Run, **hypothesis: Any) -> Run:
    """The run as if it had been started with this hypothesis."""
    expected = Hypothesis(**hypothesis).model_dump(mode="json", exclude_none=True)
    return with_options(run, hypothesis=expected)


@dataclass
class FakeRunStore:
    """A `RunStore` that counts its reads, and fails while `broken`."""

    runs: dict[str, Run] = field(default_factory=dict)
    broken: bool = False
    reads: int = 0
    halt_event: Event | None = None
    past: dict[str, Run | Event] = field(default_factory=dict)
    observation: Observation | None = None

    def latest(self) -> Sequence[Run]:
        """The current or last run of each experiment."""
        self.reads += 1
        self._answer()
        return list(self.runs.values())

    def running(self, now: float) -> Sequence[Run]:
        return [run for run in self.latest() if run.is_active(now)]

    def last(self, experiment: str) -> Run | None:
        return _newest(run for run in [*self.latest(), *self._past_runs()] if run.experiment == experiment)

    def last_labelled(self, label: str) -> Run | None:
        return _newest(run for run in [*self.latest(), *self._past_runs()] if run.label == label)

    def _past_runs(self) -> Sequence[Run]:
        return [run for run in self.past.values() if isinstance(run, Run)]

    def current(self, now: float) -> Current:
        runs = self.latest()
        observed = self.observation if self.observation and self.observation.is_active(now) else None
        return Current([] if self.halt_event else [run for run in runs if run.is_active(now)], observed)

    def observe(self, observation: Observation) -> None:
        self._answer()
        self.observation = observation

    def active(self, now: float) -> Sequence[Run]:
        return self.current(now).runs

    def start(self, runs: Sequence[Run], *, now: float, replaced: Sequence[Run] = ()) -> Run | None:
        self._answer()
        if self.halt_event:
            raise Halted("The scope is halted; nothing was started.")
        running = {label: run for label, run in self.runs.items() if run.is_active(now)}
        known = [running[run.label] for run in runs if run.label in running]
        require_room(runs, [*running.values()])
        in_the_way = [run for run in known if run.run_id not in [ended.run_id for ended in replaced]]
        if in_the_way:
            return in_the_way[0]
        for ended in replaced:
            self.past[ended.run_id] = ended
        for run in runs:
            self.runs[run.label] = self.past[run.run_id] = run
        return None

    def stop(self, run: Run) -> bool:
        self._answer()
        known = self.runs.get(run.label)
        if known is None or known.run_id != run.run_id or not known.is_active(run.ended_at or 0):
            return False
        self.runs[run.label] = self.past[run.run_id] = replace(run, defect=known.defect)
        return True

    def record_defect(self, run: Run, defect: str) -> None:
        self._answer()
        known = self.runs.get(run.label)
        if known and known.run_id == run.run_id and not known.defect:
            self.runs[run.label] = self.past[run.run_id] = replace(known, defect=defect)

    def halted(self) -> Event | None:
        self._answer()
        return self.halt_event

    def halt(self, event: Event) -> bool:
        self._answer()
        if self.halt_event:
            return False
        self.halt_event = self.past[event.event_id] = event
        return True

    def resume(self, event: Event) -> bool:
        self._answer()
        if not self.halt_event:
            return False
        self.halt_event, self.past[event.event_id] = None, event
        return True

    def record(self, event: Event) -> None:
        self._answer()
        self.past[event.event_id] = event

    def find(self, run_id: str) -> Run | None:
        self._answer()
        found = self.past.get(run_id)
        return found if isinstance(found, Run) else None

    def history(
        self,
        *,
        since: float,
        until: float,
        experiment: str | None,
        before: str | None,
        limit: int,
        label: str | None = None,
    ) -> HistoryPage:
        self._answer()
        found: list[Run | Event] = []
        for key, each in sorted(self.past.items(), reverse=True):
            at, name = (each.at, each.experiment) if isinstance(each, Event) else (each.started_at, each.experiment)
            labelled = each.label if isinstance(each, Run) else None
            is_wanted = experiment in (None, name) and label in (None, labelled)
            if since <= at < until and (before is None or key < before) and is_wanted:
                found.append(each)
        page = found[:limit]
        last = page[-1] if len(page) == limit else None
        return HistoryPage(page, last and (last.event_id if isinstance(last, Event) else last.run_id))

    def _answer(self) -> None:
        if self.broken:
            raise StoreUnavailable("The table does not answer.")


def a_recorder(
    clock: Clock, store: "FakeResultStore | None" = None, *, schedule: Schedule | None = None, **policy_more: Any
) -> Recorder:
    """As in Lambda, unless there is a `schedule`."""
    policy = FlushPolicy(
        interval_seconds=1.0, schedule=schedule, **{"has_workers": schedule is not None, **policy_more}
    )
    return Recorder(store or FakeResultStore(), clock, policy, process="here")


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


@dataclass
class FakeAlarms:
    """Alarms by name: None, or why they are in ALARM."""

    states: dict[str, str | None] = field(default_factory=dict)
    broken: bool = False
    asked: int = 0

    def firing(self, names: Sequence[str]) -> Mapping[str, str]:
        self.asked += 1
        if self.broken:
            raise AlarmsUnavailable("CloudWatch does not tell the alarms' states.")
        if set(names) - set(self.states):
            raise UnknownAlarm("CloudWatch knows no such alarm.")
        return {name: why for name in names if (why := self.states[name])}


@dataclass
class FakeResultStore:
    """A `ResultStore` that counts its writes, and fails while `broken`; with `loses_answers` after it has added."""

    tallies: dict[str, Tally] = field(default_factory=dict)
    numbers: dict[tuple[str, str], int] = field(default_factory=dict)
    open_calls: dict[tuple[str, str], OpenCalls | None] = field(default_factory=dict)
    broken: bool = False
    loses_answers: bool = False
    writes: int = 0

    def add(
        self,
        run: Run,
        counts: Mapping[str, int],
        *,
        environment: str,
        number: int,
        open_calls: OpenCalls | None = None,
    ) -> None:
        self.writes += 1
        if self.broken:
            raise StoreUnavailable("The table does not answer.")
        if self.numbers.get((run.run_id, environment), 0) < number:
            self.numbers[run.run_id, environment] = number
            tally = self.tallies.setdefault(run.run_id, Tally())
            tally.merge(counts)
            self.open_calls[run.run_id, environment] = open_calls
            tally.open_calls = [each for (run_id, _), each in self.open_calls.items() if each and run_id == run.run_id]
            tally.environments = sum(run_id == run.run_id for run_id, _ in self.numbers)
        if self.loses_answers:
            raise StoreUnavailable("The answer was lost.")

    def results(self, runs: Sequence[Run]) -> Mapping[str, Tally]:
        if self.broken:
            raise StoreUnavailable("The table does not answer.")
        return {run.run_id: self.tallies[run.run_id] for run in runs if run.run_id in self.tallies}


@dataclass
class FakeSeenStore:
    """A `SeenStore` that counts its writes, and fails while `broken`; with `loses_answers` after it has added."""

    counts: dict[SeenKey, SeenCalls] = field(default_factory=dict)
    additions: dict[SeenKey, str] = field(default_factory=dict)
    broken: bool = False
    loses_answers: bool = False
    writes: int = 0

    def add(self, key: SeenKey, calls: SeenCalls, *, addition: str) -> None:
        self.writes += 1
        self._fail_if(self.broken)
        if self.additions.get(key) != addition:
            self.additions[key] = addition
            self.counts.setdefault(key, SeenCalls()).merge(calls)
        self._fail_if(self.loses_answers)

    def seen(self, since: float) -> Seen:
        self._fail_if(self.broken)
        return {key: calls for key, calls in self.counts.items() if key.observation >= since}

    @staticmethod
    def _fail_if(fails: object) -> None:
        if fails:
            raise StoreUnavailable("The table does not answer.")


@dataclass
class FakeBudgetStore:
    """A `BudgetStore` that notes what it is asked, and fails while `broken`; with `loses_answers` after it is done."""

    taken: dict[str, int] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)
    numbers: dict[tuple[str, str], int] = field(default_factory=dict)
    hits: dict[tuple[str, str], int] = field(default_factory=dict)
    asked: list[Exchange] = field(default_factory=list)
    claims: int = 0
    broken: bool = False
    loses_answers: bool = False

    def lease(self, run: Run, most: int, asked: Exchange) -> Lease:
        self.asked.append(asked)
        self._fail_if(self.broken)
        by, run_id = (run.run_id, asked.environment), run.run_id
        is_done = bool(asked.environment) and self.numbers.get(by, 0) >= asked.number
        taken = self.taken.get(run_id, 0) + asked.wanted - asked.returned
        if not is_done and taken <= most:
            self.taken[run_id], self.numbers[by], is_done = taken, asked.number, True
            self.used[run_id] = self.used.get(run_id, 0) + asked.used
        self._fail_if(self.loses_answers)
        return Lease(asked.wanted if is_done else 0, self.taken.get(run_id, 0), self.used.get(run_id, 0))

    def claim(self, run: Run, key: str, most: int) -> int | None:
        self.claims += 1
        self._fail_if(self.broken)
        number = self.hits.get((run.run_id, key), 0) + 1
        if number <= most:
            self.hits[run.run_id, key] = number
        self._fail_if(self.loses_answers)
        return number if number <= most else None

    @staticmethod
    def _fail_if(fails: object) -> None:
        if fails:
            raise StoreUnavailable("The table does not answer.")
