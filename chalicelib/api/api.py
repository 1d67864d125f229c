"""What answers the endpoints."""

import logging
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from ..access import ANYONE, Authenticator, Caller, Role
from ..errors import (
    AlreadyRunning,
    ChaosError,
    InternalError,
    MissingParameter,
    NotRunning,
    UnknownEndpoint,
)
from ..experiment import Experiment, Limits
from ..experiments import EXPERIMENTS, find
from ..runs.run import Run
from ..runs.store import RunStore
from . import body, present
from .endpoints import ENDPOINTS, Endpoint
from .http import Request, Response, failure, success

log = logging.getLogger(__name__)

Handler = Callable[[Request, Caller], Mapping[str, Any]]


class Api:
    """The control plane of one scope, and the test endpoint."""

    def __init__(
        self,
        store: RunStore,
        authenticate: Authenticator,
        clock: Callable[[], float],
        *,
        refresh_seconds: float,
        max_duration_seconds: float,
        spare_memory_mb: Callable[[], int],
        environment: str,
        prefix: str,
        document: Callable[[], dict[str, Any]],
        on_change: Callable[[], None],
    ) -> None:
        self._store = store
        self._authenticate = authenticate
        self._clock = clock
        self._refresh_seconds = refresh_seconds
        self._max_duration_seconds = max_duration_seconds
        self._spare_memory_mb = spare_memory_mb
        self._environment = environment
        self._prefix = prefix
        self._document = document
        self._on_change = on_change

    def handle(self, request: Request) -> Response:
        """Never raises: what goes wrong is in the envelope."""
        try:
            endpoint = self._endpoint(request)
            caller = self._caller(request, endpoint.role)
            handler: Handler = getattr(self, endpoint.handler)
            answer = handler(request, caller)
            return success(answer) if endpoint.envelope else Response(200, answer)
        except ChaosError as error:
            return failure(error)
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            return failure(InternalError("The chaos experiments module has a defect; its log says more."))

    def list_experiments(self, request: Request, caller: Caller) -> present.Listed:
        """What can be run, and what runs."""
        del request, caller
        now = self._clock()
        return {
            "available_experiments": [present.experiment(each, self._limits(each)) for each in EXPERIMENTS.values()],
            "active_experiments": [present.run(run, now) for run in self._active(now).values()],
        }

    def start(self, request: Request, caller: Caller) -> present.ShownRun:
        """Start an experiment."""
        content = body.parse(request.body, request.headers)
        experiment = find(body.experiment_name(content, list(EXPERIMENTS)))
        options, parameters = body.start_parameters(content, experiment, self._limits(experiment))
        now = self._clock()
        run = Run.started(
            experiment, parameters, now=now, by=caller.name, token=secrets.token_hex(4), reason=options.reason
        )
        replaced = self._active(now).get(experiment.name) if options.restart else None
        if replaced:
            replaced = replaced.ended(now=now, by=caller.name, reason=f"replaced by {run.run_id}")
        in_the_way = self._store.start(run, now=now, replaced=replaced)
        if in_the_way:
            shown = present.run(in_the_way, now)
            msg = (
                f"{experiment.name} is running already: run {in_the_way.run_id}, started by {in_the_way.started_by}, "
                f'for {shown["remaining_seconds"]} s more. Stop it, or send "restart": true.'
            )
            raise AlreadyRunning(msg, resultset=shown)
        self._on_change()
        log.info("Run %s of %s started by %s: %s", run.run_id, experiment.name, caller.name, parameters)
        return present.run(run, now)

    def stop(self, request: Request, caller: Caller) -> present.StoppedRun:
        """Stop an experiment."""
        content = body.parse(request.body, request.headers)
        experiment = find(body.experiment_name(content, list(EXPERIMENTS)))
        options = body.stop_options(content)
        now = self._clock()
        active = self._active(now)
        run = active.get(experiment.name)
        ended = run and run.ended(now=now, by=caller.name, reason=options.reason)
        if not ended or not self._store.stop(ended):
            others = ", ".join(name for name in active if name != experiment.name) or "nothing"
            raise NotRunning(f"{experiment.name} is not running. Running: {others}.")
        self._on_change()
        log.info("Run %s of %s stopped by %s", ended.run_id, experiment.name, ended.ended_by)
        return {**present.run(ended, now), "effective_everywhere_by": present.iso(now + self._refresh_seconds)}

    def status(self, request: Request, caller: Caller) -> present.ShownRun:
        """The run that is running, or the last one."""
        del caller
        names = request.query.get("experiment_name") or [""]
        if not names[0]:
            available = ", ".join(EXPERIMENTS)
            raise MissingParameter(
                f"The query needs experiment_name, such as ?experiment_name=latency_injection; one of {available}."
            )
        experiment = find(names[0])
        now = self._clock()
        for run in self._store.latest():
            if run.experiment.name == experiment.name:
                return present.run(run, now)
        return present.inactive(experiment)

    def openapi(self, request: Request, caller: Caller) -> dict[str, Any]:
        """This document."""
        del request, caller
        return self._document()

    def test(self, request: Request, caller: Caller) -> present.Tested:
        """Feel what is active, and be told."""
        del caller
        return {
            "message": "Chaos experiments test endpoint: this answer felt what is active.",
            "timestamp": present.iso(self._clock()),
            "active_chaos_experiments": list(request.active),
            "environment": self._environment,
            "injected": list(request.injected),
        }

    def _endpoint(self, request: Request) -> Endpoint:
        for endpoint in ENDPOINTS:
            if (endpoint.method, endpoint.path) == (request.method, request.path):
                return endpoint
        available = ", ".join(f"{endpoint.method} {self._prefix}{endpoint.path}" for endpoint in ENDPOINTS)
        raise UnknownEndpoint(f"There is no such endpoint. Available: {available}.")

    def _active(self, now: float) -> dict[str, Run]:
        """What runs, by the experiment's name."""
        return {run.experiment.name: run for run in self._store.active(now)}

    def _limits(self, experiment: Experiment) -> Limits:
        return {"duration_seconds": self._max_duration_seconds, **experiment.limits(self._spare_memory_mb())}

    def _caller(self, request: Request, role: Role) -> Caller:
        if role is Role.ANYONE:
            return ANYONE
        caller = request.caller or self._authenticate(request.headers)
        caller.require(role)
        return caller
