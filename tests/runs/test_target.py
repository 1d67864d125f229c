import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from chalicelib.injection.invocation import InvocationCall
from chalicelib.runs.options import StartOptions
from chalicelib.runs.target import CRITERIA, Target
from tests.injection.support import FakeCall

ENVIRONMENTS = [f"environment {number}" for number in range(2000)]
HALF = Target(environments_percentage=50.0)


def chosen(target: Target, run_id: str = "a") -> set[str]:
    return {name for name in ENVIRONMENTS if target.has_environment(run_id, name)}


@pytest.mark.parametrize("percentage", [0.5, 10.0, 50.0, 99.0])
def test_a_share_of_the_environments_is_chosen(percentage: float) -> None:
    share = percentage / 100
    deviation = (share * (1 - share) / len(ENVIRONMENTS)) ** 0.5
    found = len(chosen(Target(environments_percentage=percentage))) / len(ENVIRONMENTS)
    assert abs(found - share) < 4 * deviation


def test_one_hundred_percent_are_all_and_a_larger_share_has_the_environments_of_a_smaller_one() -> None:
    assert chosen(Target(environments_percentage=100.0)) == set(ENVIRONMENTS)
    assert chosen(Target(environments_percentage=20.0)) < chosen(HALF)


def test_the_choice_is_the_same_in_every_process_and_another_one_for_another_run() -> None:
    most, names = Target(environments_percentage=60.0), ("0f4838ce", "5f0c1b2a", "d6f07188")
    assert [most.has_environment("20270115T080000.000Z-1", name) for name in names] == [False, False, True]
    both = len(chosen(HALF, "a") & chosen(HALF, "b")) / len(ENVIRONMENTS)
    assert 0.2 < both < 0.3


@pytest.mark.parametrize(
    "content",
    [{}, [], 50, "50", *({"environments_percentage": each} for each in (0, -1, 101, float("nan"), "50", True, None))],
)
def test_what_is_no_target_is_refused(content: object) -> None:
    with pytest.raises(ValidationError):
        Target.model_validate(content)


def test_a_stored_one_with_a_criterion_of_another_version_is_refused_and_none_is_none() -> None:
    assert Target.stored(None) is None
    assert Target.stored({"environments_percentage": 50}) == HALF
    with pytest.raises(ValueError, match="path"):
        Target.stored({"environments_percentage": 50, "path": "/orders"})


def test_every_field_is_a_criterion_and_it_is_stored_without_nulls() -> None:
    assert set(CRITERIA) == set(Target.model_fields)
    assert json.dumps(StartOptions(target=HALF).content()) == '{"target": {"environments_percentage": 50.0}}'


# Of calls


def call(path: str = "/orders/7", method: str = "GET", *, query: Any = None, **headers: str) -> FakeCall:
    made = FakeCall(path, **headers)
    made.method = method
    made.queries = query or {}
    return made


def matches(content: dict[str, Any], asked: FakeCall) -> bool:
    matcher = Target.model_validate(content).matcher()
    assert matcher
    return matcher.matches(asked)


ACME = {"x_tenant": "acme"}
CASES: list[tuple[dict[str, Any], FakeCall, bool]] = [
    ({"methods": ["GET", "PUT"]}, call(method="PUT"), True),
    ({"methods": ["GET"]}, call(method="HEAD"), False),
    ({"paths": ["/orders/*", "/cart"]}, call(), True),
    ({"paths": ["/orders/*", "/cart"]}, call("/cart/"), True),
    ({"paths": ["/orders/*", "/cart"]}, call("/orders"), False),
    ({"paths": ["/orders/*/items"]}, call("/orders/caf\u00e9/items"), True),
    ({"paths": ["/caf\u00e9/*"]}, call("/caf\u00e9/7"), True),
    ({"paths": ["/*"]}, call("/"), True),
    ({"headers": {"X-Tenant": "acme"}}, call(**ACME), True),
    ({"headers": {"x-tenant": "Acme"}}, call(**ACME), False),
    ({"headers": {"x-tenant": ["beta", {"prefix": "ac"}]}}, call(**ACME), True),
    ({"headers": {"x-tenant": {"exists": True}}}, call(), False),
    ({"headers": {"x-tenant": {"exists": False}}}, call(), True),
    ({"headers": {"x-tenant": [{"exists": False}, "acme"]}}, call(**ACME), True),
    ({"headers": {"x-tenant": "acme", "x-beta": {"exists": True}}}, call(**ACME), False),
    ({"headers": {"x-tenant": {"glob": "*c*e"}}}, call(**ACME), True),
    ({"query": {"debug": "1"}}, call(query={"debug": ["0", "1"]}), True),
    ({"query": {"debug": "1"}}, call(query={"debug": ["0"]}), False),
    ({"query": {"debug": "1"}}, call(), False),
    ({"query": {"debug": {"exists": True}}}, call(query={"debug": [""]}), True),
    ({"query": {"debug": {"exists": False}}}, call(query={"debug": [""]}), False),
    ({"query": {"debug": {"exists": False}}}, call(), True),
    ({"methods": ["GET"], "paths": ["/orders/*"], "query": {"a": "1"}}, call(query={"a": ["1"]}), True),
    ({"methods": ["POST"], "paths": ["/orders/*"]}, call(), False),
    ({"methods": ["GET"], "paths": ["/cart"]}, call(), False),
]


