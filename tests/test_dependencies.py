import re
import time
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.dependencies import ALLOWED, LONGEST, PATTERNS, Dependency, pattern_of


@dataclass
class Call:
    """An outgoing call, as far as a text can name it."""

    service: str = ""
    operation: str = ""
    scheme: str = ""
    host: str = ""
    port: int = 0
    path: str = ""


PUT = Call("dynamodb", "PutItem", "https", "dynamodb.eu-west-1.amazonaws.com", 443)


def https(path: str, port: int = 443) -> Call:
    return Call(scheme="https", host="payments.example", port=port, path=path)


PAY = https("/v1/charges")
POSTGRES = Call(host="localhost", port=5432)
LOOP = Call(scheme="http", host="::1", port=8080, path="/")


@pytest.mark.parametrize(
    ("text", "kind", "matched", "missed"),
    [
        ("dynamodb", "aws", [PUT], [Call("dax", "PutItem"), PAY]),
        ("dynamodb:PutItem", "aws", [PUT], [Call("dynamodb", "GetItem"), Call("dynamodb", "putitem")]),
        ("dynamodb:Put*", "aws", [PUT], [Call("dynamodb", "GetItem"), Call("sqs", "PutItem")]),
        ("dynamodb:*", "aws", [PUT, Call("dynamodb", "GetItem")], [Call("sqs", "SendMessage")]),
        ("https://payments.example", "http", [PAY], [Call(scheme="http", host="payments.example", port=443, path="/")]),
        ("https://payments.example/*", "http", [PAY], [https("/", 8443)]),
        ("https://Payments.Example/v1/*", "http", [PAY], [https("/v1")]),
        ("https://payments.example/V1/*", "http", [], [PAY]),
        ("https://payments.example/v1/charges", "http", [PAY], [https("/v1/charges/1")]),
        ("https://*.payments.example:443/*/charges", "http", [], [PAY]),
        ("https://*example:443/*/charges", "http", [PAY], []),
        ("http://[::1]:8080", "http", [LOOP], [PAY]),
        ("http://payments.example", "http", [Call(scheme="http", host="payments.example", port=80, path="/x")], [PAY]),
        ("payments.example", "host", [PAY], [PUT]),
        ("PAYMENTS.example", "host", [PAY], []),
        ("payments.example:443", "host", [PAY], [Call(host="payments.example", port=80)]),
        ("*.example.com", "host", [Call(host="a.b.example.com")], [Call(host="example.com")]),
        ("*.amazonaws.com", "host", [PUT], [PAY]),
        ("localhost", "host", [POSTGRES], [PAY]),
        ("localhost:5432", "host", [POSTGRES], [Call(host="localhost", port=5433)]),
        ("redis:6379", "host", [Call(host="redis", port=6379)], [Call(host="redis", port=6380)]),
        ("10.0.0.*", "host", [Call(host="10.0.0.9")], [Call(host="10.0.1.9")]),
        ("*", "host", [PUT, PAY, POSTGRES, LOOP], []),
        ("*:443", "host", [PUT, PAY], [POSTGRES]),
        ("[::1]", "host", [LOOP], [PAY]),
        ("[0:0:0:0:0:0:0:1]:8080", "host", [LOOP], [Call(host="::1", port=80)]),
        ("[FE80::A]", "host", [Call(host="fe80::a")], [LOOP]),
    ],
)  # fmt: skip
def test_a_text_names_calls(text: str, kind: str, matched: list[Call], missed: list[Call]) -> None:
    dependency = Dependency(text)
    assert dependency.kind == kind
    assert [call for call in matched if not dependency.matches(call)] == []
    assert [call for call in missed if dependency.matches(call)] == []
    assert re.search(pattern_of("aws", "http", "host"), text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "must have 1 to 200 characters; got 0"),
        ("x" * (LONGEST + 1), "must have 1 to 200 characters; got 201"),
        ("a b", "got 'a b'$"),
        ("dynamodb:", "got 'dynamodb:'$"),
        ("dynamodb\n", "got 'dynamodb.n'$"),
        ("a..b", "got 'a..b'$"),
        ("über.example", "got 'über.example'$"),
        ("DynamoDB:PutItem", "AWS services are in lower case, as botocore calls them$"),
        ("my_host", "a host without a dot needs its port, such as host:5432$"),
        ("example.com:0", "must have a port from 1 to 65535; got 0$"),
        ("example.com:65536", "must have a port from 1 to 65535; got 65536$"),
        ("http://example.com:99999/", "must have a port from 1 to 65535; got 99999$"),
        ("example.com:٣", "got 'example.com:٣'$"),
        ("[:::]", r"must have an address of IPv6 in brackets, such as \[::1\]; got \[:::\]$"),
        ("::1", "got '::1'$"),
        ("http://example.com/a?b=1", "an address has no query and no fragment, which are never looked at"),
        ("http://example.com/#a", "an address has no query and no fragment, which are never looked at"),
        ("http://ada:secret@example.com/", "an address has no user and no password: leave them out$"),
        ("postgres://db:5432/orders", "begins with http:// or https://; of other protocols name host:port$"),
    ],
)
def test_what_names_nothing_is_refused_with_what_is_wrong_and_allowed(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        Dependency(text)
    assert ALLOWED in str(refused.value) or "must have" in str(refused.value)


@settings(deadline=None)
@given(st.text(max_size=20) | st.from_regex(pattern_of("aws", "http", "host"), fullmatch=True))
def test_any_text_names_one_kind_or_is_refused(text: str) -> None:
    try:
        dependency = Dependency(text)
    except ValueError:
        return
    assert [kind for kind, _ in PATTERNS if re.search(pattern_of(kind), text)] == [dependency.kind]
    for call in (PUT, PAY, POSTGRES, LOOP, Call()):
        assert dependency.matches(call) in (True, False)


def test_two_of_one_text_are_equal() -> None:
    assert {Dependency("dynamodb"), Dependency("dynamodb")} == {Dependency("dynamodb")}
    assert Dependency("dynamodb") != "dynamodb"


def test_no_text_of_the_longest_and_no_call_takes_long() -> None:
    """Whatever there are stars in: two hundred characters against ten thousand."""
    texts = ["*a" * 100, "http://" + "*a" * 90, "http://h/" + "*a" * 90, "a." * 99 + "a", "-" * 199 + "!", "a:" * 100]
    call = Call("a" * 10_000, "a" * 10_000, "http", "a" * 10_000 + "b", 80, "/" + "a" * 10_000 + "b")
    began = time.perf_counter()
    for text in texts:
        try:
            matches = Dependency(text).matches
        except ValueError:
            continue
        for _ in range(10):
            matches(call)
    assert time.perf_counter() - began < 1
