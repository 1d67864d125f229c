"""A second module in the same application says clearly that there is one."""

from collections.abc import Callable
from typing import Any

import chalice
import fastapi
import flask
import pytest

from chalicelib.frameworks import chalice as for_chalice
from chalicelib.frameworks import fastapi as for_fastapi
from chalicelib.frameworks import flask as for_flask

APPLICATIONS: dict[str, tuple[Callable[[], Any], Callable[..., Any]]] = {
    "chalice": (lambda: chalice.Chalice("host"), for_chalice.ChaosExperiments),
    "flask": (lambda: flask.Flask("host"), for_flask.ChaosExperiments),
    "fastapi": (fastapi.FastAPI, for_fastapi.ChaosExperiments),
}


@pytest.mark.parametrize("framework", APPLICATIONS)
@pytest.mark.parametrize("options", [{}, {"prefix": "/another"}], ids=["the same prefix", "another prefix"])
def test_a_second_module_in_one_application_is_refused(framework: str, options: dict[str, str]) -> None:
    make, add = APPLICATIONS[framework]
    app = make()
    add(app)
    with pytest.raises((ValueError, RuntimeError), match=r"application already has"):
        add(app, **options)


@pytest.mark.parametrize("framework", ["flask", "fastapi"])
def test_so_it_is_where_it_comes_by_init_app(framework: str) -> None:
    make, add = APPLICATIONS[framework]
    app = make()
    module = add()
    module.init_app(app)
    with pytest.raises((ValueError, RuntimeError), match=r"application already has"):
        module.init_app(app)


@pytest.mark.parametrize("framework", APPLICATIONS)
def test_two_applications_may_each_have_one(framework: str) -> None:
    make, add = APPLICATIONS[framework]
    assert add(make()) is not add(make())
