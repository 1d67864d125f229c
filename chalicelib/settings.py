"""The settings of a process: the only reader of its variables makes one frozen object of them."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .paths import ALLOWED_PATH, problem_of

DEVELOPMENT = "dev"
PRODUCTION = r"prod|prd|(^|[^a-z])live([^a-z]|$)"
"""Names that may be those of a stage with users. Rather one too many: who means it names the stage."""

OURS = "CHAOS_"
LIMIT = f"{OURS}MAX_"
"""The prefix of the variables that limit a parameter: CHAOS_MAX_DELAY_SECONDS limits `delay_seconds`."""

ELSEWHERE = {"CHAOS_URL", "CHAOS_TOKEN", "CHAOS_PROFILE", "CHAOS_ALARM_TOPIC", "CHAOS_HANDLER"}
"""Those of the command line, of `app.py` and of `lambda_handler.py`, which are no misspelt ones of the others."""

IN_LAMBDA = "AWS_LAMBDA_FUNCTION_NAME"
"""A variable that the Lambda service sets, and which is not the user's to set elsewhere."""

MISSPELT_EDITS = 2
GATEWAY_SECONDS = 29.0
"""How long API Gateway waits for an integration, unless an account has asked for more."""

SHORTEST_KEY = 16
"""In bytes, of what others could otherwise guess."""

ENDPOINTS = ("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL")
HMAC = "HS256"
ALGORITHMS = {
    False: ((HMAC,), f"{HMAC} without CHAOS_JWT_JWKS_URL"),
    True: (("RS256", "ES256"), "RS256 or ES256 with CHAOS_JWT_JWKS_URL"),
}
"""What CHAOS_JWT_ALGORITHM may be, the default first, and in words; True is with keys from an address."""


@dataclass(frozen=True, kw_only=True)
class WebTokens:
    """Which JSON Web Tokens are accepted, and whose. A `secret` for HS256, a `jwks_url` for the others."""

    algorithm: str = HMAC
    secret: str = field(default="", repr=False)
    jwks_url: str | None = None
    claim: str = "public_id"
    header: str = "Authorization"
    operators: tuple[str, ...] = ()
    viewers: tuple[str, ...] = ()
    issuer: str | None = None
    audience: str | None = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a process reads from its variables once. `stage` is None where the module is off."""

    stage: str | None = None
    enabled: bool = True
    application: str = "app"
    table: str = ""
    refresh_seconds: float = 1.0
    idle_refresh_seconds: float = 5.0
    max_staleness_seconds: float = 3.0
    table_timeout_seconds: float = 0.25
    control_timeout_seconds: float = 3.0
    """How long the endpoints wait for the table, which is longer than a request of the application may."""
    guardrail_seconds: float = 10.0
    max_wait_seconds: float = math.inf
    """The time limit of a request, for delays."""
    limits: Mapping[str, float] = field(default_factory=lambda: {"duration_seconds": 3600.0})
    """The largest values that a start may ask for, by the parameter's name."""
    max_active_faults: int = 1000
    trust_request_start: bool = False
    """Whether the header X-Request-Start is by a proxy in front of this process, and not by anybody who sends it."""
    allow_production: str | None = None
    excluded_paths: tuple[str, ...] = ()
    dev_token: str | None = field(default=None, repr=False)
    propagation_key: str = field(default="", repr=False)
    """What services share that tell each other which requests runs hit; empty: this one does not."""
    web_tokens: WebTokens | None = None
    lambda_memory_mb: int | None = None
    log_stream: str | None = None
    lambda_function: str = ""
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
        return bool(re.search(PRODUCTION, self.stage or "", re.IGNORECASE))

    @property
    def production_locked(self) -> bool:
        """Whether the stage is named like production, and CHAOS_ALLOW_PRODUCTION does not name it."""
        return self.production and self.allow_production != self.stage

    @property
    def development(self) -> bool:
        """Whether conveniences that trust the machine are on: never inside Lambda."""
        return self.stage == DEVELOPMENT and not self.in_lambda


Parse = Callable[[str], Any]
"""Makes a value of a variable's text. Raises ValueError or KeyError for a text that is not allowed."""

SWITCHES = {**dict.fromkeys(("true", "1", "yes", "on"), True), **dict.fromkeys(("false", "0", "no", "off"), False)}


def _switch(text: str) -> bool:
    return SWITCHES[text.lower()]


def _matching(pattern: str) -> Parse:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(text)
        return text

    return parse


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError(text)
    return value


def _count(text: str) -> int:
    return math.ceil(_positive(text))


def _key(text: str) -> str:
    if len(text.encode()) < SHORTEST_KEY:
        raise ValueError
    return text


def _listed(text: str) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, text.split(","))))


def _paths(text: str) -> tuple[str, ...]:
    paths = _listed(text)
    if any(problem_of(path) for path in paths):
        raise ValueError(text)
    return paths


