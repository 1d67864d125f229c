import hashlib
from collections.abc import Mapping
from typing import Any

import pytest

from chalicelib.access import ANYONE, ROLES, Authenticator, Caller, Role, hash_token, new_token
from chalicelib.errors import Forbidden, StoreUnavailable, Unauthenticated
from tests.support import NOW, Clock, FakeTokenStore

SECRET = "chaos_a-secret"


@pytest.fixture
def tokens() -> FakeTokenStore:
    return FakeTokenStore()


@pytest.fixture
def authenticate(tokens: FakeTokenStore, clock: Clock) -> Authenticator:
    return Authenticator(tokens, clock, dev_token=None)


@pytest.fixture
def secret(tokens: FakeTokenStore) -> str:
    """Of a viewer, ada, for a minute."""
    secret, token = new_token("ada", Role.VIEWER, now=NOW, expires_at=NOW + 60)
    tokens.add(token)
    return secret


# Roles


def test_each_role_may_do_what_the_ones_before_it_may() -> None:
    may = {role.word: [other.word for other in Role if Caller("ada", role).role >= other] for role in Role}
    assert may == {
        "anyone": ["anyone"],
        "viewer": ["anyone", "viewer"],
        "operator": ["anyone", "viewer", "operator"],
    }


def test_a_token_is_a_viewers_or_an_operators() -> None:
    assert ROLES == {"viewer": Role.VIEWER, "operator": Role.OPERATOR}


@pytest.mark.parametrize("required", Role)
@pytest.mark.parametrize("role", Role)
def test_a_caller_whose_role_does_not_suffice_is_refused(role: Role, required: Role) -> None:
    caller = Caller("ada", role)
    if role >= required:
        caller.require(required)
    else:
        with pytest.raises(
            Forbidden, match=f"has the role {role.word}, and this request requires the role {required.word}."
        ):
            caller.require(required)


def test_anyone_may_do_what_needs_no_role_and_nothing_else() -> None:
    ANYONE.require(Role.ANYONE)
    with pytest.raises(Forbidden):
        ANYONE.require(Role.VIEWER)


# Tokens


def test_what_is_stored_of_a_token_is_its_hash_and_never_itself() -> None:
    secret, token = new_token("ada", Role.OPERATOR, now=NOW)
    assert token.hash == hash_token(secret) == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in repr(token)
    assert (token.name, token.role, token.created_at, token.expires_at) == ("ada", Role.OPERATOR, NOW, None)


def test_secrets_are_long_and_never_the_same() -> None:
    secrets = {new_token("ada", Role.VIEWER, now=NOW)[0] for _ in range(100)}
    assert len(secrets) == 100
    assert all(secret.startswith("chaos_") and len(secret) >= 40 for secret in secrets)


def test_a_token_without_an_end_is_valid_for_good_and_another_until_just_before_it() -> None:
    _, token = new_token("ada", Role.VIEWER, now=NOW)
    assert token.is_valid(NOW + 1e9)
    short = token._replace(expires_at=NOW + 60)
    assert [short.is_valid(NOW + after) for after in (0, 59.999, 60)] == [True, True, False]


# From a header to a caller


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER   {}", "  Bearer {}  "])
def test_a_known_token_is_its_owners(authenticate: Authenticator, secret: str, form: str) -> None:
    assert authenticate({"authorization": form.format(secret)}) == Caller("ada", Role.VIEWER)


@pytest.mark.parametrize("header", ["", "  ", "Bearer", "Bearer   ", "Basic YWRhOng=", SECRET, f"Token {SECRET}"])
def test_without_a_bearer_token_there_is_nobody_and_the_message_says_what_to_send(
    authenticate: Authenticator, header: str
) -> None:
    with pytest.raises(Unauthenticated) as refused:
        authenticate({"authorization": header} if header else {})
    assert refused.value.message == (
        "The request has no bearer token. Send the header 'Authorization: Bearer <token>'."
    )


@pytest.mark.parametrize("unknown", [SECRET, "tokén", "\ud800", "x" * 100_000, f"{SECRET} {SECRET}"])
def test_an_unknown_token_is_refused_and_never_repeated(authenticate: Authenticator, unknown: str) -> None:
    with pytest.raises(Unauthenticated, match="unknown to this stage, revoked or expired") as refused:
        authenticate({"authorization": f"Bearer {unknown}"})
    assert unknown not in refused.value.message


def test_an_expired_token_is_refused(authenticate: Authenticator, secret: str, clock: Clock) -> None:
    clock.now = NOW + 59.999
    authenticate({"authorization": f"Bearer {secret}"})
    clock.now = NOW + 60
    with pytest.raises(Unauthenticated):
        authenticate({"authorization": f"Bearer {secret}"})


def test_a_revoked_token_is_refused(authenticate: Authenticator, secret: str, tokens: FakeTokenStore) -> None:
    tokens.revoke(hash_token(secret))
    with pytest.raises(Unauthenticated):
        authenticate({"authorization": f"Bearer {secret}"})


def test_the_hash_of_a_token_is_no_token(authenticate: Authenticator, secret: str) -> None:
    with pytest.raises(Unauthenticated):
        authenticate({"authorization": f"Bearer {hash_token(secret)}"})


def test_a_table_that_does_not_answer_is_not_taken_for_an_unknown_token(clock: Clock) -> None:
    class Unreachable(FakeTokenStore):
        def find(self, token_hash: str) -> None:
            raise StoreUnavailable("The table does not answer.")

    with pytest.raises(StoreUnavailable):
        Authenticator(Unreachable(), clock)({"authorization": f"Bearer {SECRET}"})


def test_the_developers_token_is_an_operators_and_needs_no_table(clock: Clock) -> None:
    authenticate = Authenticator(FakeTokenStore(), clock, "dev-token")
    assert authenticate({"authorization": "Bearer dev-token"}) == Caller("developer", Role.OPERATOR)
    with pytest.raises(Unauthenticated):
        authenticate({"authorization": "Bearer dev-token2"})


@pytest.mark.parametrize("dev_token", [None, ""])
def test_no_developers_token_opens_nothing(clock: Clock, dev_token: str | None) -> None:
    with pytest.raises(Unauthenticated):
        Authenticator(FakeTokenStore(), clock, dev_token)({"authorization": "Bearer "})


def test_an_application_may_authenticate_callers_and_leave_it_to_tokens(clock: Clock) -> None:
    def own(headers: Mapping[str, str]) -> Caller | None:
        return Caller("own", Role.VIEWER) if headers.get("x-user") else None

    authenticate = Authenticator(FakeTokenStore(), clock, "dev-token", own)
    assert authenticate({"x-user": "ada"}) == Caller("own", Role.VIEWER)
    assert authenticate({"authorization": "Bearer dev-token"}) == Caller("developer", Role.OPERATOR)
    with pytest.raises(Unauthenticated):
        authenticate({})


@pytest.mark.parametrize("name", ["", "x" * 129, "two\nlines", "\x1b[2J", "half \ud800", None, 7])
def test_a_name_of_the_applications_own_authentication_must_be_one(name: Any) -> None:
    own = Authenticator(FakeTokenStore(), Clock(), own=lambda _headers: Caller(name, Role.OPERATOR))
    with pytest.raises(Unauthenticated, match="1 to 128 printable characters"):
        own({})
    named = Authenticator(FakeTokenStore(), Clock(), own=lambda _headers: Caller("é" * 128, Role.OPERATOR))
    assert named({}).role is Role.OPERATOR
