"""A run that was started, until it ends."""

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import typer
from rich.console import Group, RenderableType
from rich.live import Live

from ..api.results import FLUSHED_SECONDS
from ..results.tally import AFTER_SECONDS
from . import render
from .context import CommandContext
from .exits import (
    EXIT_ENDED_EARLY,
    EXIT_HYPOTHESIS_FAILED,
    EXIT_INTERRUPTED,
    EXIT_NEVER_HIT,
    EXIT_REFUSED,
    EXIT_UNDECIDED,
    EXIT_UNREACHABLE,
)
from .names import Shown, called, words
from .remote import Refused, Unreachable, is_passing

POLL_SECONDS = 0.5
OPEN_SECONDS = 20.0
"""How long after the end of a run it is seen what becomes of requests that are not answered yet: a server that does not
say any more that it lives is taken for dead after 15 s."""

GIVEN_UP_SECONDS = 10.0
"""How long after its planned end the state of a run is still asked for, where nothing answers."""


@dataclass(frozen=True)
class Started:
    """The runs that one start has begun: one, or those of a scenario, which has an id."""

    runs: Sequence[Shown]
    scenario: str | None = None

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> "Started":
        """What the application answers to a start."""
        return cls(answer["runs"], answer["scenario"]) if "runs" in answer else cls([answer])

    @property
    def label(self) -> str:
        """What it is called in a sentence."""
        return f"the scenario {self.scenario}" if self.scenario else called(self.runs[0])

    @property
    def words(self) -> str:
        """What `stop` and `status` take for it."""
        if self.scenario:
            return f"--scenario {self.scenario}"
        return words(self.runs[0])

    @property
    def selected(self) -> Mapping[str, str]:
        """What the endpoints take for it. An older version knows the name of the experiment alone."""
        if self.scenario:
            return {"scenario": self.scenario}
        run = self.runs[0]
        return {"run_id": run["run_id"]} if run.get("label") else {"experiment_name": run["name"]}

    @property
    def end_time(self) -> str:
        """When the last one ends by itself."""
        return str(max(run["end_time"] for run in self.runs))

    @property
    def remaining_seconds(self) -> float:
        return float(max(run["remaining_seconds"] for run in self.runs))

    def with_runs(self, runs: Sequence[Shown]) -> "Started":
        return replace(self, runs=runs)

    def content(self) -> Mapping[str, Any]:
        """As the application answers to a start."""
        return {"scenario": self.scenario, "runs": self.runs} if self.scenario else self.runs[0]

    def drawn(self) -> RenderableType:
        return Group(*map(render.run, self.runs))


def attend(context: CommandContext, started: Started, *, recovery: bool = False) -> None:
    """Wait until all of it ends, and for its `recovery`; Ctrl-C stops it. Exits with what came of it."""
    try:
        runs = _watched(context, started, AFTER_SECONDS if recovery else 0.0)
    except KeyboardInterrupt:
        raise typer.Exit(_stop(context, started)) from None
    except Unreachable:
        context.print_note(
            f"It is unknown how {started.label} ended. It ends by itself at {_clock(started.end_time)} at the latest."
        )
        raise
    ended = started.with_runs(runs)
    context.print_result(ended.content(), *([] if context.is_live else [ended.drawn()]))
    raise typer.Exit(worst(map(exit_code, runs)))


WORST_FIRST = (EXIT_ENDED_EARLY, EXIT_HYPOTHESIS_FAILED, EXIT_NEVER_HIT, EXIT_UNDECIDED, 0)


def worst(codes: Iterable[int]) -> int:
    return min(codes, key=WORST_FIRST.index)


def exit_code(run: Shown) -> int:
    """What came of a run that is over. What says the least about the application comes last."""
    verdict = run["hypothesis"]["verdict"] if run["hypothesis"] else "held"
    codes = (
        (run["status"] != "completed", EXIT_ENDED_EARLY),
        (verdict == "failed", EXIT_HYPOTHESIS_FAILED),
        (_never_hit(run["results"]), EXIT_NEVER_HIT),
        (verdict != "held", EXIT_UNDECIDED),
    )
    return next((code for applies, code in codes if applies), 0)


def _never_hit(results: Mapping[str, Any]) -> bool:
    """Also in an older version's answer, which has no word for it."""
    return bool(results.get("efficacy") == "never_hit" if "efficacy" in results else not results.get("requests_hit"))


def _stop(context: CommandContext, started: Started) -> int:
    """Stop it because of Ctrl-C. The exit code."""
    try:
        stopped = context.remote.ask("POST", "/stop", {**started.selected, "reason": "Ctrl-C"})
    except (Refused, Unreachable, KeyboardInterrupt) as error:
        if isinstance(error, Refused) and error.content.get("code") == "not_running":
            context.print_note(f"{_capital(started.label)} had already ended.")
            return EXIT_INTERRUPTED
        why = "Interrupted before the answer." if isinstance(error, KeyboardInterrupt) else error.message
        context.print_note(
            f"NOT stopped. {why}\n{_capital(started.label)} ends by itself at {_clock(started.end_time)}."
            f"{how_to_stop(context, started.words)}"
        )
        return EXIT_REFUSED if isinstance(error, Refused) else EXIT_UNREACHABLE
    context.print_result(stopped, *map(render.run, stopped.get("stopped_runs", [stopped])))
    context.print_note(
        f"Stopped {started.label}. No process injects it after {_clock(stopped['effective_everywhere_by'])}."
    )
    return EXIT_INTERRUPTED


