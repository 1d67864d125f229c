import json

from chalicelib.api.http import failure, injected_failure, success
from chalicelib.errors import InvalidParameters
from chalicelib.faults.base import Answer


def test_the_envelope_of_a_success() -> None:
    response = success({"a": 1})
    assert json.loads(response.body) == {"error": False, "error_message": None, "resultset": {"a": 1}}
    assert response.all_headers == {"Content-Type": "application/json", "Cache-Control": "no-store"}


def test_the_envelope_of_a_failure() -> None:
    response = failure(InvalidParameters("That is wrong.", details=[{"field": "x"}], resultset={"b": 2}))
    assert response.status == 400
    assert json.loads(response.body) == {
        "error": True,
        "error_message": "That is wrong.",
        "code": "invalid_parameters",
        "details": [{"field": "x"}],
        "resultset": {"b": 2},
    }


def test_an_injected_error_looks_like_a_failure_and_says_whose_it_is() -> None:
    response = injected_failure(Answer(500, "injected_error", "Chaos experiment: injected error"), {"X-Chaos-Run": "r"})
    assert response.status == 500
    assert json.loads(response.body)["error_message"] == "Chaos experiment: injected error"
    assert response.all_headers["X-Chaos-Run"] == "r"
