"""Tokens in the table: `pk` "tokens#<scope>", `sk` the SHA-256 hash. Looked up by hash, listed by one query."""

from collections.abc import Sequence

from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.exceptions import DoesNotExist

from ..access import ROLES, Token
from ..settings import Settings
from .table import Connection, Item, bind, ttl


class TokenItem(Item):
    name = UnicodeAttribute()
    role = UnicodeAttribute()
    created_at = NumberAttribute()
    expires_at = NumberAttribute(null=True)


class DynamoDBTokenStore:
    """`TokenStore` on DynamoDB."""

    def __init__(self, settings: Settings) -> None:
        self._item = bind(TokenItem, settings)
        self._connection = Connection(self._item, settings)
        self._partition = f"tokens#{settings.scope}"

    def find(self, token_hash: str) -> Token | None:
        def get() -> TokenItem | None:
            try:
                return self._item.get(self._partition, token_hash, consistent_read=True)
            except DoesNotExist:
                return None

        item = self._connection.call(get)
        return _token(item) if item else None

    def add(self, token: Token) -> None:
        item = self._item(
            self._partition,
            token.hash,
            ttl=None if token.expires_at is None else ttl(token.expires_at),
            name=token.name,
            role=token.role.word,
            created_at=token.created_at,
            expires_at=token.expires_at,
        )
        self._connection.call(item.save, writes=True)

    def all(self) -> Sequence[Token]:
        items = self._connection.call(lambda: list(self._item.query(self._partition, consistent_read=True)))
        return [_token(item) for item in items]

    def revoke(self, token_hash: str) -> None:
        self._connection.call(self._item(self._partition, token_hash).delete, writes=True)


def _token(item: TokenItem) -> Token:
    return Token(
        hash=item.sk,
        name=item.name,
        role=ROLES[item.role],
        created_at=float(item.created_at),
        expires_at=None if item.expires_at is None else float(item.expires_at),
    )
