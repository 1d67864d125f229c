"""The application's endpoints over HTTP."""

import json
from collections.abc import Mapping
from typing import Any

import urllib3

PATIENCE_SECONDS = 10.0
OK = 200
UNAUTHENTICATED, FORBIDDEN = 401, 403
HOW = "Give a token: --token, CHAOS_TOKEN or a profile."


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


class Remote:
    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._pool = urllib3.PoolManager(timeout=PATIENCE_SECONDS, retries=False)

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The resultset. Raises Refused and Unreachable."""
        answer = self._send(method, path, body)
        try:
            content = json.loads(answer.data)
        except ValueError:
            content = {}
        if answer.status == OK and content.get("error") is False:
            resultset: dict[str, Any] = content["resultset"]
            return resultset
        raise Refused(answer.status, self._why(answer.status, content), content)

    def text(self, path: str) -> str:
        """An answer that is no JSON. Raises Refused and Unreachable."""
        answer = self._send("GET", path, None)
        if answer.status == OK:
            return answer.data.decode()
        try:
            content = json.loads(answer.data)
        except ValueError:
            content = {}
        raise Refused(answer.status, self._why(answer.status, content), content)

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> urllib3.BaseHTTPResponse:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        encoded = None if body is None else json.dumps(body).encode()
        try:
            return self._pool.request(method, self.url + path, body=encoded, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(
                f"Nothing answers at {self.url} ({type(error).__name__}). Is it serving? Say where it is with --url, "
                "CHAOS_URL or a profile."
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
