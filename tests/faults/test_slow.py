import pytest

from chalicelib.faults.slow import Slow
from tests.faults.changing import Sent
from tests.faults.support import FakeHitCall, drive


class Time:
    """A clock that pauses move, each by a little more than was asked for."""

    def __init__(self, late: float = 0.0) -> None:
        self.now = 100.0
        self.late = late

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds + self.late


def sent(rate: float, parts: list[bytes], time: Time) -> Sent:
    call = FakeHitCall()
    call.timer = time  # type: ignore[method-assign]
    _, applied = drive(Slow(bytes_per_second=rate), call)
    assert applied.details == {"bytes_per_second": rate}
    assert applied.change
    return Sent(applied.change, parts, [("Content-Length", "1")], sleep=time.sleep)


@pytest.mark.parametrize("rate", [0.5, 10.0, 1000.0, 1e6])
@pytest.mark.parametrize("late", [0.0, 0.004])
def test_the_body_comes_at_the_rate_and_its_first_byte_at_once(rate: float, late: float) -> None:
    time = Time(late)
    body = b"x" * max(int(rate * 2), 4)
    answered = sent(rate, [body], time)
    assert answered.body == body
    assert answered.pieces[0] == b"x"
    assert time.now - 100.0 == pytest.approx((len(body) - 1) / rate, abs=0.06)
    assert answered.headers == {"content-length": "1"}
    assert max(map(len, answered.pieces)) <= max(rate * 0.05, 1)
    assert answered.counters == {"delay": pytest.approx(1e6 * sum(answered.slept), rel=0.5)}


def test_parts_of_any_size_come_at_the_rate() -> None:
    time = Time()
    answered = sent(100.0, [b"x" * 3, b"y" * 70, b"z"], time)
    assert answered.body == b"xxx" + b"y" * 70 + b"z"
    assert time.now - 100.0 == pytest.approx(0.73)


def test_the_time_of_the_application_is_no_reason_to_hurry() -> None:
    time = Time()

    def parts() -> object:
        yield b"x" * 10
        time.now += 60.0
        yield b"y" * 100

    answered = sent(100.0, parts(), time)  # type: ignore[arg-type]
    assert sum(answered.slept) == pytest.approx(1.09)


def test_when_a_pause_ends_early_the_rest_comes_at_once() -> None:
    time = Time()

    def cut(seconds: float) -> None:
        time.now += seconds if time.now < 102.0 else 0.0

    time.sleep = cut  # type: ignore[method-assign]
    answered = sent(100.0, [b"x" * 1000, b"y" * 1000], time)
    assert answered.body == b"x" * 1000 + b"y" * 1000
    assert time.now == pytest.approx(102.0, abs=0.06)
    assert answered.pieces[-1] == b"y" * 1000
