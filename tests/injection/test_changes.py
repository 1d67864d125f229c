"""Changes of one answer, one after the other, without any server."""

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.faults.base import DISCONNECT, Change, Disconnect, Headers, Piece, RefreshSnapshot, Sleep
from chalicelib.injection.changes import Changed
from chalicelib.injection.engine import InjectionResult
from tests.injection.support import FakeCall
from tests.injection.test_engine import House
from tests.support import Clock


class Same(Change):
    def part(self, data: bytes) -> Iterable[Piece]:
        yield data


class Split(Change):
    """Byte by byte, with pauses, empty pieces between, and something at its end."""

    def __init__(self, at_end: bytes = b"") -> None:
        self.at_end = at_end
        self.seen: list[bytes] = []

    def part(self, data: bytes) -> Iterable[Piece]:
        self.seen.append(data)
        for value in data:
            yield Sleep(0.5)
            yield b""
            yield bytes([value])

    def end(self) -> Iterable[Piece]:
        yield self.at_end

    @property
    def counters(self) -> dict[str, int]:
        return {"parts": len(self.seen)}


class Doubled(Change):
    def part(self, data: bytes) -> Iterable[Piece]:
        return (data, data)


class Bad(Change):
    """Fails in one of its methods."""

    def __init__(self, where: str) -> None:
        self.where = where

    def _fail(self, where: str) -> None:
        if where == self.where:
            raise ZeroDivisionError(where)

    def begin(self, status: int, headers: Headers) -> tuple[int, Headers]:
        self._fail("begin")
        return status, headers

    def part(self, data: bytes) -> Iterable[Piece]:
        self._fail("part")
        yield data
        self._fail("later")

    def end(self) -> Iterable[Piece]:
        self._fail("end")
        return ()

    @property
    def counters(self) -> dict[str, int]:
        self._fail("counters")
        return {}


class Answered:
    """A house in which a run hits a call, and changes its answer."""

    def __init__(self, clock: Clock, *changes: Change, method: str = "GET") -> None:
        self.house = House(clock)
        self.run = self.house.start(duration_seconds=20.0, delay_seconds=0.0)
        self.result: InjectionResult = self.house.hit()
        self.result.call = FakeCall("/orders")
        self.result.call.method = method
        (plan,) = self.result.plans
        self.result.changes = [(plan, change) for change in changes]
        self.changed = Changed(self.house.engine, self.result)

    def send(self, parts: Sequence[bytes], status: int = 200, headers: Headers = ()) -> list[Any]:
        """What is sent; of a pause how long it was."""
        self.begun = self.changed.begin(status, headers)
        sent: list[Any] = []
        for part in parts:
            self._take(sent, self.changed.part(part))
        self._take(sent, self.changed.end())
        return sent

    def _take(self, sent: list[Any], pieces: Iterable[Any]) -> None:
        for piece in pieces:
            if isinstance(piece, bytes | Disconnect):
                sent.append(piece)
                continue
            began = self.house.clock.now
            self.house.injection.carry_out(self.result.call, piece)
            if self.house.clock.now > began:
                sent.append(self.house.clock.now - began)

    def close(self) -> dict[str, int]:
        self.changed.close()
        self.house.engine.count(self.result, 200)
        self.house.engine.recorder.flush()
        return dict(self.house.results.tallies[self.run.run_id].counts)


PARTS = st.lists(st.binary(max_size=20), max_size=6)
CHAIN = st.lists(st.sampled_from(["same", "split", "double"]), max_size=4)


@given(parts=PARTS, chain=CHAIN)
@settings(deadline=None)
def test_bytes_pass_in_order_through_all_changes(parts: list[bytes], chain: list[str]) -> None:
    kinds = {"same": Same, "split": Split, "double": Doubled}
    answered = Answered(Clock(), *(kinds[name]() for name in chain))
    sent = [piece for piece in answered.send(parts) if isinstance(piece, bytes)]
    assert all(sent)
    assert len(b"".join(sent)) == len(b"".join(parts)) * 2 ** chain.count("double")
    if "double" not in chain:
        assert b"".join(sent) == b"".join(parts)


