import pytest
from pydantic import ValidationError

from chalicelib.runs.key import Key
from tests.injection.support import FakeCall


def call(*values: str, **headers: str) -> FakeCall:
    made = FakeCall("/orders", **headers)
    made.queries = {"user": values} if values else {}
    return made


@pytest.mark.parametrize("name", ["x-user-id", "X-User-Id"])
def test_a_key_is_the_value_of_a_header_whose_name_has_no_capitals(name: str) -> None:
    read = Key(header=name).reader()
    assert read(call(x_user_id="ada")) == "ada"
    assert [read(call(x_user_id="")), read(call()), read(call("ada"))] == [None, None, None]


def test_a_key_is_the_first_value_in_the_query() -> None:
    read = Key(query="user").reader()
    assert [read(call("ada", "bob")), read(call("Ada"))] == ["ada", "Ada"]
    assert [read(call("", "bob")), read(call()), read(call(user="ada"))] == [None, None, None]


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"header": "x-user", "query": "user"},
        {"header": ""},
        {"header": "x user"},
        {"header": "x-user:"},
        {"header": "x-user\n"},
        {"header": "x" * 65},
        {"header": None},
        {"header": 7},
        {"query": ""},
        {"query": "u" * 65},
        {"query": "user=1"},
        {"query": "us\x00er"},
        {"cookie": "session"},
        {"query": "user", "cookie": "session"},
        "x-user",
        None,
    ],
    ids=str,
)
def test_what_is_no_key_is_refused(content: object) -> None:
    with pytest.raises(ValidationError):
        Key.model_validate(content)
    with pytest.raises(ValueError, match="validation error"):
        Key.stored(content)


def test_a_key_is_stored_as_it_was_chosen() -> None:
    for chosen in ({"header": "x-user-id"}, {"query": "user"}):
        key = Key.model_validate(chosen)
        assert key.model_dump(exclude_none=True) == chosen
        assert Key.stored(chosen) == key