@pytest.mark.parametrize(("content", "asked", "expected"), CASES, ids=[str(each[0]) for each in CASES])
def test_a_call_is_in_the_target_if_it_meets_all_criteria(
    content: dict[str, Any], asked: FakeCall, *, expected: bool
) -> None:
    assert matches(content, asked) is expected


def test_each_criterion_says_what_is_allowed_and_what_it_sees() -> None:
    content = {
        "query": {"debug": "1", "region": {"exists": True}},
        "headers": {"X-Tenant": ["acme", {"prefix": "b"}], "x-beta": {"exists": False}},
        "paths": ["/orders/*"],
        "methods": ["GET"],
        "functions": ["billing-*"],
        "environments_percentage": 50,
    }
    asked = call(query={"debug": ["0", "2"]}, **ACME)
    matcher = Target.model_validate(content).matcher("billing-api")
    assert matcher
    found = [(each.name, each.allowed, each.matches(asked), each.seen(asked)) for each in matcher.criteria]
    assert found == [
        ("target.methods", ["GET"], True, "GET"),
        ("target.paths", ["/orders/*"], True, "/orders/7"),
        ("target.headers.x-tenant", ["acme", {"prefix": "b"}], True, "acme"),
        ("target.headers.x-beta", {"exists": False}, True, None),
        ("target.query.debug", "1", False, ["0", "2"]),
        ("target.query.region", {"exists": True}, False, []),
    ]
    json.dumps([each[1:] for each in found])
    assert not matcher.matches(asked)


def test_a_target_of_environments_alone_says_nothing_about_calls() -> None:
    content = {"environments_percentage": 50, "functions": ["a"]}
    assert Target.model_validate(content).matcher("a") is None


@pytest.mark.parametrize(
    ("functions", "function", "expected"),
    [
        (["billing-*"], "billing-api", True),
        (["billing-*"], "api-billing-", False),
        (["orders", "*-api"], "billing-api", True),
        (["orders"], "orders-2", False),
        (["*"], "orders", True),
        (["*"], "", False),
    ],
)
def test_a_function_is_chosen_by_its_name_and_what_is_none_never(
    functions: list[str], function: str, *, expected: bool
) -> None:
    target = Target(functions=functions)
    assert target.has_function(function) is expected
    assert not target.has_function("")
    matcher = target.matcher(function)
    assert (matcher is None or matcher.matches(call())) is expected


def test_functions_and_a_share_of_the_environments_must_both_have_it() -> None:
    both = Target.model_validate({"functions": ["billing-*"], "environments_percentage": 50})
    assert {name for name in ENVIRONMENTS if both.has_environment("a", name, "billing-api")} == chosen(HALF)
    elsewhere = both.matcher("orders")
    assert elsewhere
    assert not elsewhere.matches(call())


def test_work_of_a_name_is_in_the_target_wherever_it_is_done() -> None:
    target = Target(functions=["billing-*", "shop.tasks.*"])
    for function in ("", "orders"):
        matcher = target.matcher(function)
        assert matcher
        assert matcher.matches(InvocationCall("shop.tasks.bill"))
        assert not matcher.matches(InvocationCall("orders"))
        assert not matcher.matches(call("billing-1"))  # a request whose path is like the name


PLACED = {
    "Records": [
        {
            "eventSource": "aws:sqs",
            "body": '{"detail": {"type": "order.placed"}}',
            "messageAttributes": {"tenant": {"stringValue": "acme"}},
        }
    ],
    "detail": {"type": "order.placed", "count": 3, "is_first": True, "nothing": None, "lines": [1, 2]},
}


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ({"Records.0.eventSource": "aws:sqs"}, True),
        ({"Records.0.eventSource": "aws:sqs", "detail.type": {"prefix": "order"}}, True),
        ({"Records.0.eventSource": "aws:sqs", "detail.type": "cart"}, False),
        ({"Records.0.messageAttributes.tenant.stringValue": ["acme", "beta"]}, True),
        ({"Records.0.body.detail.type": {"glob": "*.placed"}}, True),
        ({"Records.1.eventSource": {"exists": True}}, False),
        ({"Records.x": {"exists": False}}, True),
        ({"detail.count": "3"}, True),
        ({"detail.is_first": "true"}, True),
        ({"detail.nothing": {"exists": False}}, True),
        ({"detail.lines": "[1,2]"}, True),
        ({"detail.lines.1": "2"}, True),
        ({"detail": {"glob": '*"order.placed"*'}}, True),
        ({"detail.type.more": {"exists": True}}, False),
        ({"detail.count.more": {"exists": True}}, False),
    ],
    ids=str,
)
def test_an_event_is_in_the_target_by_what_its_paths_lead_to(paths: dict[str, Any], *, expected: bool) -> None:
    matcher = Target.model_validate({"event": paths}).matcher()
    assert matcher
    assert matcher.matches(InvocationCall("orders", PLACED)) is expected
    json.dumps([check.seen(InvocationCall("orders", PLACED)) for check in matcher.criteria])


