"""The public keys that JSON Web Tokens are checked with, from a JWKS address: cached, and fetched by one at a time."""

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from .errors import KeysUnavailable
from .own_calls import own_calls

log = logging.getLogger(__name__)

Keys = Mapping[str, Any]
"""Public keys by their id, the `kid` of a token."""

PATIENCE_SECONDS = 2.0
"""How long a request waits for keys: for the connection and the whole answer, however slowly it comes."""

FRESH_SECONDS = 300.0
"""How long keys are used without asking again."""

TRUSTED_SECONDS = 24 * 3600.0
"""How long known keys are used while the address does not answer."""

COOLDOWN_SECONDS = 10.0
"""How soon after a fetch an unknown `kid` has the keys fetched again: anybody can make one up."""

PAUSE_SECONDS = 5.0
"""How long the address is not asked again after it failed."""

ABANDONED_SECONDS = 30.0
"""When a fetch that never ended does not keep others from beginning."""

LARGEST_BYTES = 512 * 1024
NEVER = float("-inf")

Fetch = Callable[[], Keys]
Begin = Callable[[Callable[[], None]], None]


def in_a_thread(work: Callable[[], None]) -> None:
    """Begin it. Raises RuntimeError where the process may have no more threads."""
    threading.Thread(target=work, name="chaos-web-keys", daemon=True).start()


@dataclass(slots=True)
class _Attempt:
    """One fetch, for all who wait for it."""

    began: float
    ended: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None


class WebKeys:
    """Public keys by `kid`. Safe to share between threads.

    A request never waits for longer than `PATIENCE_SECONDS`, and not at all where the key is known or the address has
    just failed. Keys that are not fresh are used while others are fetched, and for a day while they cannot be.
    """

    def __init__(self, fetch: Fetch, clock: Callable[[], float] = time.monotonic, begin: Begin = in_a_thread) -> None:
        self._fetch = fetch
        self._clock = clock
        self._begin = begin
        self._changing = threading.Lock()
        self._keys: Keys = {}
        self._fetched_at = NEVER
        self._failed_at = NEVER
        self._attempt: _Attempt | None = None

    def find(self, kid: str) -> Any | None:  # noqa: ANN401 - cryptography's
        """The key; None where the address has none of this id. Raises KeysUnavailable where nobody can tell."""
        with self._changing:
            now = self._clock()
            age = now - self._fetched_at
            known = self._keys.get(kid) if age < TRUSTED_SECONDS else None
            if known is None and age < COOLDOWN_SECONDS:
                return None
            attempt = None if known is not None and age < FRESH_SECONDS else self._join(now)
        if known is None:
            self._wait(attempt)
            known = self._keys.get(kid)
        return known

    def _join(self, now: float) -> _Attempt | None:
        """The fetch that is under way, or a new one; None while the address is left alone. With the lock."""
        current = self._attempt
        if current and now < current.began + ABANDONED_SECONDS:
            return current
        if now < self._failed_at + PAUSE_SECONDS:
            return None
        attempt = self._attempt = _Attempt(now)
        try:
            self._begin(lambda: self._carry_out(attempt))
        except RuntimeError as error:
            self._end(attempt, error)
        return attempt

    def _wait(self, attempt: _Attempt | None) -> None:
        """Raises KeysUnavailable."""
        if attempt is None:
            raise unavailable("the address has just failed")
        left = attempt.began + PATIENCE_SECONDS - self._clock()
        if not attempt.ended.wait(max(left, 0.0)):
            raise unavailable(f"no answer within {PATIENCE_SECONDS:g} s")
        if attempt.error:
            raise unavailable(type(attempt.error).__name__)

    def _carry_out(self, attempt: _Attempt) -> None:
        try:
            keys = self._fetch()
        except Exception as error:  # noqa: BLE001 - whatever it is, requests are refused with it
            log.warning("The keys of CHAOS_JWT_JWKS_URL could not be fetched: %s: %s", type(error).__name__, error)
            with self._changing:
                self._end(attempt, error)
        else:
            with self._changing:
                self._keys, self._fetched_at = keys, self._clock()
                self._end(attempt, None)

    def _end(self, attempt: _Attempt, error: Exception | None) -> None:
        """With the lock."""
        attempt.error = error
        if error:
            self._failed_at = self._clock()
        if self._attempt is attempt:
            self._attempt = None
        attempt.ended.set()


def unavailable(why: str) -> KeysUnavailable:
    return KeysUnavailable(
        f"The keys that JSON Web Tokens are checked with could not be fetched from CHAOS_JWT_JWKS_URL ({why}). Your "
        "token was not checked, and is not refused: try again in a few seconds. A bearer token works meanwhile.",
        headers={"Retry-After": f"{PAUSE_SECONDS:g}"},
    )


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: object, **__: object) -> None:
        """None: whoever could redirect could choose the keys."""


def _opened(request: Request) -> Any:  # noqa: ANN401 - urllib's
    try:
        return build_opener(_NoRedirects()).open(request, timeout=PATIENCE_SECONDS)
    except HTTPError as error:
        error.close()
        raise


@own_calls()
def fetch_keys(url: str, parse: Callable[[dict[str, Any]], Any]) -> Keys:
    """The keys that may check signatures. `parse` is PyJWT's, from a key set to its keys. Raises what goes wrong."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    request = Request(url, headers={"Accept": "application/json"})  # noqa: S310 - the settings allow no other scheme
    with _opened(request) as answer:
        body = b""
        while part := answer.read1(LARGEST_BYTES):
            body += part
            if len(body) > LARGEST_BYTES:
                raise ValueError(f"more than {LARGEST_BYTES} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError(f"no whole answer within {PATIENCE_SECONDS:g} s")
    usable = (key for key in parse(json.loads(body)).keys if key.public_key_use in ("sig", None) and key.key_id)
    keys = {str(key.key_id): key.key for key in usable}
    if not keys:
        raise ValueError("no keys that check signatures")
    return keys
