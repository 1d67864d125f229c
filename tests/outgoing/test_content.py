"""What is sent again is known again, and nothing else."""

from io import BytesIO

import pytest

from chalicelib.outgoing.content import MOST, content_of


@pytest.mark.parametrize("body", [None, b"", b"a", bytearray(b"a"), "a", b"a" * MOST * 3])
def test_what_is_sent_again_is_equal(body: object) -> None:
    again = body[:] if isinstance(body, bytes | bytearray | str) else body
    assert content_of("/orders?id=1", body) == content_of("/orders?id=1", again)
    assert hash(content_of(body)) == hash(content_of(again))


def test_what_differs_is_not() -> None:
    long = b"a" * MOST * 3
    sent = [
        ("/orders?id=1", b"a"), ("/orders?id=2", b"a"), ("/orders?id=1", b"b"), ("/orders?id=1", None),
        ("/orders?id=1", long), ("/orders?id=1", long + b"a"), ("/orders?id=1", long[:-1] + b"b"),
    ]  # fmt: skip
    assert len({content_of(*each) for each in sent}) == len(sent)


def test_a_stream_is_only_itself() -> None:
    first, second = BytesIO(b"a"), BytesIO(b"a")
    assert content_of(first) == content_of(first) != content_of(second)


def test_of_a_large_body_little_is_held() -> None:
    (part,) = content_of(b"a" * 10_000_000)  # type: ignore[misc]
    assert sum(len(each) for each in part if isinstance(each, bytes)) <= 2 * MOST
