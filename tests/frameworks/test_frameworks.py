import chalice
import fastapi
import flask
import pytest

from chalicelib.frameworks import chalice as for_chalice
from chalicelib.frameworks import fastapi as for_fastapi
from chalicelib.frameworks import flask as for_flask

APPLICATIONS = {
    "chalice": lambda: chalice.Chalice("shop"),
    "flask": lambda: flask.Flask("shop"),
    "fastapi": fastapi.FastAPI,
}
CLASSES = {"chalice": for_chalice, "flask": for_flask, "fastapi": for_fastapi}


@pytest.mark.parametrize("given", APPLICATIONS)
@pytest.mark.parametrize("expected", CLASSES)
def test_an_application_of_another_framework_is_refused_with_where_its_own_class_is(expected: str, given: str) -> None:
    make = CLASSES[expected].ChaosExperiments  # type: ignore[attr-defined]
    app = APPLICATIONS[given]()
    if given == expected:
        make(app)
        return
    with pytest.raises(TypeError) as refused:
        make(app)
    message = str(refused.value)
    assert message.startswith(f"This ChaosExperiments takes a {expected} application; got {given}.")
    assert message.endswith(f"Import ChaosExperiments from chalicelib.frameworks.{given}.")


def test_what_is_no_application_is_refused_with_what_there_is() -> None:
    with pytest.raises(TypeError, match=r"got builtins\.str\. Supported: chalice, flask, fastapi"):
        for_flask.ChaosExperiments("app")  # type: ignore[arg-type]
