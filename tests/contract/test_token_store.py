"""One suite for the port, run on every store."""

import pytest

from chalicelib.access import Role, TokenStore, new_token
from chalicelib.dynamodb.tokens import DynamoDBTokenStore
from tests.support import NOW, FakeTokenStore


@pytest.fixture(params=["fake", "dynamodb"])
def store(request: pytest.FixtureRequest) -> TokenStore:
    return FakeTokenStore() if request.param == "fake" else DynamoDBTokenStore(request.getfixturevalue("settings"))


def test_a_token_is_found_by_its_hash_as_it_was(store: TokenStore) -> None:
    for _, token in (
        new_token("ada", Role.OPERATOR, now=NOW),
        new_token("bob", Role.VIEWER, now=NOW, expires_at=NOW + 1),
    ):
        store.add(token)
        assert store.find(token.hash) == token


def test_what_was_never_added_is_not_found(store: TokenStore) -> None:
    assert store.find("0" * 64) is None


def test_all_are_listed(store: TokenStore) -> None:
    tokens = [new_token(name, Role.VIEWER, now=NOW)[1] for name in ("ada", "bob")]
    for token in tokens:
        store.add(token)
    assert sorted(store.all(), key=lambda token: token.name) == tokens


def test_a_revoked_one_is_gone_and_revoking_it_again_does_no_harm(store: TokenStore) -> None:
    _, token = new_token("ada", Role.OPERATOR, now=NOW)
    store.add(token)
    for _ in range(2):
        store.revoke(token.hash)
        assert store.find(token.hash) is None
