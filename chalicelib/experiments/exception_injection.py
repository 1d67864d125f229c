from collections.abc import Iterator
from typing import Annotated, cast

from pydantic import AfterValidator, Field

from ..faults.base import Fault, Unavailable
from ..faults.exception import RaiseException, arguments_for, exception_class
from . import base
from .error_injection import CONTROL, LONGEST_VALUE, one_line

MESSAGE = "Chaos experiment: injected exception"
ALLOWED = "the name of a built-in exception, such as TimeoutError, or package.module.Class"


def _known(name: str) -> str:
    """Of a built-in it is known at once whether it can be raised; of another one each process finds out."""
    if "." in name:
        return name
    try:
        arguments_for(exception_class(name), MESSAGE)
    except (Unavailable, TypeError, ValueError) as error:
        raise base.refusal("exception", f"must be {ALLOWED}: {error}", ALLOWED) from None
    return name


class ExceptionInjection(base.Experiment):
    """Raise an exception in the place of the application's code, which its own error handlers see."""

    name = "exception_injection"

    class Parameters(base.Parameters):
        exception: Annotated[str, AfterValidator(_known)] = Field(
            "RuntimeError",
            max_length=200,
            pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$",
            json_schema_extra={"allowed": ALLOWED},
            description="Class of the exception: a built-in's name, or package.module.Class of a module that the "
            "application has imported. A subclass of Exception. An environment that does not have it hits nothing.",
            examples=["TimeoutError"],
        )
        message: Annotated[str, AfterValidator(one_line)] = Field(
            default=cast("str", None),
            min_length=1,
            max_length=LONGEST_VALUE,
            json_schema_extra={"not": {"pattern": CONTROL}},
            description=f"Message of the exception. If it is not set, {MESSAGE!r}.",
            examples=["Out of stock"],
        )

    def faults(self, parameters: Parameters) -> Iterator[Fault]:
        """Raises Unavailable where this process does not have the class as yet; else where it cannot be raised."""
        chosen: dict[str, str] = parameters.model_dump(exclude_none=True)
        found = exception_class(parameters.exception)
        arguments, named = arguments_for(found, chosen.get("message", MESSAGE))
        yield RaiseException(exception=found, arguments=arguments, named=named)
