import pytest

from chalicelib.access import ANYONE, ROLES, Authenticator, Caller, Role, hash_token, new_token
from chalicelib.errors import Forbidden, Unauthenticated
from tests.support import NOW, Clock, FakeTokenStore


@pytest.fixture
def tokens() -> FakeTokenStore:
    return FakeTokenStore()


def test_a_token_makes_its_owner_a_caller(tokens: FakeTokenStore, clock: Clock) -> None:
    secret, token = new_token("ada", Role.VIEWER, now=NOW)
    tokens.add(token)
    for header in (f"Bearer {secret}", f"bearer  {secret} "):
        assert Authenticator(tokens, clock)(header) == Caller("ada", Role.VIEWER)


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic abc", "abc", "Bearer unknown", "Bearer \udcff"]
)
def test_anything_else_is_refused_without_being_repeated(
    tokens: FakeTokenStore, clock: Clock, header: str | None
) -> None:
    with pytest.raises(Unauthenticated) as refused:
        Authenticator(tokens, clock, "dev-token")(header)
    assert "unknown'" not in refused.value.message
    assert "abc" not in refused.value.message


def test_a_token_ends_with_its_time(tokens: FakeTokenStore, clock: Clock) -> None:
    secret, token = new_token("ada", Role.OPERATOR, now=NOW, expires_at=NOW + 10)
    tokens.add(token)
    clock.now = NOW + 9.999
    assert Authenticator(tokens, clock)(f"Bearer {secret}")
    clock.now = NOW + 10
    with pytest.raises(Unauthenticated):
        Authenticator(tokens, clock)(f"Bearer {secret}")


def test_a_revoked_token_is_refused(tokens: FakeTokenStore, clock: Clock) -> None:
    secret, token = new_token("ada", Role.OPERATOR, now=NOW)
    tokens.add(token)
    tokens.revoke(token.hash)
    with pytest.raises(Unauthenticated):
        Authenticator(tokens, clock)(f"Bearer {secret}")


def test_the_developers_token_is_an_operators_and_asks_no_table(clock: Clock) -> None:
    class NoTable(FakeTokenStore):
        def find(self, token_hash: str) -> None:
            raise AssertionError(token_hash)

    assert Authenticator(NoTable(), clock, "dev-token")("Bearer dev-token").role is Role.OPERATOR


def test_what_is_kept_is_a_hash(tokens: FakeTokenStore) -> None:
    secret, token = new_token("ada", Role.OPERATOR, now=NOW)
    assert token.hash == hash_token(secret)
    assert secret not in repr(token)
    assert new_token("ada", Role.OPERATOR, now=NOW)[0] != secret
    assert len(secret) > 40


@pytest.mark.parametrize(
    ("role", "needed", "allowed"),
    [
        (Role.OPERATOR, Role.OPERATOR, True),
        (Role.OPERATOR, Role.VIEWER, True),
        (Role.VIEWER, Role.VIEWER, True),
        (Role.VIEWER, Role.OPERATOR, False),
        (Role.ANYONE, Role.VIEWER, False),
    ],
)
def test_each_role_may_do_what_the_ones_before_it_may(role: Role, needed: Role, *, allowed: bool) -> None:
    caller = Caller("ada", role)
    if allowed:
        caller.require(needed)
    else:
        with pytest.raises(Forbidden, match=f"role {needed.word}"):
            caller.require(needed)


def test_a_token_is_never_for_anyone() -> None:
    assert list(ROLES) == ["viewer", "operator"]
    assert ANYONE.role is Role.ANYONE
