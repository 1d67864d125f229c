import pytest

from chalicelib.api.requests import parse, schema, start_parameters
from chalicelib.errors import InvalidJson
from chalicelib.experiments.catalogue import installed

LATENCY = installed()["latency_injection"]


def test_a_good_body_is_an_object() -> None:
    assert parse('{"é": 1}'.encode(), {"content-type": "application/json; charset=utf-8"}) == {"é": 1}


def test_a_refusal_says_where_the_json_breaks() -> None:
    with pytest.raises(InvalidJson, match="line 1 column 6"):
        parse(b'{"a":}', {"content-type": "application/json"})


def test_parameters_that_are_left_out_take_their_defaults() -> None:
    options, parameters = start_parameters({"experiment_name": "latency_injection"}, LATENCY, {})
    assert (options.restart, options.reason) == (False, None)
    assert parameters == LATENCY.Parameters()


def test_the_schema_carries_the_limits_that_hold_here() -> None:
    assert schema(LATENCY, {})["properties"]["delay_seconds"]["maximum"] == 60
    assert schema(LATENCY, {"delay_seconds": 5.0})["properties"]["delay_seconds"]["maximum"] == 5.0
    assert schema(LATENCY, {})["properties"]["delay_seconds"]["maximum"] == 60
