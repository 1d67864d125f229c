"""What is typed for a header or a value of the query, and what is sent."""

from typing import Any

import pytest

from chalicelib.cli.conditions import in_words, kinds, read, read_all, spellings, spelt, takes_several
from chalicelib.runs.condition import IN_HEADER, condition_schema
from chalicelib.runs.target import Target

SCHEMA = condition_schema(IN_HEADER)
KNOWN = kinds(SCHEMA)

TYPED: list[tuple[str, str, Any]] = [
    ("x-tenant=acme", "x-tenant", "acme"),
    ("x-tenant=a=b", "x-tenant", "a=b"),
    ("user-agent=curl/*", "user-agent", {"prefix": "curl/"}),
    ("user-agent=*Chrome/9*", "user-agent", {"glob": "*Chrome/9*"}),
    ("x-region=eu-*-1", "x-region", {"glob": "eu-*-1"}),
    ("x-beta", "x-beta", {"exists": True}),
    ("x-beta=*", "x-beta", {"exists": True}),
    ("x-beta!", "x-beta", {"exists": False}),
    ("x-note==five*", "x-note", "five*"),
    ("x-note===", "x-note", "="),
]


@pytest.mark.parametrize(("typed", "name", "condition"), TYPED)
def test_a_condition_is_typed_in_one_word(typed: str, name: str, condition: Any) -> None:
    assert read(typed, KNOWN) == (name, condition)
    assert Target.model_validate({"headers": {name: condition}}).headers == {name: condition}


@pytest.mark.parametrize(("typed", "name", "condition"), TYPED)
def test_a_condition_is_shown_so_that_it_can_be_typed(typed: str, name: str, condition: Any) -> None:
    assert read(spelt(name, condition), KNOWN) == (name, condition)


def test_the_same_name_again_is_either() -> None:
    typed = ["x-tenant=acme", "x-tenant=beta*", "x-beta"]
    read_ones = read_all(typed, KNOWN, several=takes_several(SCHEMA))
    assert read_ones == {"x-tenant": ["acme", {"prefix": "beta"}], "x-beta": {"exists": True}}
    assert spelt("x-tenant", read_ones["x-tenant"]) == "x-tenant=acme or x-tenant=beta*"
    with pytest.raises(ValueError, match="has 'x-tenant' more than once"):
        read_all(typed, KNOWN)


@pytest.mark.parametrize("typed", ["", "=acme", "!", "=", "!="])
def test_what_names_nothing_is_refused_with_what_can_be_typed(typed: str) -> None:
    if typed == "!=":
        assert read(typed, KNOWN) == ("!", "")
        return
    with pytest.raises(ValueError, match=r"must be NAME=VALUE, .* or NAME! ") as refused:
        read(typed, KNOWN)
    assert str(refused.value).endswith(f"got {typed!r}.")


def test_what_the_application_does_not_know_is_no_condition_but_a_text() -> None:
    known = kinds({"anyOf": [{"type": "string"}, {"type": "object", "properties": {"prefix": {}}}]})
    assert [read(f"n={text}", known)[1] for text in ("a*", "a*b", "*")] == [{"prefix": "a"}, "a*b", {"prefix": ""}]
    assert spellings(known) == "NAME=VALUE or NAME=VALUE*"
    with pytest.raises(ValueError, match="must be NAME=VALUE or"):
        read("n", known)
    assert read("n==a*", ()) == ("n", "=a*")


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"exists": True}, "is there"),
        ({"exists": False}, "is not there"),
        ({"prefix": "a"}, "a*"),
        ({"glob": "a*b"}, "a*b"),
        ({"equals": "a"}, "a"),
    ],
)
def test_a_condition_in_words(condition: dict[str, Any], expected: str) -> None:
    assert in_words(condition) == expected


def test_what_a_newer_version_has_is_shown_as_it_is() -> None:
    assert spelt("n", {"suffix": "z"}) == "n={'suffix': 'z'}"
