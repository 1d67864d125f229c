"""One family of errors; each carries the code and the HTTP status that the API answers with.

The docstring of a class is what the OpenAPI document says of its code.
"""

import errno
import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

RUN_OUT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})


def may_pass(error: BaseException) -> bool:
    """Whether it may be over a moment later: files, memory or threads had run out."""
    if isinstance(error, OSError):
        return error.errno in RUN_OUT
    if isinstance(error, ImportError):  # of a library in C, which has no errno
        return str(error).endswith(tuple(map(os.strerror, RUN_OUT)))
    return isinstance(error, MemoryError) or "can't start new thread" in str(error)


class ChaosError(Exception):
    """Something that the caller can read and act on.

    `details` are problems, one each; `resultset` is what the envelope carries beside the message; `headers` go with
    the answer.
    """

    code: ClassVar[str]
    status: ClassVar[int]

    def __init__(
        self,
        message: str,
        *,
        details: Sequence[Mapping[str, Any]] = (),
        resultset: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = list(details)
        self.resultset = dict(resultset or {})
        self.headers = dict(headers or {})


class InvalidJson(ChaosError):
    """The body is not a JSON object."""

    code, status = "invalid_json", 400


class MissingParameter(ChaosError):
    """A required field of the body or the query is missing."""

    code, status = "missing_parameter", 400


class InvalidParameters(ChaosError):
    """Fields have values that are not allowed, or names that are not known. `details` lists all of them."""

    code, status = "invalid_parameters", 400


class Unauthenticated(ChaosError):
    """There is no valid token in the header `Authorization`."""

    code, status = "unauthenticated", 401


class Forbidden(ChaosError):
    """The caller is known, but does not have the required role."""

    code, status = "forbidden", 403


class ProductionLocked(ChaosError):
    """The stage is named like production, and `CHAOS_ALLOW_PRODUCTION` does not name it."""

    code, status = "production_locked", 403


class UnknownExperiment(ChaosError):
    """There is no experiment of this name. `resultset.available_experiments` lists the names."""

    code, status = "unknown_experiment", 404


class UnknownAlarm(ChaosError):
    """CloudWatch has no alarm of this name in the account and region of the application."""

    code, status = "unknown_alarm", 404


class UnknownRun(ChaosError):
    """The history has no run with this id."""

    code, status = "unknown_run", 404


class NotRunning(ChaosError):
    """No run that the request names is active, so nothing was stopped."""

    code, status = "not_running", 404


class UnknownEndpoint(ChaosError):
    """There is no endpoint at this path."""

    code, status = "unknown_endpoint", 404


class UnknownToken(ChaosError):
    """There is no token with this hash."""

    code, status = "unknown_token", 404


class MethodNotAllowed(ChaosError):
    """The endpoint does not support this method. The header `Allow` lists the methods that it supports."""

    code, status = "method_not_allowed", 405


class AlreadyRunning(ChaosError):
    """A run with this label is already active. `resultset` is that run."""

    code, status = "already_running", 409


class TooManyRuns(ChaosError):
    """So many runs cannot be active at once, so nothing was started."""

    code, status = "too_many_runs", 409


class NotHalted(ChaosError):
    """Nothing is halted, so there is nothing to resume."""

    code, status = "not_halted", 409


class AlarmActive(ChaosError):
    """An alarm that the request names is in state ALARM, so nothing was started."""

    code, status = "alarm_active", 409


class BodyTooLarge(ChaosError):
    """The body is larger than 16 KB."""

    code, status = "body_too_large", 413


class UnsupportedMediaType(ChaosError):
    """The header `Content-Type` is not `application/json`."""

    code, status = "unsupported_media_type", 415


class Halted(ChaosError):
    """Everything is halted, so nothing was started. `resultset` is the halt."""

    code, status = "halted", 423


class InternalError(ChaosError):
    """The module failed unexpectedly. The log of the process has the traceback."""

    code, status = "internal_error", 500


class StoreUnavailable(ChaosError):
    """The DynamoDB table did not answer. The message says whether a change may have been made."""

    code, status = "store_unavailable", 503


class AlarmsUnavailable(ChaosError):
    """The states of the alarms could not be read from CloudWatch."""

    code, status = "alarms_unavailable", 503


class KeysUnavailable(ChaosError):
    """The keys that JSON Web Tokens are checked with could not be fetched. The token was not checked."""

    code, status = "keys_unavailable", 503


class ModuleOff(ChaosError):
    """The module is switched off in this process: `CHAOS_STAGE` is not set, or `CHAOS_ENABLED` is false."""

    code, status = "module_off", 503


class Misconfigured(ChaosError):
    """An environment variable of this process has a value that is not allowed. The message names it."""

    code, status = "misconfigured", 503


class InjectedError(Exception):
    """What an invocation raises where a fault answers in the handler's place: it fails as a defect would let it."""


class InjectedDisconnect(ConnectionResetError):
    """What is raised where a fault closes the connection, and nothing else does: nobody gets an answer.

    An invocation fails with it. A server takes it for a client that is gone.
    """

    def __init__(self, message: str = "Chaos experiment: the connection is dropped") -> None:
        super().__init__(errno.ECONNRESET, message)
