"""What each endpoint does: from a request and its caller to what is in the envelope."""

import json
import logging
import re
import secrets
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..access import Caller
from ..errors import (
    AlarmActive,
    AlreadyRunning,
    ChaosError,
    Halted,
    InvalidParameters,
    MissingParameter,
    NotHalted,
    NotRunning,
    ProductionLocked,
    StoreUnavailable,
    UnknownRun,
)
from ..experiments.base import Experiment, Limits
from ..experiments.catalogue import LONGEST_NAME_SHOWN, Catalogue
from ..guardrails.alarms import Alarms, alarm_reason
from ..lazy import cached_property
from ..results.store import ResultStore, SeenStore
from ..results.tally import Tally
from ..runs.event import Action, Event, identifier, moment_of
from ..runs.observation import Observation
from ..runs.run import Run
from ..runs.store import RunStore, require_room
from ..settings import Settings
from . import dependencies, problems, requests, responses, shapes
from .console import page
from .described import PreviewOfRun, divided
from .http import Request, Response
from .preview import DataPlane, Previewed, explained
from .query import CURSOR, KEY, MOST_ENTRIES, asked_for
from .refusals import Refusals
from .results import UNREAD
from .shapes import iso

log = logging.getLogger(__name__)

MILLISECOND = 0.001

LONGEST_RECORDED = 500
"""How much of a refused body and of its refusal the history records, in bytes and in characters."""

AFTERMATH_SECONDS = 5.0
"""For how long after a run's end its report still lists what else happened."""

TESTED = "Chaos experiments test endpoint: `injected` lists the faults that this request was hit by."
NOT_READ = (
    "Chaos experiments test endpoint: the table could not be read, so the active experiments are unknown or outdated. "
    "The log of this process has the details."
)

NO_KEY_TO_SHARE = "no_key_to_share"
"""The kind of that problem, as those of `vacuity.py`."""

NO_KEY: problems.Problem = {
    "field": "propagate",
    "kind": NO_KEY_TO_SHARE,
    "problem": "needs a key that the services share, and CHAOS_PROPAGATION_KEY is not set in this process. Set it to "
    "the same secret in all of them, such as openssl rand -hex 32 prints, and restart; or leave propagate out",
    "allowed": "false, or true where CHAOS_PROPAGATION_KEY is set",
}

ALONE = (
    "Chaos experiments test endpoint of a process that serves no application, so nothing was injected into this "
    "request. Ask the application's own /test."
)

CALLS_NOTHING = (
    " It calls nothing, so nothing is hit here by the experiments that are about outgoing calls: {names}. Send "
    "requests to a route of the application that calls the dependency."
)

