"""A first look at the table: whether anything is in the scope, asked without botocore, pynamodb and an HTTP library.

What an environment in which nothing runs needs of the table is one number, and to import what asks for it takes longer
than most handlers. So it signs and sends that one read itself, and only where nothing about it is unusual. Whatever
else it finds, a failure too, is left to the module, which asks again in its own way.
"""

import hashlib
import hmac
import json
import os
import socket
import time
from base64 import b64decode
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from .settings import Settings
from .time_limits import Attempt, Interrupted, pass_on

if TYPE_CHECKING:
    from ssl import SSLContext

SERVICE = "dynamodb"
TARGET = "DynamoDB_20120810.Query"
EXPIRED_SECONDS = 900
"""How long ago a run or an observation must have ended to count as gone: more than a clock may be wrong of which AWS
accepts signatures.
"""

LONGEST_SECONDS = 2.0
"""How long an answer may take in all. A cold environment has a fraction of a CPU, and computes meanwhile."""

UNUSUAL = (
    "AWS_CA_BUNDLE",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "https_proxy",
    "http_proxy",
)
"""Variables of which botocore knows what they mean for a call."""

DOMAINS = {"cn-": "amazonaws.com.cn", "": "amazonaws.com"}
"""Of DynamoDB's addresses, by how the region's name begins."""

BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
ISSUERS = (b"Amazon", b"Starfield Services")
"""In the names of the roots of AWS's certificates."""

ORDINARY_REGIONS = ("af-", "ap-", "ca-", "cn-", "eu-", "il-", "me-", "mx-", "sa-", "us-east-", "us-west-")


class Credentials(NamedTuple):
    key: str
    secret: str
    token: str


class Address(NamedTuple):
    """Where the table is. `name` is what the header Host and the signature say."""

    name: str
    host: str
    port: int
    is_secure: bool


class CannotLook(Exception):
    """The read cannot be made, or its answer is none that says how many items there are."""


