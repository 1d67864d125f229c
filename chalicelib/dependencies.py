"""Which dependencies a text can name, and which outgoing calls it names: an AWS service, addresses over HTTP, hosts."""

import re
from collections.abc import Callable, Mapping
from fnmatch import translate
from typing import Literal, Protocol

Kind = Literal["aws", "http", "host"]

ALLOWED = (
    "an AWS service (dynamodb), one of its operations (dynamodb:PutItem), addresses (https://payments.example/v1/*), "
    "or a host (payments.example, *.example.com, localhost:5432)"
)
LONGEST = 200

AWS = re.compile(r"(?P<service>[a-z][a-z0-9-]*)(:(?P<operation>[A-Za-z][A-Za-z0-9]*\*?))?")
HTTP = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.*-]+)(:(?P<port>\d{1,5}))?(?P<path>/[^?#\x00-\x20]*)?"
)
HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.*-]+)(:(?P<port>\d{1,5}))?")
DEFAULT_PORTS = {"http": 80, "https": 443}
LAST_PORT = 65_535


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

    __slots__ = ("kind", "matches", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.kind, self.matches = _parsed(text)

    matches: Callable[[Named], bool]
    """Whether an outgoing call is to it."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dependency) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


def _parsed(text: str) -> tuple[Kind, Callable[[Named], bool]]:
    if not 0 < len(text) <= LONGEST:
        raise ValueError(f"must have 1 to {LONGEST} characters; got {len(text)}")
    if "://" in text:
        found = HTTP.fullmatch(text)
        if not found:
            raise ValueError(f"must be {ALLOWED}; got {text!r}")
        port = _port(found) or DEFAULT_PORTS[found["scheme"]]
        return "http", _to_address(found["scheme"], _one(found["host"]), port, found["path"] or "/*")
    found = AWS.fullmatch(text)
    if found and found["service"] != "localhost":
        return "aws", _to_service(found["service"], found["operation"])
    found = HOST.fullmatch(text)
    if not found:
        raise ValueError(f"must be {ALLOWED}; got {text!r}")
    return "host", _to_host(_one(found["host"]), _port(found))


def _port(found: re.Match[str]) -> int | None:
    port = int(found["port"]) if found["port"] else None
    if port is not None and not 0 < port <= LAST_PORT:
        raise ValueError(f"must have a port from 1 to {LAST_PORT}; got {port}")
    return port


def _one(host: str) -> Callable[[str], bool]:
    """Whether a host is the one that is named, or one of them."""
    name = host.strip("[]").lower()
    if "*" in name:
        matches = re.compile(translate(name)).match
        return lambda seen: matches(seen) is not None
    return name.__eq__


def _to_service(service: str, operation: str | None) -> Callable[[Named], bool]:
    if operation is None:
        return lambda call: call.service == service
    if operation.endswith("*"):
        return lambda call: call.service == service and call.operation.startswith(operation[:-1])
    return lambda call: call.service == service and call.operation == operation


def _to_host(is_host: Callable[[str], bool], port: int | None) -> Callable[[Named], bool]:
    if port is None:
        return lambda call: is_host(call.host)
    return lambda call: call.port == port and is_host(call.host)


def _to_address(scheme: str, is_host: Callable[[str], bool], port: int, path: str) -> Callable[[Named], bool]:
    if path == "/*":
        return lambda call: call.port == port and call.scheme == scheme and is_host(call.host)
    if "*" not in path:
        return lambda call: call.port == port and call.path == path and call.scheme == scheme and is_host(call.host)
    matches = re.compile(translate(path)).match
    return lambda call: (
        call.port == port and call.scheme == scheme and is_host(call.host) and matches(call.path) is not None
    )


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