ONE_AT_A_TIME = (
    "This process serves one request at a time, so a stop or a halt that is sent to it waits behind the requests that "
    "a run delays. Serve the control plane beside the application, too: `chaos-experiments serve`. Send it there."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What the endpoints are about: the stores of one scope, and what can be started in it."""

    settings: Settings
    runs: RunStore
    results: ResultStore
    seen: SeenStore
    alarms: Alarms
    catalogue: Catalogue


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The process that answers. `on_change` is called when it has changed what runs."""

    environment: str
    clock: Callable[[], float]
    spare_memory_mb: Callable[[], int]
    on_change: Callable[[], None]
    data_plane: DataPlane
    knows_the_time: Callable[[], bool] = lambda: True
    """Whether the clock is the table's. It is after the first answer of the table."""

    def limits(self) -> Limits:
        """What the process can spare now, by the parameter that takes it."""
        return {"memory_mb": self.spare_memory_mb()}


class Handlers:
    """The endpoints of the control plane, and the test endpoint. Each is a method; `endpoints.py` names it."""

    def __init__(self, stage: Stage, server: Server, *, prefix: str, document: Callable[[], dict[str, Any]]) -> None:
        self._settings = stage.settings
        self._runs = stage.runs
        self._results = stage.results
        self._seen = stage.seen
        self._alarms = stage.alarms
        self._catalogue = stage.catalogue
        self._server = server
        self._clock = server.clock
        self._refusals = Refusals(server.clock)
        self._prefix = prefix
        self._document = document
        self._building = threading.Lock()

    def list_experiments(self, request: Request, caller: Caller) -> shapes.Listed:
        """List the experiments and the active runs.

        Each experiment has a JSON Schema of its parameters, with defaults, units, and the limits of this stage and
        environment. The answer also says whether everything is halted, whether the stage is locked because its name
        looks like production, and what to know before a start (`warnings`).
        """
        halt = self._runs.halted()
        now = self._clock()
        settings = self._settings
        return {
            "caller": responses.caller(caller),
            "application": settings.application,
            "stage": settings.stage or "",
            "production": settings.production,
            "locked": settings.production_locked,
            "halt": responses.halt(halt) if halt else None,
            "warnings": [ONE_AT_A_TIME] if request.one_at_a_time and not settings.in_lambda else [],
            "start_options": requests.start_options(),
            "available_experiments": [self._shown_experiment(each) for each in self._catalogue.values()],
            "active_experiments": self._shown(self._runs.active(now), now),
        }

    def start(self, request: Request, caller: Caller) -> shapes.ShownRun | shapes.StartedScenario:
        """Start an experiment, or several as one scenario.

        Send `experiment_name` and any of the experiment's parameters; parameters that are left out have their
        defaults. The run affects all environments of the application within 5 seconds, within 1 second while another
        run is active, and ends by itself after `duration_seconds`. If a run with its label is active the answer is 409,
        unless `restart` is true. With `experiments`, a list of such objects, all of them are started or none is.
        """
        content = requests.parse(request.body, request.headers)
        if requests.EXPERIMENTS not in content:
            start = requests.start_of(content, self._catalogue, self._limits, prefix=self._prefix)
            (run,) = self._start_all([start], request, caller)
            return self._shown_run(run, run.started_at)
        starts = requests.starts_of(content, self._catalogue, self._limits, prefix=self._prefix)
        scenario = secrets.token_hex(4)
        runs = self._start_all(starts, request, caller, scenario=scenario)
        return {"scenario": runs[0].scenario or "", "runs": [self._shown_run(run, run.started_at) for run in runs]}

    def preview(self, request: Request, caller: Caller) -> shapes.Preview:
        """Preview what a start, or a run, would do to one request.

        Send the body of a start, or the `run_id` of a run, and the `request`. The answer says whether the request would
        be hit, what decides that, which faults it would meet, and what the start would be refused for. A run is
        previewed as it is at this moment, a start at its full share. Nothing is started, and nothing recorded.
        """
        asked, start = divided(requests.parse(request.body, request.headers))
        previewed = (
            self._run_of(asked.run_id) if isinstance(asked, PreviewOfRun) else self._start_of(start, request, caller)
        )
        return explained(previewed, asked.request, self._server.data_plane, self._clock())

    def stop(self, request: Request, caller: Caller) -> shapes.StoppedRun:
        """Stop runs.

        Those of an experiment, the one with a label or an id, or those of a scenario: send exactly one of these. All
        environments obey within a second (`effective_everywhere_by`), including requests that are being delayed.
        """
        content = requests.parse(request.body, request.headers)
        way, options = requests.stopped_by(content, list(self._catalogue))
        value = getattr(options, way)
        active = self._runs.active(self._clock())
        now = self._clock()
        found = [run for run in active if requests.WAYS[way](run) == value]
        try:
            ended = self._end_all(
                run.ended(now=now, by=caller.name, reason=options.reason, source=request.source) for run in found
            )
        finally:
            if found:
                self._server.on_change()
        if not ended:
            if way == "experiment_name" and not found:
                self._catalogue.find(value)
            raise _not_running(way, value, [run for run in active if run not in found])
        shown = self._shown(_newest_first(ended), now)
        return {**shown[0], "stopped_runs": shown, "effective_everywhere_by": self._everywhere_by(now)}

    def halt(self, request: Request, caller: Caller) -> shapes.Halted:
        """Halt all experiments.

        Ends all active runs, as fast as a stop, and refuses every start with 423 until an operator calls
        `POST /resume`. A second halt changes nothing, and answers with the first one.
        """
        options = requests.options_of(requests.HaltOptions, requests.parse(request.body, request.headers))
        if not self._server.knows_the_time():
            with suppress(StoreUnavailable):
                self._runs.halted()
        event = self._event("halt", request, caller, reason=options.reason)
        halt = event
        if not self._runs.halt(event):
            halt = self._runs.halted() or event
        self._server.on_change()
        now = self._clock()
        try:
            ended = [run.run_id for run in self._end_what_runs(halt, now)]
        except StoreUnavailable as error:  # nothing is injected all the same, and `resume` ends them first
            log.warning("Halted; the active runs could not be marked as ended, which resume does again: %s", error)
            ended = []
        return {**responses.halt(halt), "ended_runs": ended, "effective_everywhere_by": self._everywhere_by(now)}

    def resume(self, request: Request, caller: Caller) -> shapes.Resumed:
        """Allow experiments to be started again.

        Runs that the halt ended stay ended.
        """
        options = requests.options_of(
            requests.ResumeOptions, requests.parse(request.body, request.headers, if_empty=b"{}")
        )
        halt = self._runs.halted()
        event = self._event("resume", request, caller, reason=options.reason)
        if halt:
            self._end_what_runs(halt, event.at)
        if halt is None or not self._runs.resume(event):
            raise NotHalted("Nothing is halted, so there is nothing to resume. Experiments can be started.")
        self._server.on_change()
        return {"resumed_at": iso(event.at), "resumed_by": caller.name, "halt": responses.halt(halt)}

    def status(self, request: Request, caller: Caller) -> shapes.StatusOfRun:
        """Show the newest active run, or the last one, and all that are active.

        Those of an experiment, the one with a label or an id, or those of a scenario: send exactly one of these. While
        a run is active its `results` are those so far: environments flush their counts once a second.
        """
        del caller
        given = {way: values[0] for way, values in request.query.items() if values and values[0]}
        way = requests.chosen_by(given, list(self._catalogue))
        value = given[way]
        running = self._runs.running(self._clock())
        found = _newest_first(run for run in running if requests.WAYS[way](run) == value)
        now = self._clock()
        runs = self._as_ended(found or self._over(way, value), now)
        shown = self._with_results(runs, now)
        active = [each for each, run in zip(shown, runs, strict=True) if run.is_active(now)]
        first = shown[0] if shown else responses.inactive(self._catalogue.find(value))
        return {**first, "runs": active}

    def history(self, request: Request, caller: Caller) -> shapes.History:
        """List past runs and events, newest first.

        Runs, halts, resumes, changes of tokens, and refused requests of known callers: who, from where, when and why.
        Entries are kept for 90 days. For the next page send `before` with the `next` of this one.
        """
        del caller
        now = self._clock()
        asked = asked_for(request.query, now, self._catalogue)
        found = self._runs.history(
            since=asked.since,
            until=asked.until,
            experiment=asked.experiment,
            label=asked.label,
            before=asked.before,
            limit=asked.limit,
        )
        shown = self._as_ended([each for each in found.entries if isinstance(each, Run)], now)
        ended = {run.run_id: run for run in shown}
        kept = [ended[each.run_id] if isinstance(each, Run) else each for each in found.entries]
        tallies = self._tallies(shown)
        return {"entries": self._entries(kept, now, tallies), "next": found.next}

    def dependencies(self, request: Request, caller: Caller) -> shapes.Dependencies:
        """List what the application calls, and let all processes observe it for 60 seconds.

        For each client library and dependency: calls, errors and response times, as observed in the last hour, and the
        faults that can be injected into the calls. Processes begin to observe within 5 seconds, with the next request
        that they serve: who is the first to ask asks again soon. Paths, queries and contents are not observed.
        """
        del request, caller
        known = self._runs.current(self._clock()).observation
        now = self._clock()
        observation = Observation.asked(now, known)
        self._runs.observe(observation)
        if known is None:
            self._server.on_change()
        seen = self._seen.seen(now - dependencies.SHOWN_SECONDS)
        return dependencies.shown(seen, observation, was_asked=known is not None)

    def report(self, request: Request, caller: Caller) -> shapes.Report:
        """Report on a run.

        Its parameters, who started and ended it, its results, the verdict on its hypothesis, and what else happened
        meanwhile. As JSON, as Markdown, or as one HTML page with plots: by `format`, or by the header `Accept`.
        """
        del caller
        run = self._find(_asked(request, "run_id", "the id of a run, from GET /history"))
        now = self._clock()
        until = min(run.ended_at or run.expires_at, now) + AFTERMATH_SECONDS
        kept = self._runs.history(since=run.started_at, until=until, experiment=None, before=None, limit=MOST_ENTRIES)
        (shown,) = self._with_results(self._as_ended([run], now), now)
        others = [each for each in reversed(kept.entries) if isinstance(each, Event) or each.run_id != run.run_id]
        unasked = {each.run_id: UNREAD for each in others if isinstance(each, Run)}
        return {"run": shown, "events": self._entries(others, now, unasked)}

    def console(self, request: Request, caller: Caller) -> Response:
        """Open the console.

        A web page to see, start and stop experiments. It asks for a token, and loads nothing from other hosts.
        """
        del request, caller
        settings = self._settings
        return page(settings.application, settings.stage or "", production=settings.production)

    def openapi(self, request: Request, caller: Caller) -> Response:
        """Get this OpenAPI document."""
        del request, caller
        with self._building:  # of many that ask at once, one builds it
            return self._published

    def test(self, request: Request, caller: Caller) -> shapes.Tested:
        """Try the active experiments on this request.

        Reads which experiments are active, applies them to this request as to any request of the application, and
        answers with what was injected; with the injected error, if `error_injection` hits it. `would_hit` are the
        labels of the dry runs that would have hit it. It is a request for its own path, so a run whose target names the
        paths of the application does not hit it. It calls nothing, so those that are `about_outgoing_calls` do nothing
        here. `problem` is
        `store_unavailable` if the table could not be read: the active experiments are then unknown or outdated, and
        the log of the process has the details.
        """
        del caller
        of_calls = [name for name in request.active if self._is_about_calls(name)]
        message = TESTED if request.serves_application else ALONE
        return {
            "message": NOT_READ if request.problem else message + self._calls_nothing(of_calls),
            "timestamp": iso(self._clock()),
            "active_chaos_experiments": list(request.active),
            "environment": self._server.environment,
            "about_outgoing_calls": of_calls,
            "injected": list(request.injected),
            "would_hit": list(request.would_hit),
            "problem": request.problem,
        }

    def _is_about_calls(self, name: str) -> bool:
        return name in self._catalogue and self._catalogue[name].applies_to == "dependency"

    @staticmethod
    def _calls_nothing(names: Sequence[str]) -> str:
        return CALLS_NOTHING.format(names=", ".join(names)) if names else ""

    @cached_property
    def _published(self) -> Response:
        """It says nothing that changes while the process lives, and anybody may ask for it."""
        document = self._document()
        return Response(200, document, text=json.dumps(document))

    def _as_ended(self, runs: Sequence[Run], now: float) -> list[Run]:
        """A halt ends what runs also where it could not be written that the runs are ended."""
        halt = self._runs.halted() if any(run.is_active(now) for run in runs) else None
        return [_ended_by(halt, run, now) if halt and run.is_active(now) else run for run in runs]

    def _over(self, way: str, value: str) -> list[Run]:
        """The last run that is named so, none of which is running; none where an experiment never ran.

        Raises UnknownRun.
        """
        if way == "run_id":
            return [self._find(value)]
        if way == "experiment_name":
            is_possible = value in self._catalogue or re.fullmatch(KEY, value)
            last = self._runs.last(value) if is_possible else None
            return [last] if last else []
        if way == "label":
            last = self._runs.last_labelled(value) if re.fullmatch(KEY, value) else None
        else:
            last = next(iter(self._runs_of_scenario(value)), None)
        if last is None:
            raise _unknown_run(way, value)
        return [last]

    def _runs_of_scenario(self, scenario: str) -> list[Run]:
        """The newest first. They started in the millisecond that the id of the scenario says."""
        at = moment_of(scenario)
        if at is None:
            return []
        page = self._runs.history(
            since=at, until=at + MILLISECOND, experiment=None, label=None, before=None, limit=MOST_ENTRIES
        )
        return [each for each in page.entries if isinstance(each, Run) and each.scenario == scenario]

    def _find(self, run_id: str) -> Run:
        """Raises UnknownRun."""
        run = self._runs.find(run_id) if re.fullmatch(CURSOR, run_id) else None
        if run:
            return run
        raise _unknown_run("id", run_id)

    def _entries(
        self, entries: Collection[Run | Event], now: float, tallies: Mapping[str, Tally]
    ) -> list[shapes.Entry]:
        return [responses.entry(each, now, tallies, self._catalogue) for each in entries]

    def _with_results(self, runs: Sequence[Run], now: float) -> list[shapes.ShownRun]:
        """Raises StoreUnavailable where their results cannot be read."""
        results = self._results_of(runs)
        return [self._shown_run(run, now, results.get(run.run_id)) for run in runs]

    def _shown_experiment(self, experiment: Experiment) -> shapes.ShownExperiment:
        return responses.experiment(experiment, self._limits(experiment))

    def _shown_run(self, run: Run, now: float, tally: Tally | None = None) -> shapes.ShownRun:
        return responses.run(run, now, tally, catalogue=self._catalogue)

    def _shown(self, runs: Collection[Run], now: float) -> list[shapes.ShownRun]:
        """With their results, where they can be read: a list without them is better than none."""
        tallies = self._tallies(runs)
        return [self._shown_run(run, now, tallies.get(run.run_id)) for run in runs]

    def _tallies(self, runs: Collection[Run]) -> Mapping[str, Tally]:
        try:
            return self._results_of(runs)
        except StoreUnavailable as error:
            log.warning("Could not read the results of runs: %s", error)
            return {run.run_id: UNREAD for run in runs}

    def _results_of(self, runs: Collection[Run]) -> Mapping[str, Tally]:
        """Raises StoreUnavailable."""
        readable = [run for run in runs if not run.damaged]
        return self._results.results(readable) if readable else {}

    def _run_of(self, run_id: str) -> Previewed:
        """The run that a preview is about. Raises UnknownRun and UnknownExperiment."""
        (run,) = self._as_ended([self._find(run_id)], self._clock())
        refused = _refusals(self._requirements(run.alarms))
        return Previewed(run, self._catalogue.find(run.experiment), is_started=True, refused=refused)

    def _start_of(self, content: Mapping[str, Any], request: Request, caller: Caller) -> Previewed:
        """The run that a start would make. Raises what is refused in every stage."""
        start, above = self._start_above_limits(content)
        needs_key = partial(self._require_a_key, [start])
        refused = [*above, *_refusals([needs_key, *self._requirements(start.options.alarms)])]
        now = self._clock()
        run = self._made(start, now, request, caller)
        refused += _refusals([partial(self._require_a_place, start, run, now)])
        return Previewed(run, start.experiment, is_started=False, refused=refused)

    def _start_above_limits(self, content: Mapping[str, Any]) -> tuple[requests.Start, list[ChaosError]]:
        """A start, also one that nothing but the limits of this stage and environment refuses; and that refusal."""
        try:
            return requests.start_of(content, self._catalogue, self._limits, prefix=self._prefix), []
        except InvalidParameters as refusal:
            try:
                return requests.start_of(content, self._catalogue, _no_limits, prefix=self._prefix), [refusal]
            except InvalidParameters:
                raise refusal from None

    def _require_a_place(self, start: requests.Start, run: Run, now: float) -> None:
        """Raises AlreadyRunning and TooManyRuns."""
        active = self._runs.active(now)
        in_the_way = next((each for each in active if each.label == run.label), None)
        if in_the_way is None:
            require_room([run], active)
        elif not start.options.restart:
            raise _already_running(in_the_way, self._shown_run(in_the_way, now), count=1)

    def record_refusal(self, request: Request, caller: Caller, error: ChaosError) -> None:
        """Record in the history that a known caller was refused, a few times a minute. Never raises."""
        added = self._refusals.admit(caller.name)
        if added is None:
            return
        details = {
            "endpoint": request.path,
            "code": error.code,
            "message": error.message[:LONGEST_RECORDED],
            "body": request.body[:LONGEST_RECORDED].decode(errors="replace"),
            **added,
        }
        try:
            self._runs.record(self._event("refusal", request, caller, details=details))
        except StoreUnavailable as unavailable:
            log.warning("Could not record a refused request in the history: %s", unavailable)

    def _limits(self, experiment: Experiment) -> Limits:
        """The stage's and the environment's; the smaller one where both have one."""
        own = experiment.Parameters.limited(self._server.limits())
        stages = experiment.Parameters.limited(self._settings.limits)
        return {**own, **{name: min(limit, own.get(name, limit)) for name, limit in stages.items()}}

    def _requirements(self, alarms: Sequence[str]) -> Sequence[Callable[[], None]]:
        """What must hold for a start, beside its parameters. Each raises a ChaosError where it does not."""
        return (
            partial(self._catalogue.check_limits, self._settings.limits),
            self._require_an_unlocked_stage,
            partial(self._require_no_alarm, alarms),
            self._require_no_halt,  # the last one: it says what time it is
        )

    def _require_a_key(self, starts: Sequence[requests.Start], *, in_list: bool = False) -> None:
        """Raises InvalidParameters where runs are to travel between services that share no key."""
        if self._settings.propagation_key:
            return
        travelling = [position for position, start in enumerate(starts) if start.options.propagate]
        names = [f"{requests.EXPERIMENTS}.{position}.propagate" if in_list else "propagate" for position in travelling]
        if names:
            raise problems.invalid([{**NO_KEY, "field": name} for name in names])

    def _require_an_unlocked_stage(self) -> None:
        if self._settings.production_locked:
            stage = self._settings.stage
            raise ProductionLocked(
                f"The stage {stage!r} is named like production, so no experiment can be started in it. To allow that, "
                f"deploy the application with CHAOS_ALLOW_PRODUCTION={stage}."
            )

    def _require_no_alarm(self, alarms: Sequence[str]) -> None:
        firing = self._alarms.firing(alarms) if alarms else {}
        if firing:
            causes = "; ".join(alarm_reason(name, why) for name, why in firing.items())
            raise AlarmActive(
                f"No experiment was started: {causes}. Wait until the alarm is OK, or remove it from alarms."
            )

    def _start_all(
        self, starts: Sequence[requests.Start], request: Request, caller: Caller, *, scenario: str = ""
    ) -> list[Run]:
        """The runs, all of which have started. `scenario` makes the id of those that belong together."""
        self._require_a_key(starts, in_list=bool(scenario))
        for require in self._requirements(sorted({alarm for start in starts for alarm in start.options.alarms})):
            require()
        now = self._clock()
        runs = [self._made(start, now, request, caller, scenario=scenario) for start in starts]
        in_the_way = self._start(runs, now, restarted={start.label for start in starts if start.options.restart})
        if in_the_way:
            raise _already_running(in_the_way, self._shown_run(in_the_way, now), count=len(runs))
        self._server.on_change()
        return runs

    @staticmethod
    def _made(start: requests.Start, now: float, request: Request, caller: Caller, *, scenario: str = "") -> Run:
        """The run of a start."""
        return Run.started(
            start.experiment.name,
            start.parameters.model_dump(mode="json", exclude_none=True),
            now=now,
            by=caller.name,
            token=secrets.token_hex(4),
            source=request.source,
            options=_options_of(start),
            label=start.label,
            scenario=identifier(round(now, 3), scenario) if scenario else None,
        )

    def _start(self, runs: Sequence[Run], now: float, *, restarted: Collection[str]) -> Run | None:
        """Start all of them; or, changing nothing, a run that is in their way. Raises Halted and TooManyRuns."""
        active = {run.label: run for run in self._runs.active(now)} if restarted else {}
        replaced = [
            active[run.label].ended(
                now=now, by=run.started_by, reason=f"replaced by {run.run_id}", source=run.started_from
            )
            for run in runs
            if run.label in restarted and run.label in active
        ]
        try:
            return self._runs.start(runs, now=now, replaced=replaced)
        except Halted:
            self._require_no_halt()
            raise Halted("Everything was halted until a moment ago, so nothing was started. Try again.") from None

    def _require_no_halt(self) -> None:
        """It asks the table, whose answer also says what time it is there: a run starts by that."""
        halt = self._runs.halted()
        if halt:
            raise self._halted_by(halt)

    def _halted_by(self, halt: Event) -> Halted:
        return Halted(
            f"Halted by {halt.by} at {iso(halt.at)}: {halt.reason}. No experiment can start "
            f"until an operator calls POST {self._prefix}/resume.",
            resultset=responses.halt(halt),
        )

    def _end_what_runs(self, halt: Event, now: float) -> list[Run]:
        """The runs that the halt ended."""
        return self._end_all(_ended_by(halt, run, now) for run in self._runs.running(now))

    def _end_all(self, runs: Iterable[Run]) -> list[Run]:
        """Those, as they ended, that this call has ended. Raises StoreUnavailable where not all could be."""
        ended: list[Run] = []
        problems: list[StoreUnavailable] = []
        for run in runs:
            try:
                ended += [run] if self._runs.stop(run) else []
            except StoreUnavailable as error:  # the others are to end all the same
                problems.append(error)
        if problems:
            raise problems[0]
        return ended

    def _everywhere_by(self, now: float) -> str:
        return iso(now + self._settings.refresh_seconds)

    def _event(self, action: Action, request: Request, caller: Caller, **more: Any) -> Event:  # noqa: ANN401
        token = secrets.token_hex(4)
        return Event.of(action, now=self._clock(), by=caller.name, token=token, source=request.source, **more)


def _asked(request: Request, name: str, allowed: str) -> str:
    """What a query says. Raises MissingParameter."""
    given = (request.query.get(name) or [""])[0]
    if given:
        return given
    problem = problems.missing(name, allowed)
    what = problems.sentences([problem])
    raise MissingParameter(f"{what} Send it in the query: ?{name}=<value>.", details=[problem])


def _unknown_run(way: str, value: str) -> UnknownRun:
    given = value[:LONGEST_NAME_SHOWN]
    return UnknownRun(f"There is no run with the {way} {given!r}. GET /history lists those of the last 90 days.")


def _no_limits(_experiment: Experiment) -> Limits:
    return {}


def _refusals(checks: Sequence[Callable[[], object]]) -> list[ChaosError]:
    """What each of them refuses, in their order."""
    refused: list[ChaosError] = []
    for check in checks:
        try:
            check()
        except ChaosError as error:
            refused.append(error)
    return refused


def _not_running(way: str, value: str, others: Iterable[Run]) -> NotRunning:
    what = value if way == "experiment_name" else f"No run with the {way} {value[:LONGEST_NAME_SHOWN]!r}"
    is_not = "is not running" if way == "experiment_name" else "is active"
    running = ", ".join(map(_named, others)) or "no experiment"
    return NotRunning(f"{what} {is_not}, so nothing was stopped. Running now: {running}.")


def _named(run: Run) -> str:
    """A run by its label, and by its experiment where that is another one."""
    return run.label if run.label == run.experiment else f"{run.label} ({run.experiment})"


def _options_of(start: requests.Start) -> dict[str, Any]:
    """Those that are stored: an experiment may limit itself how many calls a run hits."""
    options = start.options.content()
    most = start.experiment.most_hits(start.parameters)
    return options if most is None else {**options, "max_requests": min(most, options.get("max_requests", most))}


def _already_running(run: Run, shown: shapes.ShownRun, *, count: int) -> AlreadyRunning:
    """What a start is refused with for the run that is in the way of one of so many."""
    others = f" None of the {count} experiments was started." if count > 1 else ""
    return AlreadyRunning(
        f"{_named(run)} is already running: {_described(run, shown)}.{others} "
        'Stop it first, send "restart": true to replace it, or start another run with a label of its own.',
        resultset=shown,
    )


def _newest_first(runs: Iterable[Run]) -> list[Run]:
    return sorted(runs, key=lambda run: run.order, reverse=True)


def _ended_by(halt: Event, run: Run, now: float) -> Run:
    """As the halt ended it: not later than now, where the clock of whoever halted is ahead."""
    return run.ended(now=min(halt.at, now), by=halt.by, reason=f"halted: {halt.reason}", source=halt.source)


def _described(run: Run, shown: shapes.ShownRun) -> str:
    """A run that is in the way of another one."""
    which = f"run {run.run_id}, started by {run.started_by or 'somebody'}"
    if run.damaged:
        return f"{which}, which is damaged in the table"
    version = ", which this version of the module cannot read" if run.unreadable else ""
    return f"{which}{version}, ends in {shown['remaining_seconds']:g} s"
