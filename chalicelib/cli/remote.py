"""The application's endpoints over HTTP."""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import urllib3

from ..errors import Misconfigured
from ..own_calls import own_calls
from .address import DOCUMENT, address, names_no_prefix, nearby, published
from .messages import SERVER_ERROR, TOO_MANY, Answer, explained

PATIENCE_SECONDS = 10.0
OK, REDIRECTS = 200, range(300, 400)
TOKEN = re.compile(r"[!-~]*")
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
"""What could control a terminal; all but the end of a line."""

NEVER_SENT = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
REASONS = {
    "NameResolutionError": "its host name is unknown",
    "NewConnectionError": "the connection was refused",
    "ConnectTimeoutError": "connecting took too long",
    "ReadTimeoutError": "the answer took too long",
    "SSLError": "it has no valid TLS certificate, or no TLS",
    "ProtocolError": "the connection was closed",
}
"""Why nothing answers, by the class of urllib3's error."""

INJECTED = "injected_error"
"""The code of an injected fault, which has the envelope of the API, too."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the application is, and the token for it. `url_from` and `token_from` are where the user gave them."""

    url: str
    token: str = field(repr=False)
    url_from: str = "--url"
    token_from: str = "--token"  # noqa: S105 - an option


class Unreachable(Exception):
    """Nothing answered; `content` is an envelope like the API's."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.content = _envelope("unreachable", message)


class Refused(Exception):
    """The API refused; `content` is its envelope."""

    def __init__(self, status: int, message: str, content: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.content = content


def is_passing(error: Refused | Unreachable) -> bool:
    """Whether trying again may help."""
    return isinstance(error, Unreachable) or error.status == TOO_MANY or error.status >= SERVER_ERROR


class Remote:
    """The endpoints at an address. Where they are not there, they are looked for nearby, on the same host."""

    def __init__(
        self,
        destination: Destination,
        *,
        program: str,
        command: Callable[[str], str],
        note: Callable[[str], None],
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """Raises Misconfigured where the address or the token cannot be one."""
        try:
            self.url = address(destination.url)
        except ValueError as error:
            raise Misconfigured(f"{destination.url_from} {error}") from None
        token = destination.token.strip()
        self._authorization = {"Authorization": f"Bearer {token}"} if token else {}
        self._destination = destination
        self._program = program
        self._command = command
        self._note = note
        self._pool = urllib3.PoolManager(timeout=patience_seconds, retries=False)
        self._is_ours: bool | None = None
        if not TOKEN.fullmatch(token):
            raise Misconfigured(
                f"The token from {destination.token_from} was not sent: it has characters that no token has. "
                "Copy it again."
            )

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The resultset. Raises Refused and Unreachable."""
        answer, content = self._asked(method, path, body)
        if answer.status == OK and _is_ours(content) and not content["error"]:
            resultset: dict[str, Any] = content["resultset"]
            return resultset
        raise self._refused(method, path, answer, body)

    def text(self, path: str) -> str:
        """An answer that need not be JSON. Raises Refused and Unreachable."""
        answer, _ = self._asked("GET", path, None, any_text=True)
        if answer.status == OK:
            return CONTROL.sub("\ufffd", answer.data.decode())
        raise self._refused("GET", path, answer)

    def locate(self) -> bool:
        """Look where the endpoints are. Whether that is another address than the one that was given."""
        if self._is_ours is not None:
            return False
        given = self.url
        found = next(filter(None, map(self._published_at, nearby(given))), "")
        self._is_ours = bool(found)
        self.url = found or given
        if self.url == given:
            return False
        self._note(f"Note: using {found}, because the endpoints are not at {given}.")
        return True

    def _asked(
        self, method: str, path: str, body: Mapping[str, Any] | None, *, any_text: bool = False
    ) -> tuple[urllib3.BaseHTTPResponse, dict[str, Any]]:
        if names_no_prefix(self.url):
            self._leave_the_application()
        answer = self._send(method, path, body)
        content = _content(answer)
        expected = _is_ours(content) or (any_text and answer.status == OK)
        if not expected and _is_elsewhere(answer.status) and self.locate():
            answer = self._send(method, path, body)
            content = _content(answer)
        return answer, content

    def _leave_the_application(self) -> None:
        """To the endpoints. The application itself gets no token, and nothing is done there."""
        self.locate()
        if not self._is_ours:
            raise self._refused("GET", DOCUMENT, self._document(self.url))

    def _published_at(self, url: str) -> str:
        return published(_content(self._document(url)), url)

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> urllib3.BaseHTTPResponse:
        return self._request(method, self.url + path, body, self._authorization)

    def _document(self, url: str) -> urllib3.BaseHTTPResponse:
        """What is published at an address. The token is not sent: it is for the endpoints alone."""
        return self._request("GET", url + DOCUMENT, None, {})

    @own_calls()
    def _request(
        self, method: str, url: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> urllib3.BaseHTTPResponse:
        try:
            return self._pool.request(method, url, json=body, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            may_be_done = method == "POST" and not isinstance(error, NEVER_SENT)
            raise Unreachable(self._unreachable(error, may_be_done=may_be_done)) from error

    def _unreachable(self, error: Exception, *, may_be_done: bool) -> str:
        done = "The command may have been carried out all the same: check before you try again.\n"
        default = " (No address was given; this one is the default.)"
        return (
            f"Nothing answers at {self.url}: {reason(error)}.\n{done if may_be_done else ''}"
            "Is the application running? If it is elsewhere, give its address with --url, CHAOS_URL or a profile."
            f"{'' if self._destination.url_from else default}"
        )

    def _refused(
        self, method: str, path: str, answer: urllib3.BaseHTTPResponse, body: Mapping[str, Any] | None = None
    ) -> Refused:
        content = _content(answer)
        asked = urlsplit(path)
        refused = Answer(
            url=self.url,
            status=answer.status,
            content=content if _is_ours(content) else {},
            words=_words(content),
            location=_location(answer).removesuffix(asked.path),
            is_ours=self._is_ours is not False,
            sent=body or dict(parse_qsl(asked.query)),
            writes=method == "POST",
            token_from=self._destination.token_from if self._authorization else "",
            program=self._program,
            command=self._command,
        )
        message = explained(refused)
        if not _is_ours(content):
            content = {**content, **_envelope(refused.code, message)}
        return Refused(answer.status, message, content)


def _words(content: Mapping[str, Any]) -> str:
    """What an answer says, whoever gave it."""
    return str(content.get("error_message") or content.get("message") or "")


def _location(answer: urllib3.BaseHTTPResponse) -> str:
    """Where an answer redirects to; empty if it does not."""
    return CONTROL.sub("", answer.headers.get("Location", "")) if answer.status in REDIRECTS else ""


def reason(error: Exception) -> str:
    """Why nothing answers, in words."""
    kind = type(error).__name__
    return REASONS.get(kind, kind)


def _envelope(code: str, message: str) -> dict[str, Any]:
    return {"error": True, "error_message": message, "code": code, "details": [], "resultset": {}}


def _is_ours(content: Mapping[str, Any]) -> bool:
    """Whether the API answered, and neither a gateway nor the application."""
    if content.get("error") is True:
        return "code" in content and content["code"] != INJECTED
    return content.get("error") is False and "resultset" in content


def _is_elsewhere(status: int) -> bool:
    """Whether such an answer may come of a wrong address."""
    return status not in REDIRECTS and status != TOO_MANY and status < SERVER_ERROR


def _content(answer: urllib3.BaseHTTPResponse) -> dict[str, Any]:
    """What it says, if it is a JSON object, with nothing in it that controls a terminal."""
    with suppress(ValueError):
        content = _harmless(json.loads(answer.data))
        if isinstance(content, dict):
            return content
    return {}


def _harmless(value: Any) -> Any:  # noqa: ANN401 - JSON
    match value:
        case str():
            return CONTROL.sub("\ufffd", value)
        case list():
            return list(map(_harmless, value))
        case dict():
            return dict(zip(value, map(_harmless, value.values()), strict=True))
        case _:
            return value