@pytest.mark.parametrize("event", [None, "text", 3, [], {"Records": "x" * 300_000}, {"Records": [[[]]]}])
def test_an_event_without_the_path_is_not_in_the_target(event: Any) -> None:
    matcher = Target.model_validate({"event": {"Records.0.body.a": {"exists": True}}}).matcher()
    assert matcher
    assert not matcher.matches(InvocationCall("orders", event))
    assert not matcher.matches(call())


def test_what_is_large_in_an_event_is_cut_before_it_is_compared() -> None:
    matcher = Target.model_validate({"event": {"all": {"glob": "*end*"}}}).matcher()
    assert matcher
    assert not matcher.matches(InvocationCall("orders", {"all": ["x" * 5000, "end"]}))


def test_a_target_is_stored_as_it_was_chosen_with_names_of_headers_as_they_are_asked_for() -> None:
    content = {"paths": ["/orders/*"], "headers": {"X-Beta": {"exists": True}}, "query": {"Debug": ["1", "2"]}}
    stored = StartOptions.model_validate({"target": content}).content()["target"]
    assert stored == {**content, "headers": {"x-beta": {"exists": True}}}
    assert Target.stored(stored) == Target.model_validate(content)


# A reference

NAMES = st.sampled_from(["a", "b"])
VALUES = st.text(alphabet="ab", min_size=1, max_size=3)
ONE = (
    VALUES
    | st.builds(lambda kind, text: {kind: text}, st.sampled_from(["equals", "prefix", "glob"]), VALUES | st.just("a*"))
    | st.builds(lambda exists: {"exists": exists}, st.booleans())
)
CONDITIONS = st.dictionaries(NAMES, ONE | st.lists(VALUES, min_size=1, max_size=2), min_size=1, max_size=2)
SEGMENTS = st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=4)
TARGETS = st.fixed_dictionaries(
    {},
    optional={
        "methods": st.lists(st.sampled_from(["GET", "POST"]), min_size=1, max_size=2),
        "paths": st.lists(SEGMENTS.map(lambda each: "/" + "/".join(each)), min_size=1, max_size=3),
        "headers": CONDITIONS,
        "query": CONDITIONS,
    },
).filter(bool)
CALLS = st.builds(
    lambda path, slash, method, query, headers: call("/" + "/".join(path) + slash, method, query=query, **headers),
    st.lists(st.sampled_from(["a", "b"]), max_size=4),
    st.sampled_from(["", "/"]),
    st.sampled_from(["GET", "POST", "HEAD"]),
    st.dictionaries(NAMES, st.lists(VALUES, min_size=1, max_size=2), max_size=2),
    st.dictionaries(NAMES, VALUES, max_size=2),
)


def is_met(content: dict[str, Any], asked: FakeCall) -> bool:
    """The contract, said again without any of the module's code."""
    return (
        asked.method in content.get("methods", [asked.method])
        and any(has_path(path, asked.name) for path in content.get("paths", ["/*"]))
        and all(meets([asked.header(name)], each) for name, each in content.get("headers", {}).items())
        and all(meets(asked.query(name) or [None], each) for name, each in content.get("query", {}).items())
    )


def has_path(path: str, asked: str) -> bool:
    *middle, last = path.split("/")
    parts = "/".join("[^/]+" if part == "*" else part for part in middle)
    end = "/.*" if last == "*" else f"/{last}/*"
    return re.fullmatch(parts + end, asked) is not None


def meets(values: Sequence[str | None], condition: Any) -> bool:
    if isinstance(condition, list):
        return any(meets(values, each) for each in condition)
    ((kind, wanted),) = condition.items() if isinstance(condition, dict) else [("equals", condition)]
    present = [value for value in values if value is not None]
    if kind == "exists":
        return bool(present) is wanted
    pattern = {"equals": re.escape(wanted), "prefix": re.escape(wanted) + ".*"}.get(kind, wanted.replace("*", ".*"))
    return any(re.fullmatch(pattern, value) for value in present)


@settings(max_examples=600, deadline=None, database=None)
@given(TARGETS, CALLS)
def test_matching_agrees_with_a_reference(content: dict[str, Any], asked: FakeCall) -> None:
    assert matches(content, asked) is is_met(content, asked)