def _decimal(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


class _Variable(NamedTuple):
    """A variable, the field that it sets where it is set, and what it may be, in words. No message repeats a secret."""

    name: str
    field: str
    parse: Parse = str
    allowed: str = ""
    is_secret: bool = False


NUMBER = "a number greater than 0"
SECONDS = "a number of seconds greater than 0"
NAME = "letters, digits, dots, underscores and hyphens"
URL = "a URL such as http://localhost:8001"

VARIABLES = (
    _Variable("CHAOS_STAGE", "stage", _matching(r"[A-Za-z0-9._-]{1,64}"), f"1 to 64 {NAME}"),
    _Variable("CHAOS_ENABLED", "enabled", _switch, f"one of {', '.join(sorted(SWITCHES))}"),
    _Variable("CHAOS_ALLOW_PRODUCTION", "allow_production"),
    _Variable(
        "CHAOS_APPLICATION",
        "application",
        _matching(r"[^#\x00-\x1f\x7f]{1,128}"),
        "1 to 128 characters without # and line breaks",
    ),
    _Variable(
        "CHAOS_TABLE",
        "table",
        _matching(r"[A-Za-z0-9._-]{3,255}|arn:[^\s]{1,1020}"),
        f"3 to 255 {NAME}; or an ARN",
    ),
    _Variable("CHAOS_EXCLUDED_PATHS", "excluded_paths", _paths, f"paths, each {ALLOWED_PATH}"),
    _Variable("CHAOS_REFRESH_SECONDS", "refresh_seconds", _positive, SECONDS),
    _Variable("CHAOS_IDLE_REFRESH_SECONDS", "idle_refresh_seconds", _positive, SECONDS),
    _Variable("CHAOS_MAX_STALENESS_SECONDS", "max_staleness_seconds", _positive, SECONDS),
    _Variable("CHAOS_GUARDRAIL_SECONDS", "guardrail_seconds", _positive, SECONDS),
    _Variable("CHAOS_TABLE_TIMEOUT_SECONDS", "table_timeout_seconds", _positive, SECONDS),
    _Variable("CHAOS_CONTROL_TIMEOUT_SECONDS", "control_timeout_seconds", _positive, SECONDS),
    _Variable("CHAOS_MAX_ACTIVE_FAULTS", "max_active_faults", _count, NUMBER),
    _Variable("CHAOS_MAX_WAIT_SECONDS", "max_wait_seconds", _positive, SECONDS),
    _Variable("CHAOS_TRUST_REQUEST_START", "trust_request_start", _switch, f"one of {', '.join(sorted(SWITCHES))}"),
    _Variable(
        "CHAOS_DEV_TOKEN",
        "dev_token",
        _matching(r"[ -~]{1,256}"),
        "1 to 256 letters, digits and signs of ASCII",
        is_secret=True,
    ),
    _Variable(
        "CHAOS_PROPAGATION_KEY",
        "propagation_key",
        _key,
        f"at least {SHORTEST_KEY} bytes, such as openssl rand -hex 32 prints",
        is_secret=True,
    ),
    _Variable("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "lambda_memory_mb", _decimal),
    _Variable("AWS_LAMBDA_LOG_STREAM_NAME", "log_stream"),
    _Variable(IN_LAMBDA, "lambda_function"),
    _Variable("AWS_DEFAULT_REGION", "region"),
    _Variable("AWS_REGION", "fallback_region"),
)
WEB_TOKEN_VARIABLES = (
    _Variable("APP_SECRET_KEY", "secret"),  # GenericSuite's
    _Variable("CHAOS_JWT_SECRET", "secret"),
    _Variable("CHAOS_JWT_OPERATORS", "operators", _listed),
    _Variable("CHAOS_JWT_VIEWERS", "viewers", _listed),
    _Variable(
        "CHAOS_JWT_JWKS_URL", "jwks_url", _matching(r"https?://[^\s/]+\S*"), "a URL such as https://id.example/jwks"
    ),
    _Variable("CHAOS_JWT_ALGORITHM", "algorithm"),
    _Variable("CHAOS_JWT_CLAIM", "claim"),
    _Variable("CHAOS_JWT_ISSUER", "issuer"),
    _Variable("CHAOS_JWT_AUDIENCE", "audience"),
    _Variable("HEADER_TOKEN_ENTRY_NAME", "header"),  # GenericSuite's
)
KNOWN = {each.name for each in (*VARIABLES, *WEB_TOKEN_VARIABLES) if each.name.startswith(OURS)}
"""The variables of a serving process, those that limit a parameter aside."""


def read_settings(variables: Mapping[str, str]) -> Settings:
    """Raises Misconfigured, which names every variable that is wrong and what it may be."""
    reader = _Reader(variables)
    values = reader.read(VARIABLES)
    values.setdefault("table", f"chaos-experiments-{values.get('stage')}")
    in_lambda = IN_LAMBDA in variables
    if in_lambda:
        values.setdefault("max_wait_seconds", GATEWAY_SECONDS)
    settings = Settings(
        **values,
        limits={**Settings().limits, **reader.limits()},
        in_lambda=in_lambda,
        endpoint_url=reader.endpoint_url(),
        web_tokens=_web_tokens(reader),
    )
    if settings.max_staleness_seconds < settings.refresh_seconds:
        allowed = f"at least CHAOS_REFRESH_SECONDS ({settings.refresh_seconds}), or faults would come and go"
        reader.refuse("CHAOS_MAX_STALENESS_SECONDS", allowed, settings.max_staleness_seconds)
    reader.refuse_misspelt()
    reader.raise_problems()
    return settings


class _Reader:
    """Reads variables, and collects what is wrong with them. One that is empty counts as not set."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._problems: list[dict[str, str]] = []
        self._misspelt = {name: meant for name in sorted(variables) if (meant := _meant(name))}

    def text(self, name: str) -> str:
        return self._variables.get(name, "").strip()

    def read(self, wanted: Iterable[_Variable]) -> dict[str, Any]:
        """The values of the variables that are set and allowed, by field. A later one of the same field wins."""
        values = {}
        for name, target, parse, allowed, is_secret in wanted:
            if given := self.text(name):
                try:
                    values[target] = parse(given)
                except (ValueError, KeyError):
                    self._refuse_secret(name, allowed) if is_secret else self.refuse(name, allowed, given)
        return values

    def refuse(self, name: str, allowed: str, given: object) -> None:
        self._problem(name, f"must be {allowed}; got {given!r}", allowed)

    def _refuse_secret(self, name: str, allowed: str) -> None:
        """The log and, without a token, anybody can read what is refused."""
        self._problem(name, f"must be {allowed}; its value is not shown", allowed)

    def require(self, name: str, allowed: str) -> None:
        self._problem(name, f"must be {allowed}; it is not set", allowed)

    def _problem(self, name: str, problem: str, allowed: str) -> None:
        self._problems.append({"field": name, "problem": problem, "allowed": allowed})

    def limits(self) -> dict[str, float]:
        """The limits of parameters. Whether an experiment has such a parameter is checked where these are known."""
        names = {name for name in self._variables if name.startswith(LIMIT)} - KNOWN - self._misspelt.keys()
        return self.read(_Variable(name, name.removeprefix(LIMIT).lower(), _positive, NUMBER) for name in sorted(names))

    def endpoint_url(self) -> str | None:
        """Where the variables name DynamoDB for every AWS tool; boto3 has one to ignore them."""
        if self.text("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").lower() == "true":
            return None
        name = next(filter(self.text, ENDPOINTS), ENDPOINTS[0])
        found = self.read([_Variable(name, "endpoint_url", _matching(r"https?://[^\s/]+\S*"), URL)])
        return found.get("endpoint_url")

    def refuse_misspelt(self) -> None:
        """Refuse each name that is nearly one of ours: otherwise it would have no effect, and nobody would notice."""
        for name, meant in self._misspelt.items():
            self._problem(name, f"is not a setting; did you mean {meant}?", meant)

    def raise_problems(self) -> None:
        if self._problems:
            from .errors import Misconfigured  # noqa: PLC0415 - a cold start without problems is shorter

            each = " ".join(f"{problem['field']} {problem['problem']}".rstrip("?.") + "." for problem in self._problems)
            raise Misconfigured(f"{each} Correct the environment variables and restart.", details=self._problems)


def _web_tokens(reader: _Reader) -> WebTokens | None:
    """The settings of JSON Web Tokens; None unless an operator or a viewer is named."""
    values = reader.read(WEB_TOKEN_VARIABLES)
    if not values.get("operators") and not values.get("viewers"):
        return None
    has_keys = "jwks_url" in values
    algorithms, words = ALGORITHMS[has_keys]
    algorithm = values.setdefault("algorithm", algorithms[0])
    if algorithm not in algorithms:
        reader.refuse("CHAOS_JWT_ALGORITHM", words, algorithm)
    if has_keys:
        values["secret"] = ""
    elif "secret" not in values:
        reader.require("CHAOS_JWT_SECRET", "a secret, here or in APP_SECRET_KEY, or keys in CHAOS_JWT_JWKS_URL")
    return WebTokens(**values)


def _meant(name: str) -> str | None:
    """The known variable that an unknown one of ours is a misspelt name of."""
    if not name.startswith(OURS) or name in KNOWN | ELSEWHERE:
        return None
    return next((known for known in sorted(KNOWN) if _edits(name, known) <= MISSPELT_EDITS), None)


def _edits(one: str, other: str) -> int:
    """How many letters to insert, remove or replace, to get from one to the other."""
    row = list(range(len(other) + 1))
    for count, letter in enumerate(one, 1):
        previous, row = row, [count]
        for position, against in enumerate(other, 1):
            row.append(min(previous[position] + 1, row[-1] + 1, previous[position - 1] + (letter != against)))
    return row[-1]
