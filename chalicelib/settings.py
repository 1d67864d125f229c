"""The only reader of the environment: variables in, one frozen object out."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import Misconfigured

DEVELOPMENT = "dev"
PRODUCTION = re.compile(r"prod|prd|(^|[^a-z])live([^a-z]|$)", re.IGNORECASE)
"""Names that may be those of a stage with users. Rather one too many: who means it names the stage."""

OFF = {"false", "0", "no", "off"}
ON = {"true", "1", "yes", "on"}
LIMITED = {
    "CHAOS_MAX_DURATION_SECONDS": "duration_seconds",
    "CHAOS_MAX_PERCENTAGE": "percentage",
    "CHAOS_MAX_DELAY_SECONDS": "delay_seconds",
    "CHAOS_MAX_ERROR_RATE": "error_rate",
    "CHAOS_MAX_MEMORY_MB": "memory_mb",
}
"""Which parameter each variable limits."""

OURS = "CHAOS_"
KNOWN = {
    *LIMITED,
    "CHAOS_STAGE",
    "CHAOS_ENABLED",
    "CHAOS_ALLOW_PRODUCTION",
    "CHAOS_APPLICATION",
    "CHAOS_TABLE",
    "CHAOS_EXCLUDED_PATHS",
    "CHAOS_REFRESH_SECONDS",
    "CHAOS_IDLE_REFRESH_SECONDS",
    "CHAOS_MAX_STALENESS_SECONDS",
    "CHAOS_MAX_ACTIVE_FAULTS",
    "CHAOS_GUARDRAIL_SECONDS",
    "CHAOS_TABLE_TIMEOUT_SECONDS",
    "CHAOS_DEV_TOKEN",
    "CHAOS_JWT_OPERATORS",
    "CHAOS_JWT_VIEWERS",
    "CHAOS_JWT_SECRET",
    "CHAOS_JWT_JWKS_URL",
    "CHAOS_JWT_ALGORITHM",
    "CHAOS_JWT_CLAIM",
    "CHAOS_JWT_ISSUER",
    "CHAOS_JWT_AUDIENCE",
}
"""The variables of a serving process."""

ELSEWHERE = {"CHAOS_URL", "CHAOS_TOKEN", "CHAOS_PROFILE", "CHAOS_ALARM_TOPIC"}
"""Those of the command line and of `app.py`, which are no misspelt ones of the others."""

MISSPELT_EDITS = 2
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
TABLE = re.compile(r"[A-Za-z0-9._-]{3,255}|arn:[^\s]{1,1020}")
TOKEN = re.compile(r"[ -~]{1,256}")
ENDPOINTS = ("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL")
ENDPOINT = re.compile(r"https?://[^\s/]+\S*")
APPLICATION = re.compile(r"[^#\x00-\x1f\x7f]{1,128}")

HMAC = "HS256"
ASYMMETRIC = ("RS256", "ES256")


@dataclass(frozen=True, kw_only=True)
class WebTokens:
    """Which JSON Web Tokens are accepted, and whose. A `secret` for HS256, a `jwks_url` for the others."""

    algorithm: str = HMAC
    secret: str = ""
    jwks_url: str | None = None
    claim: str = "public_id"
    header: str = "Authorization"
    operators: tuple[str, ...] = ()
    viewers: tuple[str, ...] = ()
    issuer: str | None = None
    audience: str | None = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a process is told from outside. `stage` is None where the module is off."""

    stage: str | None = None
    enabled: bool = True
    application: str = "app"
    table: str = ""
    refresh_seconds: float = 1.0
    idle_refresh_seconds: float = 5.0
    max_staleness_seconds: float = 3.0
    table_timeout_seconds: float = 0.25
    guardrail_seconds: float = 10.0
    limits: Mapping[str, float] = field(default_factory=lambda: {"duration_seconds": 3600.0})
    """The largest values that a start may ask for, by the parameter's name."""
    max_active_faults: int = 1000
    allow_production: str | None = None
    excluded_paths: tuple[str, ...] = ()
    dev_token: str | None = None
    web_tokens: WebTokens | None = None
    lambda_memory_mb: int | None = None
    log_stream: str | None = None
    in_lambda: bool = False
    endpoint_url: str | None = None
    embedded: bool = False
    """Whether the table is the embedded DynamoDB's: no AWS setting of the machine counts then."""
    region: str | None = None
    fallback_region: str | None = None
    """The region where neither `region` nor the AWS profile names one: AWS_REGION, which boto3 does not read."""

    @property
    def scope(self) -> str:
        """Whose runs these are: the partition key of the table."""
        return f"{self.application}#{self.stage}"

    @property
    def production(self) -> bool:
        """Whether the stage is named like production."""
        return bool(PRODUCTION.search(self.stage or ""))

    @property
    def production_locked(self) -> bool:
        """Whether the stage is named like production, and nobody has said that it may be hit."""
        return self.production and self.allow_production != self.stage

    @property
    def development(self) -> bool:
        """Whether conveniences that trust the machine are on: never inside Lambda."""
        return self.stage == DEVELOPMENT and not self.in_lambda