def _capital(label: str) -> str:
    """A label at the beginning of a sentence."""
    return f"T{label[1:]}" if label.startswith("the ") else label


def how_to_stop(context: CommandContext, words: str) -> str:
    """`words` are what `stop` and `status` take for it."""
    return f"\nCheck: {context.command(f'status {words}')}\nStop it: {context.command(f'stop {words}')}"


def _watched(context: CommandContext, started: Started, recovery_seconds: float) -> Sequence[Shown]:
    """The runs as they ended, a moment later, when every environment has flushed its counts."""
    following = _Following(context, started, recovery_seconds)
    if not context.is_live:
        after = f", then up to {recovery_seconds:g} s more until it has recovered" if recovery_seconds else ""
        duration = f"{started.remaining_seconds:g} s{after}"
        context.print_note(f"Started {started.label} for {duration}. Press Ctrl-C to stop it.")
        return following.to_the_end(lambda _runs: None)
    with Live(started.drawn(), console=context.console, auto_refresh=False) as live:
        return following.to_the_end(lambda runs: live.update(started.with_runs(runs).drawn(), refresh=True))


class _Following:
    """Runs that are asked for until they are over."""

    def __init__(self, context: CommandContext, started: Started, recovery_seconds: float) -> None:
        self._context = context
        self._scenario = started.scenario
        self._recovery_seconds = recovery_seconds
        self._given_up_at = time.monotonic() + started.remaining_seconds + recovery_seconds + GIVEN_UP_SECONDS
        self._runs = {run["run_id"]: run for run in started.runs}
        self._ended_at: dict[str, float] = {}
        self._is_unreachable = False

    def to_the_end(self, draw: Callable[[Sequence[Shown]], None]) -> Sequence[Shown]:
        """Raises Unreachable if nothing answers until long after their end; before that, they are asked for again."""
        while open_runs := [run for run in self._runs.values() if not self._is_over(run)]:
            time.sleep(POLL_SECONDS)
            try:
                shown = self._asked(open_runs)
            except (Refused, Unreachable) as error:
                self._report(error)
                continue
            self._is_unreachable = False
            self._runs.update(shown)
            now = time.monotonic()
            self._ended_at |= {
                run_id: self._ended_at.get(run_id, now) for run_id, run in shown.items() if run["status"] != "running"
            }
            draw(list(self._runs.values()))
        return list(self._runs.values())

    def _is_over(self, run: Shown) -> bool:
        """Whether it has ended, and nothing more is to be learned."""
        waits_for = max(_open_seconds(run), 0.0 if _has_recovered(run) else self._recovery_seconds)
        return time.monotonic() >= self._ended_at.get(run["run_id"], math.inf) + FLUSHED_SECONDS + waits_for

    def _asked(self, runs: Iterable[Shown]) -> dict[str, Shown]:
        """These runs as they are now, by their ids. Those of a scenario that are active are one question."""
        active: dict[str, Shown] = {}
        if self._scenario:
            shown = self._context.remote.ask("GET", "/status?" + urlencode({"scenario": self._scenario}))
            active = {run["run_id"]: run for run in shown.get("runs", [])}
        return {run["run_id"]: active.get(run["run_id"]) or _asked(self._context, run) for run in runs}

    def _report(self, error: Refused | Unreachable) -> None:
        """Raises the error unless trying again may help, and Unreachable if that was tried for too long."""
        if not is_passing(error):
            raise error
        if time.monotonic() > self._given_up_at:
            raise Unreachable(error.message) from error
        if not self._is_unreachable:
            self._context.print_note(f"{error.message}\nTrying again.")
        self._is_unreachable = True


def _open_seconds(run: Mapping[str, Any]) -> float:
    """Requests that die are failures, so there is no verdict before that is known."""
    return OPEN_SECONDS if run["hypothesis"] and run["results"].get("open") else 0.0


def _has_recovered(run: Mapping[str, Any]) -> bool:
    found = run["results"].get("recovery") or {}
    return found.get("recovered_after_seconds") is not None


def _asked(context: CommandContext, run: Shown) -> Shown:
    """The run as it is now, also if another one has replaced it."""
    shown = context.remote.ask("GET", "/status?" + urlencode(Started([run]).selected))
    if shown["run_id"] == run["run_id"]:
        return shown
    if run["status"] == "running":
        context.print_note(f"{shown['started_by']} replaced this run of {run['name']} by a new one.")
    report = json.loads(context.remote.text(f"/report?run_id={run['run_id']}&format=json"))
    replaced: Shown = report["resultset"]["run"]
    return replaced


def _clock(iso: str) -> str:
    return datetime.fromisoformat(iso).astimezone().strftime("%H:%M:%S")