class FirstLook:
    """Says that nothing is in the scope, by a read that is at most `idle_refresh_seconds` old.

    Once it cannot say so any more, it never does again: from then on the module itself reads.
    """

    def __init__(
        self,
        settings: Settings,
        variables: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.time,
        is_empty: Callable[[], bool] | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._is_empty = is_empty or partial(is_empty_scope, settings, variables, clock)
        self._attempt: Attempt[bool] | None = None
        self._began_at = 0.0
        self._is_over = False

    def begin(self) -> None:
        """Ask, without waiting for the answer."""
        if self._is_over:
            return
        self._began_at = self._clock()
        try:
            self._attempt = Attempt(self._is_empty)
        except RuntimeError:  # the process may have no more threads
            self._is_over = True

    def finds_nothing(self) -> bool:
        """Whether nothing is in the scope. Asks where the last answer is too old, and waits for the answer."""
        if self._is_over:
            return False
        if self._attempt is None or not self._began_at <= self._clock() < self._due_at:
            self.begin()
        try:
            found_nothing = self._attempt is not None and self._attempt.result(LONGEST_SECONDS)
        except Interrupted as interrupted:
            interrupted.raise_error()
        except Exception as error:  # noqa: BLE001 - the module asks again, and says what is wrong
            pass_on(error)
            found_nothing = False
        self._is_over = self._is_over or not found_nothing
        return not self._is_over

    @property
    def _due_at(self) -> float:
        return self._began_at + self._settings.idle_refresh_seconds


def is_empty_scope(settings: Settings, variables: Mapping[str, str], clock: Callable[[], float]) -> bool:
    """Whether the table has nothing in the scope that still runs. Raises CannotLook, OSError or ValueError."""
    region = settings.region or settings.fallback_region or ""
    address = _address(settings, region, variables)
    credentials = Credentials(
        *(variables.get(f"AWS_{name}", "") for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"))
    )
    if not (region and credentials.key and credentials.secret):
        raise CannotLook("no region, or no credentials, in the variables")
    now = clock()
    body = _query(settings, now).encode()
    headers = signed(address.name, region, body, credentials, now)
    found = json.loads(_sent(address, headers, body, settings.table_timeout_seconds))
    if "LastEvaluatedKey" in found:
        raise CannotLook("more than one page")
    return bool(found["Count"] == 0)


def _query(settings: Settings, now: float) -> str:
    """All but runs and observations whose time was up long ago; they stay until the table forgets them."""
    is_over = "(attribute_type({0}, :number) AND {0} < :past)"
    return json.dumps(
        {
            "TableName": settings.table,
            "KeyConditionExpression": "pk = :scope",
            "FilterExpression": f"NOT {is_over.format('expires_at')} AND NOT {is_over.format('#until')}",
            "ExpressionAttributeNames": {"#until": "until"},
            "ExpressionAttributeValues": {
                ":scope": {"S": settings.scope},
                ":number": {"S": "N"},
                ":past": {"N": str(int(now) - EXPIRED_SECONDS)},
            },
            "ConsistentRead": True,
            "Select": "COUNT",
        }
    )


def _address(settings: Settings, region: str, variables: Mapping[str, str]) -> Address:
    if settings.embedded or settings.table.startswith("arn:") or any(variables.get(name) for name in UNUSUAL):
        raise CannotLook("botocore knows how to reach it")
    if settings.endpoint_url is None:
        if not region.startswith(ORDINARY_REGIONS):
            raise CannotLook(f"the domain of {region}")
        domain = next(domain for start, domain in DOMAINS.items() if region.startswith(start))
        host = f"{SERVICE}.{region}.{domain}"
        return Address(host, host, 443, is_secure=True)
    scheme, _, rest = settings.endpoint_url.partition("://")
    name, _, path = rest.partition("/")
    host, _, port = name.partition(":")
    is_secure = scheme == "https"
    if path or "[" in name or "@" in name:
        raise CannotLook("an address with a path, a user or an IPv6 literal")
    return Address(name, host, int(port or (443 if is_secure else 80)), is_secure)


def signed(host: str, region: str, body: bytes, credentials: Credentials, now: float) -> dict[str, str]:
    """The headers of the read, with AWS's Signature Version 4."""
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    headers = {
        "content-type": "application/x-amz-json-1.0",
        "host": host,
        "x-amz-date": moment,
        **({"x-amz-security-token": credentials.token} if credentials.token else {}),
        "x-amz-target": TARGET,
    }
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = "\n".join(("POST", "/", "", lines, names, hashlib.sha256(body).hexdigest()))
    scope = f"{moment[:8]}/{region}/{SERVICE}/aws4_request"
    text = "\n".join(("AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{credentials.secret}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = f"AWS4-HMAC-SHA256 Credential={credentials.key}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
    return {**headers, "authorization": signature}


def _sent(address: Address, headers: Mapping[str, str], body: bytes, timeout_seconds: float) -> bytes:
    """The body of an answer with status 200."""
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join(("POST / HTTP/1.1", *lines, f"content-length: {len(body)}", "connection: close", "", ""))
    with closing(_connected(address, timeout_seconds)) as connection:
        connection.sendall(head.encode("latin-1") + body)
        with connection.makefile("rb") as answer:
            status = answer.readline().split(b" ", 2)[1:2]
            length = None
            while (line := answer.readline()) not in (b"\r\n", b"\n", b""):
                name, _, value = line.partition(b":")
                if name.strip().lower() == b"content-length":
                    length = int(value)
            if status != [b"200"] or length is None:
                raise CannotLook(f"status {status}")
            return answer.read(length)


def _connected(address: Address, timeout_seconds: float) -> socket.socket:
    host: Any = address.host.encode("ascii")  # of a text, the codec of international names would be imported
    connection = socket.create_connection((host, address.port), timeout_seconds)
    if not address.is_secure:
        return connection
    try:
        return _trusting_aws().wrap_socket(connection, server_hostname=host)
    except BaseException:
        connection.close()
        raise


def _trusting_aws() -> "SSLContext":
    """Of the certificates that this machine trusts only Amazon's: to read all takes a tenth of a cold start."""
    import ssl  # noqa: PLC0415 - takes as long as all the rest, and only where it is needed

    bundle = ssl.get_default_verify_paths().cafile
    with open(bundle, encoding="utf-8", errors="ignore") as file:  # noqa: PTH123 - pathlib takes longer than to read it
        texts = file.read().split(BEGIN)[1:]
    trusted = (b64decode(text.partition(END)[0]) for text in texts)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=b"".join(each for each in trusted if any(name in each for name in ISSUERS)))
    return context