class _Variables:
    """The environment's variables, and what is wrong with them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.problems: list[dict[str, str]] = []

    def refuse(self, name: str, given: str | float | None, allowed: str) -> None:
        got = "it is not set" if given is None else f"got {given!r}"
        self.problems.append({"field": name, "problem": f"must be {allowed}; {got}", "allowed": allowed})

    def text(self, name: str) -> str | None:
        return self.environment.get(name, "").strip() or None

    def matching(self, name: str, pattern: re.Pattern[str], allowed: str) -> str | None:
        given = self.text(name)
        if given is not None and not pattern.fullmatch(given):
            self.refuse(name, given, allowed)
        return given

    def paths(self, name: str) -> tuple[str, ...]:
        given = self.listed(name)
        for path in given:
            if not path.startswith("/"):
                self.refuse(name, path, f"paths that begin with a slash, such as /{path}")
        return given

    def refuse_misspelt(self) -> None:
        """A name that is nearly one of ours would be ignored without a word."""
        for name in sorted(self.environment):
            if name.startswith(OURS) and name not in KNOWN | ELSEWHERE:
                near = [known for known in sorted(KNOWN) if _edits(name, known) <= MISSPELT_EDITS]
                if near:
                    problem = f"is not a setting; did you mean {near[0]}?"
                    self.problems.append({"field": name, "problem": problem, "allowed": near[0]})

    def endpoint_url(self) -> str | None:
        """Where the variables name DynamoDB for every AWS tool; boto3 has one to ignore them."""
        if (self.text("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") or "").lower() == "true":
            return None
        name = next((each for each in ENDPOINTS if self.text(each)), ENDPOINTS[0])
        return self.matching(name, ENDPOINT, "a URL such as http://localhost:8001")

    def listed(self, name: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in self.environment.get(name, "").split(",") if part.strip())

    def number(self, name: str, default: float, unit: str = "") -> float:
        given = self.text(name)
        if given is None:
            return default
        try:
            value = float(given)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            self.refuse(name, given, f"a number {unit}greater than 0")
            return default
        return value

    def seconds(self, name: str, default: float) -> float:
        return self.number(name, default, "of seconds ")

    def limits(self) -> dict[str, float]:
        given = {LIMITED[name]: self.number(name, 0.0) for name in LIMITED if self.text(name)}
        return {**Settings().limits, **given}

    def is_on(self, name: str) -> bool:
        """On where it is not set, and where nobody can tell."""
        given = (self.text(name) or "true").lower()
        if given not in ON | OFF:
            self.refuse(name, given, f"one of {', '.join(sorted(ON | OFF))}")
        return given not in OFF


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Raises Misconfigured, which names every variable that is wrong and what it may be."""
    variables = _Variables(environment)
    text, seconds = variables.text, variables.seconds
    stage = variables.matching("CHAOS_STAGE", NAME, "1 to 64 letters, digits, dots, underscores and hyphens")
    application = variables.matching("CHAOS_APPLICATION", APPLICATION, "1 to 128 characters without # and line breaks")
    table = variables.matching(
        "CHAOS_TABLE", TABLE, "3 to 255 letters, digits, dots, underscores and hyphens; or an ARN"
    )
    enabled = variables.is_on("CHAOS_ENABLED")
    memory = environment.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    settings = Settings(
        stage=stage,
        enabled=enabled,
        application=application or Settings.application,
        table=table or f"chaos-experiments-{stage}",
        refresh_seconds=seconds("CHAOS_REFRESH_SECONDS", Settings.refresh_seconds),
        idle_refresh_seconds=seconds("CHAOS_IDLE_REFRESH_SECONDS", Settings.idle_refresh_seconds),
        max_staleness_seconds=seconds("CHAOS_MAX_STALENESS_SECONDS", Settings.max_staleness_seconds),
        guardrail_seconds=seconds("CHAOS_GUARDRAIL_SECONDS", Settings.guardrail_seconds),
        limits=variables.limits(),
        max_active_faults=math.ceil(variables.number("CHAOS_MAX_ACTIVE_FAULTS", Settings.max_active_faults)),
        allow_production=text("CHAOS_ALLOW_PRODUCTION"),
        table_timeout_seconds=seconds("CHAOS_TABLE_TIMEOUT_SECONDS", Settings.table_timeout_seconds),
        excluded_paths=variables.paths("CHAOS_EXCLUDED_PATHS"),
        dev_token=variables.matching("CHAOS_DEV_TOKEN", TOKEN, "1 to 256 letters, digits and signs of ASCII"),
        web_tokens=_web_tokens(variables),
        lambda_memory_mb=int(memory) if memory.isdecimal() else None,
        log_stream=text("AWS_LAMBDA_LOG_STREAM_NAME"),
        in_lambda="AWS_LAMBDA_FUNCTION_NAME" in environment,
        endpoint_url=variables.endpoint_url(),
        region=text("AWS_DEFAULT_REGION"),
        fallback_region=text("AWS_REGION"),
    )
    if settings.max_staleness_seconds < settings.refresh_seconds:
        variables.refuse(
            "CHAOS_MAX_STALENESS_SECONDS",
            settings.max_staleness_seconds,
            f"at least CHAOS_REFRESH_SECONDS ({settings.refresh_seconds}), or faults would come and go",
        )
    variables.refuse_misspelt()
    problems = variables.problems
    if problems:
        each = " ".join(f"{problem['field']} {problem['problem']}".rstrip("?.") + "." for problem in problems)
        raise Misconfigured(f"{each} Correct the environment variables and restart.", details=problems)
    return settings


