"""Prefixes and excluded paths that cannot be are refused where the application names them, not when it serves."""

from collections.abc import Callable
from typing import Any

import chalice
import fastapi
import flask
import pytest

from chalicelib.frameworks import chalice as for_chalice
from chalicelib.frameworks import fastapi as for_fastapi
from chalicelib.frameworks import flask as for_flask

ADD: dict[str, Callable[..., Any]] = {
    "chalice": lambda **options: for_chalice.ChaosExperiments(chalice.Chalice("host"), **options),
    "flask": lambda **options: for_flask.ChaosExperiments(flask.Flask("host"), **options),
    "fastapi": lambda **options: for_fastapi.ChaosExperiments(fastapi.FastAPI(), **options),
}


@pytest.fixture(params=ADD)
def add(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return ADD[request.param]


@pytest.mark.parametrize("path", ["", "health", "/a//b", "//health", "/health?deep", "/health#deep", "/or*ders", "*"])
def test_an_excluded_path_that_cannot_be_is_refused_by_its_value(add: Callable[..., Any], path: str) -> None:
    with pytest.raises(ValueError, match="excluded_paths") as refused:
        add(excluded_paths=["/good", path])
    assert repr(path) in str(refused.value)


def test_a_text_is_no_list_of_excluded_paths(add: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="excluded_paths"):
        add(excluded_paths="/health")


@pytest.mark.parametrize("prefix", ["", "/", "chaos", "/chaos/", "//chaos", "/a//b", "/chaos?", "/chaos#", "/cha*os"])
def test_a_prefix_that_cannot_be_is_refused_by_its_value(add: Callable[..., Any], prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix") as refused:
        add(prefix=prefix)
    assert repr(prefix) in str(refused.value)


@pytest.mark.parametrize("path", ["/", "/health", "/orders/*", "/*", "/café", "/a/b/c-d_e.f~g"])
def test_others_are_taken(add: Callable[..., Any], path: str) -> None:
    assert add(excluded_paths=[path]) is not None


@pytest.mark.parametrize("prefix", ["/chaos", "/v1/chaos_experiments", "/internal/chaos-experiments"])
def test_other_prefixes_are_taken(add: Callable[..., Any], prefix: str) -> None:
    assert add(prefix=prefix) is not None
