"""The only reader of the environment: variables in, one frozen object out."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from .errors import Misconfigured

DEVELOPMENT = "dev"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a process is told from outside. `stage` is None where the module is off."""

    stage: str | None = None
    application: str = "app"
    table: str = ""
    refresh_seconds: float = 1.0
    idle_refresh_seconds: float = 5.0
    max_staleness_seconds: float = 3.0
    max_duration_seconds: float = 3600.0
    table_timeout_seconds: float = 0.25
    excluded_paths: tuple[str, ...] = ()
    dev_token: str | None = None
    lambda_memory_mb: int | None = None
    log_stream: str | None = None
    in_lambda: bool = False
    endpoint_url: str | None = None
    region: str | None = None
    has_credentials: bool = False

    @property
    def scope(self) -> str:
        """Whose runs these are: the partition key of the table."""
        return f"{self.application}#{self.stage}"

    @property
    def development(self) -> bool:
        """Whether conveniences that trust the machine are on: never inside Lambda."""
        return self.stage == DEVELOPMENT and not self.in_lambda


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Raises Misconfigured, which names every variable that is wrong and what it may be."""
    problems: list[dict[str, str]] = []

    def seconds(name: str, default: float) -> float:
        text = environment.get(name, "").strip()
        if not text:
            return default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            problems.append({"field": name, "problem": f"is {text!r}", "allowed": "a number of seconds above 0"})
            return default
        return value

    stage = environment.get("CHAOS_STAGE", "").strip() or None
    memory = environment.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    settings = Settings(
        stage=stage,
        application=environment.get("CHAOS_APPLICATION", "").strip() or Settings.application,
        table=environment.get("CHAOS_TABLE", "").strip() or f"chaos-experiments-{stage}",
        refresh_seconds=seconds("CHAOS_REFRESH_SECONDS", Settings.refresh_seconds),
        idle_refresh_seconds=seconds("CHAOS_IDLE_REFRESH_SECONDS", Settings.idle_refresh_seconds),
        max_staleness_seconds=seconds("CHAOS_MAX_STALENESS_SECONDS", Settings.max_staleness_seconds),
        max_duration_seconds=seconds("CHAOS_MAX_DURATION_SECONDS", Settings.max_duration_seconds),
        table_timeout_seconds=seconds("CHAOS_TABLE_TIMEOUT_SECONDS", Settings.table_timeout_seconds),
        excluded_paths=tuple(
            path.strip() for path in environment.get("CHAOS_EXCLUDED_PATHS", "").split(",") if path.strip()
        ),
        dev_token=environment.get("CHAOS_DEV_TOKEN", "").strip() or None,
        lambda_memory_mb=int(memory) if memory.isdecimal() else None,
        log_stream=environment.get("AWS_LAMBDA_LOG_STREAM_NAME") or None,
        in_lambda="AWS_LAMBDA_FUNCTION_NAME" in environment,
        endpoint_url=environment.get("AWS_ENDPOINT_URL_DYNAMODB") or environment.get("AWS_ENDPOINT_URL") or None,
        region=environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or None,
        has_credentials=bool(environment.get("AWS_ACCESS_KEY_ID") or environment.get("AWS_PROFILE")),
    )
    if settings.max_staleness_seconds < settings.refresh_seconds:
        problems.append(
            {
                "field": "CHAOS_MAX_STALENESS_SECONDS",
                "problem": f"is {settings.max_staleness_seconds}",
                "allowed": f"no less than CHAOS_REFRESH_SECONDS, {settings.refresh_seconds}: faults would come and go",
            }
        )
    if problems:
        told = "; ".join(f"{p['field']} {p['problem']}, allowed is {p['allowed']}" for p in problems)
        raise Misconfigured(f"The environment is not usable: {told}.", details=problems)
    return settings
