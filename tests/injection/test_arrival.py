from collections.abc import Mapping
from typing import Any

import pytest

from chalicelib.injection.arrival import LONGEST_SECONDS, arrival, gateway_time, request_start
from tests.injection.support import FakeCall
from tests.support import NOW

AT = 1_700_000_000.123


@pytest.mark.parametrize(
    "text",
    [
        "t=1700000000.123",
        "1700000000.123",
        " t = 1700000000.123 ",
        "1700000000123",  # Heroku
        "t=1700000000123",
        "t=1700000000123000",  # Apache
        "1700000000123000000",
        "t=1700000000.123, t=1700000009",
    ],
)
def test_the_header_is_read_in_each_unit_that_it_is_written_in(text: str) -> None:
    assert request_start(text) == pytest.approx(AT, abs=1e-3)


@pytest.mark.parametrize("text", ["", "t=", "soon", "-1700000000", "t=12", "1e9", "٣", "t=NaN"])
def test_a_header_that_says_no_time_is_none(text: str) -> None:
    assert request_start(text) is None


@pytest.mark.parametrize(
    ("context", "at"),
    [
        ({"requestTimeEpoch": 1_700_000_000_123}, AT),  # a REST API
        ({"timeEpoch": 1_700_000_000_123}, AT),  # an HTTP API, a function's URL
        ({"requestTimeEpoch": None}, None),
        ({"requestTimeEpoch": "1700000000123"}, None),
        ({"requestTimeEpoch": True}, None),
        ({"elb": {}}, None),
        (None, None),
    ],
)
def test_the_gateway_says_when_it_took_the_request(context: Mapping[str, Any] | None, at: float | None) -> None:
    assert gateway_time(context) == at


class OfTheGateway(FakeCall):
    @property
    def gateway(self) -> Mapping[str, Any]:
        return {"requestTimeEpoch": (NOW - 2) * 1000}


def test_who_is_in_front_is_believed_where_the_settings_say_so() -> None:
    call = FakeCall("/orders", x_request_start=f"t={NOW - 3:.3f}")
    assert arrival(trusts_headers=True)(call, NOW) == 3.0
    assert arrival(trusts_headers=False)(call, NOW) is None
    assert arrival(trusts_headers=True)(FakeCall("/", x_queue_start=f"{NOW * 1000 - 500:.0f}"), NOW) == 0.5
    assert arrival(trusts_headers=True)(FakeCall("/orders"), NOW) is None


def test_the_gateway_is_believed_without_being_asked_for() -> None:
    for trusts in (True, False):
        assert arrival(trusts_headers=trusts)(OfTheGateway("/", x_request_start=f"t={NOW - 9}"), NOW) == 2.0


@pytest.mark.parametrize("ago", [-0.1, LONGEST_SECONDS + 1])
def test_a_clock_that_goes_wrong_is_not_believed(ago: float) -> None:
    assert arrival(trusts_headers=True)(FakeCall("/", x_request_start=f"t={NOW - ago:.3f}"), NOW) is None