def _edits(one: str, other: str) -> int:
    """How many letters to insert, remove or replace, to get from one to the other."""
    row = list(range(len(other) + 1))
    for count, letter in enumerate(one, 1):
        previous, row = row, [count]
        for position, against in enumerate(other, 1):
            row.append(min(previous[position] + 1, row[-1] + 1, previous[position - 1] + (letter != against)))
    return row[-1]


def _web_tokens(variables: _Variables) -> WebTokens | None:
    """Accepted only where somebody is named who may come with one."""
    text = variables.text
    operators, viewers = variables.listed("CHAOS_JWT_OPERATORS"), variables.listed("CHAOS_JWT_VIEWERS")
    if not operators and not viewers:
        return None
    jwks_url = text("CHAOS_JWT_JWKS_URL")
    secret = text("CHAOS_JWT_SECRET") or text("APP_SECRET_KEY")
    algorithm = text("CHAOS_JWT_ALGORITHM") or ("RS256" if jwks_url else HMAC)
    allowed = ASYMMETRIC if jwks_url else (HMAC,)
    if algorithm not in allowed:
        told = f"{' or '.join(allowed)} {'with' if jwks_url else 'without'} CHAOS_JWT_JWKS_URL"
        variables.refuse("CHAOS_JWT_ALGORITHM", algorithm, told)
    if not jwks_url and not secret:
        told = "a secret, here or in APP_SECRET_KEY, or keys in CHAOS_JWT_JWKS_URL"
        variables.refuse("CHAOS_JWT_SECRET", None, told)
    return WebTokens(
        algorithm=algorithm,
        secret="" if jwks_url else secret or "",
        jwks_url=jwks_url,
        claim=text("CHAOS_JWT_CLAIM") or WebTokens.claim,
        header=text("HEADER_TOKEN_ENTRY_NAME") or WebTokens.header,
        operators=operators,
        viewers=viewers,
        issuer=text("CHAOS_JWT_ISSUER"),
        audience=text("CHAOS_JWT_AUDIENCE"),
    )
