"""Access: roles, callers, bearer tokens, and the port in which tokens are found."""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol

from .errors import Forbidden, Unauthenticated


class Role(IntEnum):
    """What a caller may do. Each role may do what the ones before it may."""

    ANYONE = 0
    VIEWER = 1
    OPERATOR = 2

    @property
    def word(self) -> str:
        return self.name.lower()


ROLES = {role.word: role for role in (Role.VIEWER, Role.OPERATOR)}
"""The roles that a token may have, by their word."""


class Caller(NamedTuple):
    """Who a request comes from, once authenticated."""

    name: str
    role: Role

    def require(self, role: Role) -> None:
        """Raises Forbidden."""
        if self.role < role:
            raise Forbidden(
                f"{self.name!r} has the role {self.role.word}, and this request requires the role {role.word}. "
                f"Use a token with that role."
            )


LONGEST_NAME = 128


def can_be_a_name(name: object) -> bool:
    """Names are written into runs, which every environment reads, and printed in other people's terminals."""
    return isinstance(name, str) and 0 < len(name) <= LONGEST_NAME and name.isprintable()


ANYONE = Caller("anyone", Role.ANYONE)


class Token(NamedTuple):
    """A bearer token as it is stored: its SHA-256 hash, never itself. Times are epoch seconds."""

    hash: str
    name: str
    role: Role
    created_at: float
    expires_at: float | None = None

    def is_valid(self, now: float) -> bool:
        return self.expires_at is None or now < self.expires_at


class TokenStore(Protocol):
    """The tokens of one scope. Every method may raise StoreUnavailable."""

    def find(self, token_hash: str) -> Token | None: ...

    def add(self, token: Token) -> None: ...

    def all(self) -> Sequence[Token]: ...

    def revoke(self, token_hash: str) -> None: ...


def hash_token(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def new_token(name: str, role: Role, *, now: float, expires_at: float | None = None) -> tuple[str, Token]:
    """A random secret, for its owner alone, and the token to store."""
    secret = f"chaos_{secrets.token_urlsafe(32)}"
    return secret, Token(hash=hash_token(secret), name=name, role=role, created_at=now, expires_at=expires_at)


OwnAuthentication = Callable[[Mapping[str, str]], Caller | None]
"""An application's own authentication, from a request's headers (names in lower case) to its caller.

None leaves it to bearer tokens.
"""


def _bearer_token(header: str) -> str:
    """The token in the header `Authorization`. Raises Unauthenticated."""
    scheme, _, secret = header.strip().partition(" ")
    if scheme.lower() != "bearer" or not secret:
        raise Unauthenticated("The request has no bearer token. Send the header 'Authorization: Bearer <token>'.")
    return secret.strip()


class Authenticator:
    """From a request's headers to its caller, by the application's own authentication or by bearer token.

    `dev_token`, where there is one, is an operator.
    """

    def __init__(
        self,
        tokens: TokenStore,
        clock: Callable[[], float],
        dev_token: str | None = None,
        own: OwnAuthentication | None = None,
    ) -> None:
        self._tokens = tokens
        self._clock = clock
        self._dev_hash = hash_token(dev_token) if dev_token else None
        self._own = own

    def __call__(self, headers: Mapping[str, str]) -> Caller:
        """Raises Unauthenticated, which never repeats the token; StoreUnavailable."""
        caller = self._own(headers) if self._own else None
        if not caller:
            return self._by_token(_bearer_token(headers.get("authorization", "")))
        if not can_be_a_name(caller.name):
            raise Unauthenticated(
                f"The application's authentication gave no name: it must be 1 to {LONGEST_NAME} printable characters."
            )
        return caller

    def _by_token(self, secret: str) -> Caller:
        token_hash = hash_token(secret)
        if self._dev_hash and hmac.compare_digest(token_hash, self._dev_hash):
            return Caller("developer", Role.OPERATOR)
        token = self._tokens.find(token_hash)
        if token is None or not token.is_valid(self._clock()):
            raise Unauthenticated(
                "The bearer token is unknown to this stage, revoked or expired. Send a valid token of this stage."
            )
        return Caller(token.name, token.role)
