import json

from chalicelib.access import Role, new_token
from chalicelib.dynamodb.tokens import DynamoDBTokenStore
from chalicelib.settings import Settings
from tests.support import NOW


def test_the_secret_is_nowhere_in_the_table(settings: Settings) -> None:
    store = DynamoDBTokenStore(settings)
    secret, token = new_token("ada", Role.OPERATOR, now=NOW)
    store.add(token)
    kept = json.dumps([item.to_simple_dict() for item in store._item.scan()], default=str)
    assert token.hash in kept
    assert secret not in kept


def test_the_table_may_forget_a_token_that_expired(settings: Settings) -> None:
    store = DynamoDBTokenStore(settings)
    for expires_at in (None, NOW + 0.5):
        _, token = new_token("ada", Role.OPERATOR, now=NOW, expires_at=expires_at)
        store.add(token)
        (item,) = [item for item in store._item.scan() if item.sk == token.hash]
        assert (item.ttl and item.ttl.timestamp()) == (expires_at and NOW + 1)
