"""Addresses that are about right."""

from typing import Any

import pytest

from chalicelib.cli import commands
from chalicelib.cli.address import address, nearby, published
from chalicelib.cli.context import Selection

HOST = "http://shop.example"
OURS = "chaos_experiments_get_list_experiments"


@pytest.mark.parametrize("url", [HOST, f"{HOST}/", "https://x:8443/v1/chaos_experiments", "http://[::1]:8000/x"])
def test_an_address_is_taken_without_its_last_slash(url: str) -> None:
    assert address(url) == url.rstrip("/")


@pytest.mark.parametrize(
    ("text", "likely"),
    [
        ("localhost:8000/x", "http://localhost:8000/x"),
        ("", "http://localhost:8000/chaos_experiments"),
        ("ftp://x", "http://localhost:8000/chaos_experiments"),
        ("http://", "http://localhost:8000/chaos_experiments"),
        ("http://x/y?z=1", "http://localhost:8000/chaos_experiments"),
    ],
)
def test_what_is_no_address_is_refused_with_one(text: str, likely: str) -> None:
    with pytest.raises(ValueError, match="must be an address") as refused:
        address(text)
    assert str(refused.value) == f"must be an address such as {likely}; got {text!r}."


@pytest.mark.parametrize("url", [HOST, f"{HOST}/api", f"{HOST}/api/chaos_experiments/console"])
def test_the_endpoints_are_looked_for_on_the_same_host_only_and_first_where_it_was_said(url: str) -> None:
    near = list(nearby(url))
    assert near[0] == url
    assert all(each == HOST or each.startswith(f"{HOST}/") for each in near)
    assert len(near) == len(set(near))
    assert f"{url}/chaos_experiments" in near
    assert f"{HOST}/v1/chaos_experiments" in near


def test_a_page_of_the_console_is_near_its_endpoints() -> None:
    assert f"{HOST}/api/chaos_experiments" in nearby(f"{HOST}/api/chaos_experiments/console")


@pytest.mark.parametrize(
    ("content", "url", "expected"),
    [
        ({"paths": {"/chaos_experiments/list": {"get": {"operationId": OURS}}}}, f"{HOST}/chaos_experiments", "same"),
        ({"paths": {"/x/list": {"get": {"operationId": OURS}}}}, f"{HOST}/api/x", "same"),
        ({"paths": {"/": {}, "/v1/x/list": {"get": {"operationId": OURS}}}}, HOST, f"{HOST}/v1/x"),
        ({"code": "module_off"}, f"{HOST}/x", "same"),
        ({"code": "injected_error"}, f"{HOST}/x", ""),
        ({"paths": {"/orders/list": {"get": {"operationId": "list_orders"}}}}, HOST, ""),
        ({"paths": {"/list": None}}, HOST, ""),
        ({"paths": 5}, HOST, ""),
        ({}, HOST, ""),
    ],
)
def test_a_document_says_where_the_endpoints_are(content: dict[str, Any], url: str, expected: str) -> None:
    assert published(content, url) == (url if expected == "same" else expected)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--url=http://h/x?a=b", "--token", "t=="], Selection(url="http://h/x?a=b", token="t==")),
        (["chaos-experiments", "--json", "--profile", "qa"], Selection(profile="qa")),
        (["--token"], Selection()),
        ([], Selection()),
    ],
)
def test_the_application_is_known_before_the_command_is_parsed(words: list[str], expected: Selection) -> None:
    assert commands._selection(words) == expected