def test_what_the_first_gives_is_a_part_of_the_second(clock: Clock) -> None:
    second = Split(at_end=b"?")
    answered = Answered(clock, Split(at_end=b"!"), second)
    sent = answered.send([b"ab"])
    assert b"".join(piece for piece in sent if isinstance(piece, bytes)) == b"ab!?"
    assert second.seen == [b"a", b"b", b"!"]
    assert answered.close()["parts"] == 4


def test_nothing_follows_a_disconnect(clock: Clock) -> None:
    class Cut(Change):
        def part(self, data: bytes) -> Iterable[Piece]:
            return (data[:1], DISCONNECT, data[1:])

    answered = Answered(clock, Cut(), Split(at_end=b"!"))
    assert answered.send([b"ab", b"cd"])[-1] == DISCONNECT
    assert answered.changed.is_over
    assert answered.close()["parts"] == 1


@pytest.mark.parametrize("where", ["begin", "part", "later", "end", "counters"])
def test_a_defect_is_logged_once_and_the_bytes_pass(clock: Clock, where: str, caplog: pytest.LogCaptureFixture) -> None:
    answered = Answered(clock, Bad(where), Doubled())
    with caplog.at_level(logging.ERROR):
        assert b"".join(answered.send([b"ab", b"cd"])) == b"ababcdcd"
        answered.close()
    assert [record.message for record in caplog.records] == [
        "A change of the answer raised an exception; the rest of the answer passes it unchanged"
    ]


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304), ("GET", 101)])
def test_an_answer_without_a_body_never_gets_one(clock: Clock, method: str, status: int) -> None:
    answered = Answered(clock, Split(at_end=b"!"), method=method)
    assert answered.send([], status, [("X-Own", "1")]) == []
    assert answered.begun == (status, [("X-Own", "1")])
    assert "parts" not in answered.close()


def test_a_change_may_give_an_answer_without_a_body_another_status_and_a_body(clock: Clock) -> None:
    class Error(Split):
        def begin(self, status: int, headers: Headers) -> tuple[int, Headers]:
            del status, headers
            return 500, [("Content-Length", "1")]

    answered = Answered(clock, Same(), Error(at_end=b"!"))
    assert answered.send([], 204) == [b"!"]
    assert answered.begun == (500, [("Content-Length", "1")])


# Pauses


def test_pauses_end_with_the_run_and_what_is_left_comes_at_once(clock: Clock) -> None:
    answered = Answered(clock, Split())
    answered.house.later[clock.now + 2.2] = lambda: answered.house.stop(answered.run)
    sent = answered.send([b"abcdefghij"])
    assert b"".join(piece for piece in sent if isinstance(piece, bytes)) == b"abcdefghij"
    assert 2.2 <= sum(piece for piece in sent if isinstance(piece, float)) <= 3.2


@pytest.mark.parametrize(
    ("limits", "longest", "expected"),
    [({}, float("inf"), 20.0), ({"delay_seconds": 3.0}, float("inf"), 3.0), ({}, 5.0, 4.5)],
)
def test_pauses_are_bounded_by_the_stage_the_request_and_the_run(
    clock: Clock, limits: dict[str, float], longest: float, expected: float
) -> None:
    answered = Answered(clock, Split())
    answered.house.engine.limits = limits
    answered.house.engine.longest_request_seconds = longest
    answered.changed = Changed(answered.house.engine, answered.result)
    sent = answered.send([b"x" * 100])
    assert sum(piece for piece in sent if isinstance(piece, float)) == pytest.approx(expected)
    assert sum(len(piece) for piece in sent if isinstance(piece, bytes)) == 100


def test_no_pause_of_a_run_is_longer_than_a_delay_may_be(clock: Clock) -> None:
    answered = Answered(clock, Split())
    answered.run.parameters["duration_seconds"] = 3600.0  # type: ignore[index]
    step = next(iter(answered.changed._links[0].pause(1000.0)))
    assert isinstance(step, Sleep | RefreshSnapshot)
    assert answered.changed._links[0]._left == 60.0
