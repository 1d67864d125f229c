"""Which dependencies a text can name, and which outgoing calls it names: an AWS service, addresses over HTTP, hosts."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from ipaddress import IPv6Address
from typing import Literal, Protocol

from .globs import glob

Kind = Literal["aws", "http", "host"]

ALLOWED = (
    "an AWS service (dynamodb), one of its operations (dynamodb:PutItem), addresses (https://payments.example/v1/*), "
    "or a host (payments.example, *.example.com, localhost:5432)"
)
LONGEST = 200

NAME = r"[A-Za-z0-9_*-]+"
PORT = r"(?P<port>[0-9]{1,5})"
IPV6 = r"\[[0-9A-Fa-f:.]+\]"
ANY_HOST = rf"(?P<host>{IPV6}|{NAME}(?:\.{NAME})*)"
ALONE = rf"(?P<alone>{IPV6}|localhost|{NAME}(?:\.{NAME})+|(?=[^*]*\*){NAME})"
"""A host that needs no port: a word by itself is an AWS service."""

PATTERNS: tuple[tuple[Kind, str], ...] = (
    ("aws", r"(?!localhost(?::|$))(?P<service>[a-z][a-z0-9-]*)(?::(?P<operation>[A-Za-z][A-Za-z0-9]*\*?|\*))?"),
    ("http", rf"(?P<scheme>https?)://{ANY_HOST}(?::{PORT})?(?P<path>/[^?#\x00-\x20\x7f]*)?"),
    ("host", rf"(?:{ANY_HOST}:{PORT}|{ALONE})"),
)
"""What each kind looks like. They exclude each other."""

MATCHERS = tuple((kind, re.compile(pattern)) for kind, pattern in PATTERNS)
DEFAULT_PORTS = {"http": 80, "https": 443}
LAST_PORT = 65_535

MISTAKES: tuple[tuple[str, str], ...] = (
    (r"[A-Za-z]+://[^?#]*[?#]", "an address has no query and no fragment, which are never looked at: leave them out"),
    (r"(?!https?:)[A-Za-z0-9+.-]+://", "an address begins with http:// or https://; of other protocols name host:port"),
    (r"[A-Za-z]+://[^/]*@", "an address has no user and no password: leave them out"),
    (r"[A-Z][A-Za-z0-9-]*(:[A-Za-z]*\*?)?", "AWS services are in lower case, as botocore calls them"),
    (r"[A-Za-z0-9_-]*_[A-Za-z0-9_-]*", "a host without a dot needs its port, such as host:5432"),
)
"""What texts that name nothing begin with or are, and what is wrong with them."""


class Named(Protocol):
    """An outgoing call, as far as a text can name it."""

    service: str
    """Of AWS, as botocore calls it: `dynamodb`; empty where it is none."""
    operation: str
    scheme: str
    """`http` or `https`; empty where the call is none over HTTP, or nobody knows."""
    host: str
    """In lower case; an address of IPv6 without brackets."""
    port: int
    path: str
    """Without the query; empty where nobody knows."""


class Dependency:
    """What a text names. Raises ValueError, which says what is wrong and what to do."""

    __slots__ = ("kind", "matches", "scheme", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.kind, found = _parsed(text)
        self.scheme = found["scheme"] if self.kind == "http" else ""
        self.matches = MAKE[self.kind](found)

    matches: Callable[[Named], bool]
    """Whether an outgoing call is to it."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dependency) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


def pattern_of(*kinds: Kind) -> str:
    """What texts that name a dependency of these kinds look like, as JSON Schema has it."""
    return f"^({'|'.join(re.sub(r'[?]P<[a-z]+>', '', pattern) for kind, pattern in PATTERNS if kind in kinds)})$"


def _parsed(text: str) -> tuple[Kind, re.Match[str]]:
    if not 0 < len(text) <= LONGEST:
        raise ValueError(f"must have 1 to {LONGEST} characters; got {len(text)}")
    for kind, matcher in MATCHERS:
        if found := matcher.fullmatch(text):
            return kind, found
    why = next((f": {why}" for mistake, why in MISTAKES if _is_like(mistake, text)), "")
    raise ValueError(f"must be {ALLOWED}; got {text!r}{why}")


def _is_like(mistake: str, text: str) -> bool:
    found = re.match(mistake, text)
    return found is not None and ("://" in text or found.end() == len(text))


def _port(found: re.Match[str]) -> int | None:
    port = int(found["port"]) if found["port"] else None
    if port is not None and not 0 < port <= LAST_PORT:
        raise ValueError(f"must have a port from 1 to {LAST_PORT}; got {port}")
    return port


def _one(host: str) -> Callable[[str], bool]:
    """Whether a host is the one that is named, or one of them."""
    if not host.startswith("["):
        return glob(host.lower())
    with suppress(ValueError):
        return str(IPv6Address(host[1:-1])).__eq__
    raise ValueError(f"must have an address of IPv6 in brackets, such as [::1]; got {host}")


def _to_service(found: re.Match[str]) -> Callable[[Named], bool]:
    service, operation = found["service"], found["operation"]
    if operation is None:
        return lambda call: call.service == service
    is_operation = glob(operation)
    return lambda call: call.service == service and is_operation(call.operation)


def _to_host(found: re.Match[str]) -> Callable[[Named], bool]:
    is_host, port = _one(found["host"] or found["alone"]), _port(found)
    if port is None:
        return lambda call: is_host(call.host)
    return lambda call: call.port == port and is_host(call.host)


def _to_address(found: re.Match[str]) -> Callable[[Named], bool]:
    scheme, is_host = found["scheme"], _one(found["host"])
    port, path = _port(found) or DEFAULT_PORTS[scheme], found["path"] or "/*"
    if path == "/*":
        return lambda call: call.port == port and call.scheme == scheme and is_host(call.host)
    is_path = glob(path)
    return lambda call: call.port == port and call.scheme == scheme and is_host(call.host) and is_path(call.path)


MAKE: dict[Kind, Callable[[re.Match[str]], Callable[[Named], bool]]] = {
    "aws": _to_service,
    "http": _to_address,
    "host": _to_host,
}
"""What asks a call whether it is to a dependency, by the dependency's kind."""


CALLS_IN_C = "It connects and sends outside of Python, so no fault reaches its calls, and nothing counts them."
BY_LIBPQ = (
    "libpq connects for it, outside of Python, so its calls are not counted. Where Python looks its host's name up, "
    "`dns` reaches new connections."
)
OUT_OF_REACH: Mapping[str, str] = {
    **dict.fromkeys(("confluent_kafka", "curl_cffi", "grpc", "MySQLdb", "primp", "pycurl", "pyodbc"), CALLS_IN_C),
    "psycopg": BY_LIBPQ,
    "psycopg2": BY_LIBPQ,
}
"""Client libraries whose calls cannot be reached in the process, by the module's name, and what to know of each."""
