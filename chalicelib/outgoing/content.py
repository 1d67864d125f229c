"""What is sent with a call, as far as it takes to know it again when it is sent once more."""

from collections.abc import Hashable

MOST = 4096
"""How many bytes are looked at from the beginning of each part, and a tenth of them from its end."""


def content_of(*parts: object) -> Hashable:
    """Equal for what is sent again, and different for what is not: address, query, body. A stream is only itself."""
    return tuple(_of(part) for part in parts)


def _of(part: object) -> Hashable:
    if isinstance(part, bytes | bytearray):
        return len(part), bytes(part[:MOST]), bytes(part[-MOST // 10 :])
    return part if isinstance(part, str | None) else id(part)
