"""JSON Web Tokens: who calls, by the application's own log-in, with an explicit list of who may do what."""

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from .access import LONGEST_NAME, Caller, Role, can_be_a_name
from .errors import Forbidden, Misconfigured, Unauthenticated
from .settings import WebTokens
from .web_keys import WebKeys, fetch_keys

PARTS = 3
LEEWAY_SECONDS = 10.0
"""By how much the clock of who issues tokens may be ahead. Otherwise a new token would be refused, and a gateway would
remember that."""

SCHEMES: tuple[list[str], ...] = ([], ["bearer"])
"""What may stand before the token: in a header of its own, GenericSuite's front end sends it bare."""


class WebTokenAuthentication:
    """`OwnAuthentication` by JSON Web Token: HS256 with a secret, or RS256 and ES256 with keys from a JWKS address.

    One algorithm is accepted, the one that is configured; `exp` must be there and ahead. What does not look like a JSON
    Web Token is left to bearer tokens.
    """

    def __init__(self, settings: WebTokens) -> None:
        try:
            import jwt  # noqa: PLC0415 - only where it is configured
        except ImportError as error:
            raise Misconfigured(
                f"CHAOS_JWT_OPERATORS or CHAOS_JWT_VIEWERS is set, which requires PyJWT ({error}). Install it with "
                "pip install 'pyjwt[crypto]', or unset these variables."
            ) from error
        self._jwt = jwt
        self._settings = settings
        url = settings.jwks_url
        self._keys = WebKeys(partial(fetch_keys, url, jwt.PyJWKSet.from_dict)) if url else None

    def __call__(self, headers: Mapping[str, str]) -> Caller | None:
        """Raises Unauthenticated, which never repeats the token; Forbidden for who is on no list; KeysUnavailable."""
        *scheme, token = headers.get(self._settings.header.lower(), "").split() or [""]
        if [word.lower() for word in scheme] not in SCHEMES or len(token.split(".")) != PARTS:
            return None
        name = self._name(token)
        if name in self._settings.operators:
            return Caller(name, Role.OPERATOR)
        if name in self._settings.viewers or "*" in self._settings.viewers:
            return Caller(name, Role.VIEWER)
        raise Forbidden(
            f"{name!r} is logged in, but has no role here. Add the name to CHAOS_JWT_OPERATORS or CHAOS_JWT_VIEWERS."
        )

    def _name(self, token: str) -> str:
        settings = self._settings
        try:
            key = self._key(token) if self._keys else settings.secret
            claims: dict[str, Any] = self._jwt.decode(
                token,
                key,
                algorithms=[settings.algorithm],
                issuer=settings.issuer,
                audience=settings.audience,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", settings.claim], "verify_aud": settings.audience is not None},
            )
            self._require_not_expired(claims)
        except (self._jwt.PyJWTError, UnicodeError) as error:
            raise Unauthenticated(
                f"The JSON Web Token was rejected ({type(error).__name__}). Log in again, and send the new token."
            ) from error
        name = str(claims[settings.claim])
        if not can_be_a_name(name):
            raise Unauthenticated(
                f"The JSON Web Token names nobody: its claim {settings.claim} must be 1 to {LONGEST_NAME} printable "
                "characters. Log in again, or name another claim in CHAOS_JWT_CLAIM."
            )
        return name

    def _require_not_expired(self, claims: Mapping[str, Any]) -> None:
        """To the second: the leeway is for the moment from which a token is valid."""
        if int(claims["exp"]) <= time.time():
            raise self._jwt.ExpiredSignatureError

    def _key(self, token: str) -> Any:  # noqa: ANN401 - cryptography's
        """The public key that the token says it is signed with. Raises PyJWT's errors, and KeysUnavailable."""
        kid = self._jwt.get_unverified_header(token).get("kid")
        key = self._keys.find(kid) if self._keys and kid else None
        if key is None:
            raise self._jwt.InvalidKeyError("The address has no key of this id.")
        return key
