"""The application's endpoints over HTTP."""

import json
import re
from collections.abc import Mapping
from typing import Any

import urllib3

from ..errors import Misconfigured

PATIENCE_SECONDS = 10.0
OK, UNAUTHENTICATED, FORBIDDEN, TOO_MANY, SERVER_ERROR = 200, 401, 403, 429, 500
HOW = "Give a token: --token, CHAOS_TOKEN or a profile."
TOKEN = re.compile(r"[!-~]*")
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
"""What could tell a terminal to do something; all but a line's end."""

NEVER_SENT = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)


class Unreachable(Exception):
    """Nothing answered; `content` is what the API would say of it, if it could."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.content = {
            "error": True,
            "error_message": message,
            "code": "unreachable",
            "details": [],
            "resultset": {},
        }


class Refused(Exception):
    """What the API refused with; `content` is its envelope."""

    def __init__(self, status: int, message: str, content: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.content = content


def is_passing(error: Refused | Unreachable) -> bool:
    """Whether to ask again may help."""
    return isinstance(error, Unreachable) or error.status == TOO_MANY or error.status >= SERVER_ERROR


class Remote:
    def __init__(self, url: str, token: str, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """Raises Misconfigured where the token is none."""
        self.url = url.rstrip("/")
        self._token = token.strip()
        self._pool = urllib3.PoolManager(timeout=patience_seconds, retries=False)
        if not TOKEN.fullmatch(self._token):
            raise Misconfigured("The token has characters in it that no token has, so it was not sent. Copy it again.")

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The resultset. Raises Refused and Unreachable."""
        answer = self._send(method, path, body)
        content = _content(answer)
        if answer.status == OK and content.get("error") is False:
            resultset: dict[str, Any] = content["resultset"]
            return resultset
        raise Refused(answer.status, self._why(answer.status, content), content)

    def text(self, path: str) -> str:
        """An answer that is no JSON. Raises Refused and Unreachable."""
        answer = self._send("GET", path, None)
        if answer.status == OK:
            return CONTROL.sub("\ufffd", answer.data.decode())
        content = _content(answer)
        raise Refused(answer.status, self._why(answer.status, content), content)

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> urllib3.BaseHTTPResponse:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        encoded = None if body is None else json.dumps(body).encode()
        try:
            return self._pool.request(method, self.url + path, body=encoded, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            done = ""
            if method == "POST" and not isinstance(error, NEVER_SENT):
                done = " What was asked may have been done all the same: look before trying again."
            raise Unreachable(
                f"Nothing answers at {self.url} ({type(error).__name__}).{done} Is it serving? Say where it is with "
                "--url, CHAOS_URL or a profile."
            ) from error

    def _why(self, status: int, content: Mapping[str, Any]) -> str:
        told = content.get("error_message") or content.get("message") or content.get("Message")
        if status == UNAUTHENTICATED:
            return f"{told or 'The token is not accepted.'} {HOW}"
        if status == FORBIDDEN and "error_message" not in content:
            return f"This token may not do that, or is none of this stage's. {HOW}"
        return str(
            told or f"{self.url} answered {status}, and not as the chaos experiments do. Is it the right address?"
        )


def _content(answer: urllib3.BaseHTTPResponse) -> dict[str, Any]:
    """What it says, if it is a JSON object, with nothing in it that a terminal would obey."""
    try:
        content = _harmless(json.loads(answer.data))
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _harmless(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, str):
        return CONTROL.sub("\ufffd", value)
    if isinstance(value, list):
        return [_harmless(each) for each in value]
    if isinstance(value, dict):
        return {name: _harmless(each) for name, each in value.items()}
    return value
