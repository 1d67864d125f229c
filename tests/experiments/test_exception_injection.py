from typing import Any

import pytest
from pydantic import ValidationError

from chalicelib.experiments.exception_injection import ExceptionInjection
from chalicelib.faults.base import Unavailable
from chalicelib.faults.exception import RaiseException


def test_the_defaults_are_pinned() -> None:
    assert ExceptionInjection.Parameters().model_dump(exclude_none=True) == {
        "exception": "RuntimeError",
        "duration_seconds": 30.0,
        "percentage": 100.0,
    }
    assert list(ExceptionInjection().faults(ExceptionInjection.Parameters())) == [
        RaiseException(exception=RuntimeError, arguments=("Chaos experiment: injected exception",))
    ]


def test_the_exception_has_the_message() -> None:
    parameters = ExceptionInjection.Parameters(exception="json.JSONDecodeError", message="Out of stock")
    (fault,) = ExceptionInjection().faults(ExceptionInjection.Parameters.model_validate(parameters.model_dump()))
    assert isinstance(fault, RaiseException)
    assert fault.named == {"msg": "Out of stock", "doc": "", "pos": 0}


NO_EXCEPTIONS = ["SystemExit", "StopIteration", "ExceptionGroup", "Nothing", "print"]
NO_NAMES = ["", ".", "a.", ".a", "a b", "a-b", "Größe", 1, "a." * 100 + "B"]


@pytest.mark.parametrize("exception", [*NO_EXCEPTIONS, *NO_NAMES])
def test_what_can_be_no_exception_is_refused(exception: Any) -> None:
    with pytest.raises(ValidationError, match="exception"):
        ExceptionInjection.Parameters(exception=exception)


def test_a_refusal_says_what_is_wrong_and_what_is_allowed() -> None:
    with pytest.raises(ValidationError, match=r"such as TimeoutError.*SystemExit is no subclass of Exception"):
        ExceptionInjection.Parameters(exception="SystemExit")


@pytest.mark.parametrize("message", ["", "a\nb", "\x1b[1m", "x" * 201])
def test_a_message_is_a_line(message: str) -> None:
    with pytest.raises(ValidationError, match="message"):
        ExceptionInjection.Parameters(message=message)


def test_of_a_module_each_process_finds_out_whether_it_has_the_class() -> None:
    parameters = ExceptionInjection.Parameters(exception="no_such.module.Class")
    with pytest.raises(Unavailable, match=r"no_such\.module is not imported"):
        list(ExceptionInjection().faults(parameters))
