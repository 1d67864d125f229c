"""One family of errors; each carries the code and the HTTP status that the API answers with."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class ChaosError(Exception):
    """Something that the caller can read and act on.

    `details` are problems, one each; `resultset` is what the envelope carries beside the message.
    """

    code: ClassVar[str]
    status: ClassVar[int]

    def __init__(
        self,
        message: str,
        *,
        details: Sequence[Mapping[str, Any]] = (),
        resultset: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = list(details)
        self.resultset = dict(resultset or {})


class InvalidJson(ChaosError):
    code, status = "invalid_json", 400


class MissingParameter(ChaosError):
    code, status = "missing_parameter", 400


class InvalidParameters(ChaosError):
    code, status = "invalid_parameters", 400


class Unauthenticated(ChaosError):
    code, status = "unauthenticated", 401


class Forbidden(ChaosError):
    code, status = "forbidden", 403


class ProductionLocked(ChaosError):
    code, status = "production_locked", 403


class UnknownExperiment(ChaosError):
    code, status = "unknown_experiment", 404


class UnknownAlarm(ChaosError):
    code, status = "unknown_alarm", 404


class UnknownRun(ChaosError):
    code, status = "unknown_run", 404


class NotRunning(ChaosError):
    code, status = "not_running", 404


class UnknownEndpoint(ChaosError):
    code, status = "unknown_endpoint", 404


class UnknownToken(ChaosError):
    code, status = "unknown_token", 404


class AlreadyRunning(ChaosError):
    code, status = "already_running", 409


class NotHalted(ChaosError):
    code, status = "not_halted", 409


class AlarmActive(ChaosError):
    code, status = "alarm_active", 409


class BodyTooLarge(ChaosError):
    code, status = "body_too_large", 413


class UnsupportedMediaType(ChaosError):
    code, status = "unsupported_media_type", 415


class Halted(ChaosError):
    code, status = "halted", 423


class InternalError(ChaosError):
    code, status = "internal_error", 500


class StoreUnavailable(ChaosError):
    code, status = "store_unavailable", 503


class AlarmsUnavailable(ChaosError):
    code, status = "alarms_unavailable", 503


class ModuleOff(ChaosError):
    code, status = "module_off", 503


class Misconfigured(ChaosError):
    code, status = "misconfigured", 503
