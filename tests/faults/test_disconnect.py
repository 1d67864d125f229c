import pytest

from chalicelib.faults.base import DISCONNECT, Piece
from chalicelib.faults.disconnect import Cut, DropConnection, DropWithin
from tests.faults.support import FakeHitCall, drive


def test_it_decides_and_is_counted() -> None:
    _, applied = drive(DropConnection(), FakeHitCall())
    assert (applied.outcome, applied.counters, applied.change) == (DISCONNECT, {"dropped_connections": 1}, None)


@pytest.mark.parametrize(
    ("after_bytes", "sent"),
    [
        (1, [b"a", DISCONNECT]),
        (3, [b"abc", DISCONNECT]),
        (4, [b"abc", b"d", DISCONNECT]),
        (6, [b"abc", b"def", DISCONNECT]),
    ],
)
def test_so_many_bytes_are_sent_and_then_the_connection_is_closed(after_bytes: int, sent: list[Piece]) -> None:
    cut = _cut(after_bytes)
    assert [piece for data in (b"abc", b"def") for piece in cut.part(data)][: len(sent)] == sent
    assert cut.counters == {"dropped_connections": 1}


def test_a_shorter_answer_passes_whole_and_is_not_counted() -> None:
    cut = _cut(7)
    assert [*cut.part(b"abc"), *cut.part(b"def"), *cut.end()] == [b"abc", b"def"]
    assert cut.counters == {}
    assert cut.begin(200, [("content-length", "6")]) == (200, [("content-length", "6")])


def test_what_the_client_gets_is_not_the_applications_doing() -> None:
    assert _cut(1).replaces


def _cut(after_bytes: int) -> Cut:
    _, applied = drive(DropWithin(after_bytes=after_bytes), FakeHitCall())
    assert isinstance(applied.change, Cut)
    assert applied.counters == {}
    return applied.change
