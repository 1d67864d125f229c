"""Experiments with parameters of every type that there is: nothing that shows experiments may know one from another."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, cast

from pydantic import Field

from chalicelib.experiments import base
from chalicelib.faults.base import Fault
from chalicelib.faults.wait import Wait


class WithoutParameters(base.Experiment):
    """Do nothing, and need nothing for it."""

    name = "without_parameters"

    class Parameters(base.Parameters):
        pass

    def faults(self, parameters: Any) -> Iterator[Fault]:
        yield Wait(seconds=0.0)


class OfEveryType(WithoutParameters):
    """Do nothing, with parameters of every type."""

    name = "of_every_type"

    class Parameters(base.Parameters):
        mood: Literal["calm", "wild"] = Field("calm", description="One of several words.", examples=["wild"])
        way: Literal["up", "down"] = Field(
            default=cast("Literal['up', 'down']", None), description="One that is not set.", examples=["down"]
        )
        is_loud: bool = Field(default=False, description="Whether it is loud.")
        is_kind: bool = Field(default=True, description="Whether it is kind.")
        offset_seconds: float = Field(
            -1.5,
            ge=-3600,
            le=3600,
            description="A number that may be negative.",
            examples=[-60.0],
            json_schema_extra={"unit": "seconds"},
        )
        floor: int = Field(-2, gt=-4, lt=4, description="A whole number that may be negative.", examples=[-3])
        words: list[Annotated[str, Field(max_length=9)]] = Field(
            default=cast("list[str]", None),
            min_length=1,
            max_length=3,
            description="Some words.",
            examples=[["a", "b"]],
        )
        numbers: list[int] = Field(default=cast("list[int]", None), description="Some numbers.", examples=[[1, 2]])
        note: str = Field(
            default=cast("str", None), min_length=1, max_length=40, description="A text.", examples=["as it is"]
        )


class OfTheSameNames(WithoutParameters):
    """Do nothing, with parameters that others have with another type."""

    name = "of_the_same_names"

    class Parameters(base.Parameters):
        mood: int = Field(3, ge=1, le=5, description="A number here, a word elsewhere.", examples=[4])
        floor: float = Field(0.5, ge=0, le=1, description="A share here.", json_schema_extra={"unit": "share"})
        delay_seconds: int = Field(
            7, ge=7, le=9, description="A whole number here.", json_schema_extra={"unit": "seconds"}
        )
        message: Literal["good", "bad"] = Field("good", description="One of two words here.")
        needed: str = Field(min_length=1, max_length=20, description="Has no default.", examples=["it"])


ODD: tuple[type[base.Experiment], ...] = (WithoutParameters, OfEveryType, OfTheSameNames)


def least(experiment: base.Experiment) -> dict[str, Any]:
    """What its start must say: an example of each parameter that has no default."""
    schema = experiment.Parameters.model_json_schema()
    return {name: schema["properties"][name]["examples"][0] for name in schema.get("required", ())}


def examples(experiment: base.Experiment) -> Iterator[dict[str, Any]]:
    """What its start may say, one parameter at a time: each as its example has it."""
    for name, field in experiment.Parameters.model_fields.items():
        for example in field.examples or ():
            yield {**least(experiment), name: example}
