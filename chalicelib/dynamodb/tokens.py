"""Tokens in the table: `pk` "tokens#<scope>", `sk` the SHA-256 hash. Looked up by hash, listed by one query."""

import logging
from collections.abc import Mapping, Sequence

from pynamodb.attributes import NumberAttribute, UnicodeAttribute

from ..access import ROLES, Token
from ..settings import Settings
from .clock import TableClock
from .items import DAMAGED, Raw, moment
from .table import Connection, Item, bind, ttl

log = logging.getLogger(__name__)

SHOWN_HASH = 12


class TokenItem(Item):
    name = UnicodeAttribute()
    role = UnicodeAttribute()
    created_at = NumberAttribute()
    expires_at = NumberAttribute(null=True)


class DynamoDBTokenStore:
    """`TokenStore` on DynamoDB."""

    def __init__(self, settings: Settings, clock: TableClock | None = None) -> None:
        self._item = bind(TokenItem, settings, clock)
        self._connection = Connection(self._item, settings)
        self._table = settings.table
        self._partition = f"tokens#{settings.scope}"

    def find(self, token_hash: str) -> Token | None:
        key = {"pk": {"S": self._partition}, "sk": {"S": token_hash}}

        def get() -> Raw | None:
            answer: Mapping[str, Raw] = self._connection.client.get_item(
                TableName=self._table, Key=key, ConsistentRead=True
            )
            return answer.get("Item")

        raw = self._connection.call(get)
        return _token(raw) if raw else None

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
        found = self._connection.call(lambda: list(self._connection.query(self._partition)))
        return [token for raw in found if (token := _token(raw))]

    def revoke(self, token_hash: str) -> None:
        self._connection.call(self._item(self._partition, token_hash).delete, writes=True)


def _token(raw: Raw) -> Token | None:
    """The token of an item; None for one that is damaged: nobody is let in by it."""
    try:
        return Token(
            hash=raw["sk"]["S"],
            name=raw["name"]["S"],
            role=ROLES[raw["role"]["S"]],
            created_at=moment(raw, "created_at"),
            expires_at=moment(raw, "expires_at") if "expires_at" in raw else None,
        )
    except DAMAGED as error:
        log.warning("Left out the token %s, which cannot be read: %r", raw["sk"]["S"][:SHOWN_HASH], error)
        return None
