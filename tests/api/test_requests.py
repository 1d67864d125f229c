from collections.abc import Iterator
from typing import Annotated, Any, Self

import pytest
from pydantic import AfterValidator, Field, model_validator

from chalicelib.api.requests import parse, schema, start_parameters
from chalicelib.errors import InvalidJson, InvalidParameters
from chalicelib.experiments import base
from chalicelib.experiments.catalogue import installed
from chalicelib.faults.base import Fault

LATENCY = installed()["latency_injection"]


def _refuse_odd(text: str) -> str:
    if text == "odd":
        raise ValueError("is odd")
    return text


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


class Parameters(base.Parameters):
    """As of another package: its validators say what they like."""

    name: Annotated[str, AfterValidator(_refuse_odd)] = ""
    places: dict[str, int] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.places and not self.name:
            raise ValueError("places need a name")
        return self


class Foreign(base.Experiment):
    name = "foreign"
    Parameters = Parameters

    def faults(self, parameters: Any) -> Iterator[Fault]:
        yield from ()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "odd"}, 'name must be a string; got "odd".'),
        ({"places": {"here": "1"}}, 'places must be an object; got "1" as "here".'),
        ({"places": {"here": 1}}, "parameters cannot be: Value error, places need a name."),
    ],
)
def test_whatever_a_validator_raises_is_a_refusal(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidParameters) as refused:
        start_parameters({"experiment_name": "foreign", **given}, Foreign(), {})
    assert refused.value.message == message


@pytest.mark.parametrize("word", ["Pareto", "lognormal", 1, None])
def test_a_word_that_is_none_of_those_there_are_is_refused_with_these(word: Any) -> None:
    with pytest.raises(InvalidParameters, match="distribution must be one of fixed, uniform, normal, exponential, par"):
        start_parameters({"experiment_name": "latency_injection", "distribution": word}, LATENCY, {})
