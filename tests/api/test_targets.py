"""Targets that cannot be are refused by the start: each with what is wrong, what is allowed, and what to do."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from chalicelib.api.problems import Problem
from chalicelib.api.requests import options_schema, start_parameters
from chalicelib.errors import InvalidParameters
from chalicelib.experiments.catalogue import installed
from chalicelib.paths import problem_of
from chalicelib.runs.options import StartOptions
from chalicelib.runs.target import CRITERIA, LONGEST_TARGET, Target
from tests.api.conftest import Control

LATENCY = installed()["latency_injection"]
METHOD = "a list of 1 to 20, each an HTTP method in upper case, such as GET"
PATH = "a decoded path such as /orders, or /orders/* for everything below it"
FUNCTION = "the name of a Lambda function, in which * is any characters, such as billing-*"
CONDITION = 'a text that it equals, an object with one of equals, prefix, glob, exists, such as {"prefix": "a"}'
HEADERS = "an object of 1 to 10 headers, each with a condition"
HEADER = "an object in which each name is a header's name, such as x-tenant"
QUERY = "an object of 1 to 10 fields of the query, each with a condition"
QUERY_NAME = "an object in which each name is a name in the query, such as debug"
SHARE = "a number greater than 0 and at most 100 (percent)"
NO_TEXT = "it is no text; send numbers, true and false in quotes"


def of_header(condition: Any, name: str = "x-tenant") -> dict[str, Any]:
    return {"headers": {name: condition}}


REFUSALS: dict[str, tuple[Any, str, str, str]] = {
    # what is sent, the field, what is allowed, what was got and what to do
    "nothing": ({}, "target", "an object with methods or paths or", "an empty one"),
    "no object": (50, "target", "an object with methods, paths,", "50"),
    "a list": ([{"paths": ["/"]}], "target", "an object with methods, paths,", "a list of 1"),
    "an unknown criterion": ({"hosts": ["a"]}, "target.hosts", "use one of methods, paths, headers,", "known field"),
    "a criterion in the singular": ({"path": "/"}, "target.path", "use one of methods, paths, headers,", "known field"),
    "an empty list": ({"methods": []}, "target.methods", METHOD, "a list of 0"),
    "null": ({"paths": None}, "target.paths", PATH, "null"),
    "a text for a list": ({"methods": "GET"}, "target.methods", METHOD, 'the string "GET"'),
    "lower case": ({"methods": ["get"]}, "target.methods", METHOD, '"get" as item 1: methods are in upper case; send'),
    "two methods in one": (
        {"methods": ["GET", "PUT,POST"]},
        "target.methods",
        METHOD,
        "as item 2: a method has letter",
    ),
    "a number as method": ({"methods": [7]}, "target.methods", METHOD, "7 as item 1"),
    "too many": ({"paths": ["/a"] * 21}, "target.paths", "a list of 1 to 20", "a list of 21"),
    "part of a segment": ({"paths": ["/a*"]}, "target.paths", PATH, '"/a*" as item 1: * stands for a whole segment; '),
    "no slash": ({"paths": ["orders"]}, "target.paths", PATH, "it does not begin with a slash; send the path alone"),
    "an address": (
        {"paths": ["http://a/b"]},
        "target.paths",
        PATH,
        "it does not begin with a slash; send the path alo",
    ),
    "a query in a path": (
        {"paths": ["/a?b=1"]},
        "target.paths",
        PATH,
        "it has a query or a fragment; send that as que",
    ),
    "an encoded path": ({"paths": ["/caf%C3%A9"]}, "target.paths", PATH, "it is percent-encoded; send it decoded"),
    "two slashes": ({"paths": ["/a//b"]}, "target.paths", PATH, "it has a segment without characters; leave one slash"),
    "dots": ({"paths": ["/a/../b"]}, "target.paths", PATH, "clients resolve . and .. before they ask; send the path t"),
    "a slash after all": (
        {"paths": ["/a/*/"]},
        "target.paths",
        PATH,
        "at the end * is everything below; leave the last",
    ),
    "an escape": (
        {"paths": ["/\x1b[2J"]},
        "target.paths",
        PATH,
        '"/\\u001b[2J" as item 1: it has control characters; ',
    ),
    "a long path": ({"paths": ["/" * 201]}, "target.paths", PATH, "it has 201 characters; send 1 to 200"),
    "no path": ({"paths": ["/a", ""]}, "target.paths", PATH, '"" as item 2: it has 0 characters; send 1 to 200'),
    "an endpoint of this module": (
        {"paths": ["/a", "/chaos_experiments/start"]},
        "target.paths",
        "paths of the application, or /chaos_experiments/test",
        '"/chaos_experiments/start": endpoints of this module are never hit; leave it out',
    ),
    "below an endpoint": (
        {"paths": ["/chaos_experiments/list/*"]},
        "target.paths",
        "paths of the ",
        "never hit; leave",
    ),
    "no headers": ({"headers": {}}, "target.headers", HEADERS, "it has 0; send 1 to 10, or leave the field out"),
    "a list of headers": ({"headers": ["x-beta"]}, "target.headers", HEADERS, "a list of 1"),
    "many headers": (
        {"headers": {f"x-{n}": "1" for n in range(11)}},
        "target.headers",
        HEADERS,
        "it has 11; send 1 to",
    ),
    "a name with a blank": (
        of_header("a", "x tenant"),
        "target.headers",
        HEADER,
        "no header has such a name; look for",
    ),
    "a name with a colon": (
        of_header("a", "x-tenant:"),
        "target.headers",
        HEADER,
        "leave the colon out; the value is a",
    ),
    "no name": (of_header("a", ""), "target.headers", HEADER, "it has 0 characters; send 1 to 64"),
    "a long name": (of_header("a", "x" * 65), "target.headers", HEADER, "it has 65 characters; send 1 to 64"),
    "a name twice": (
        {"headers": {"X-A": "1", "x-a": "2"}},
        "target.headers",
        HEADERS,
        "a name twice, since capitals ma",
    ),
    "a credential": (
        of_header("Bearer a", "Authorization"),
        "target.headers",
        HEADERS,
        'send {"exists": true}, or use',
    ),
    "two kinds": (
        of_header({"exists": True, "prefix": "a"}),
        "target.headers.x-tenant",
        CONDITION,
        "it has exists and prefix; keep one of equals, prefix, glob, exists, or send a list where any may match",
    ),
    "an unknown kind": (
        of_header({"regex": "a"}),
        "target.headers.x-tenant",
        CONDITION,
        "('regex'); use one of equals",
    ),
    "no kind": (
        of_header({}),
        "target.headers.x-tenant",
        CONDITION,
        "an object: it has nothing; keep one of equals, pr",
    ),
    "no conditions": (of_header([]), "target.headers.x-tenant", CONDITION, "a list of 0: send 1 to 20 conditions"),
    "many conditions": (
        of_header(["a"] * 21),
        "target.headers.x-tenant",
        CONDITION,
        "a list of 21: send 1 to 20 condit",
    ),
    "a list in a list": (of_header(["a", ["b"]]), "target.headers.x-tenant", CONDITION, f"item 2: {NO_TEXT}"),
    "a number": (of_header(7), "target.headers.x-tenant", CONDITION, f"7: {NO_TEXT}"),
    "a number as prefix": (of_header({"prefix": 7}), "target.headers.x-tenant", CONDITION, f"prefix: {NO_TEXT}"),
    "yes": (of_header({"exists": "yes"}), "target.headers.x-tenant", CONDITION, "exists is true or false"),
    "an empty text": (of_header(""), "target.headers.x-tenant", CONDITION, '"": it has 0 characters; send 1 to 200'),
    "an empty prefix": (
        of_header({"prefix": ""}),
        "target.headers.x-tenant",
        CONDITION,
        "it has 0 characters; send 1 ",
    ),
    "a long text": (of_header("a" * 201), "target.headers.x-tenant", CONDITION, "it has 201 characters; send 1 to 200"),
    "a blank before": (
        of_header(" a"),
        "target.headers.x-tenant",
        CONDITION,
        "it begins with a blank, which no server ",
    ),
    "a blank after": (
        of_header({"glob": "a* "}),
        "target.headers.x-tenant",
        CONDITION,
        "it ends with a blank, which no",
    ),
    "a letter of no header": (
        of_header("\u00e9"),
        "target.headers.x-tenant",
        CONDITION,
        "compared in ASCII alone; use gl",
    ),
    "a line break": (
        of_header("a\r\nb"),
        "target.headers.x-tenant",
        CONDITION,
        "it has control characters; leave them o",
    ),
    "there and not there": (
        of_header([{"exists": True}, {"exists": False}]),
        "target.headers.x-tenant",
        CONDITION,
        "every request has it or lacks it, so this leaves none out; keep one of the two",
    ),
    "no query": ({"query": {}}, "target.query", QUERY, "it has 0; send 1 to 10, or leave the field out"),
    "a query as text": ({"query": "debug=1"}, "target.query", QUERY, 'the string "debug=1"'),
    "a question mark": (
        {"query": {"?debug": "1"}},
        "target.query",
        QUERY_NAME,
        "send the name alone, without ?, & and =",
    ),
    "a name and a value": (
        {"query": {"debug=1": "1"}},
        "target.query",
        QUERY_NAME,
        "send the name alone, without ?, & ",
    ),
    "an encoded name": (
        {"query": {"a%20b": "1"}},
        "target.query",
        QUERY_NAME,
        "it is percent-encoded; send it decoded",
    ),
    "true": ({"query": {"debug": True}}, "target.query.debug", CONDITION, f"true: {NO_TEXT}"),
    "an ARN": (
        {"functions": ["arn:aws:lambda:a"]},
        "target.functions",
        FUNCTION,
        "send the name of the function alone, n",
    ),
    "no function's name": (
        {"functions": ["a b"]},
        "target.functions",
        FUNCTION,
        "such names have letters, digits, -, . and",
    ),
    "no share": ({"environments_percentage": 0}, "target.environments_percentage", SHARE, "0"),
    "more than all": ({"environments_percentage": 101}, "target.environments_percentage", SHARE, "101"),
    "a share as text": ({"environments_percentage": "50"}, "target.environments_percentage", SHARE, 'the string "50"'),
    "too long altogether": (
        {"paths": [f"/{number}{'x' * 190}" for number in range(11)]},
        "target",
        "an object with methods, paths,",
        f"send at most {LONGEST_TARGET}, for example by a glob or a prefix",
    ),
}


KEYS = {
    "neither": ({}, "sticky", "an object with header, query", "it has neither or both; send header or query"),
    "both": ({"header": "a", "query": "b"}, "sticky", "an object with header, query", "it has neither or both; send "),
    "a header with a colon": ({"header": "a:"}, "sticky.header", "a header's name, such as x-tenant", "leave the colo"),
    "a name and a value": ({"query": "a=1"}, "sticky.query", "a name in the query, such as debug", "send the name al"),
    "a cookie": ({"query": "a", "cookie": "b"}, "sticky.cookie", "use one of header, query", "is not a known field"),
}


@pytest.mark.parametrize(("key", "field", "allowed", "got"), KEYS.values(), ids=KEYS)
def test_a_key_that_cannot_be_is_refused_in_words(
    control: Control, key: Any, field: str, allowed: str, got: str
) -> None:
    refused = control.post("/start", json.dumps({"experiment_name": "latency_injection", "sticky": key}))
    (problem,) = refused.content["details"]
    assert (refused.status, problem["field"]) == (400, field)
    assert allowed in problem["problem"]
    assert got in problem["problem"]


@pytest.mark.parametrize(("target", "field", "allowed", "got"), REFUSALS.values(), ids=REFUSALS)
def test_a_target_that_cannot_be_is_refused_in_words(
    control: Control, target: Any, field: str, allowed: str, got: str
) -> None:
    refused = control.post("/start", json.dumps({"experiment_name": "latency_injection", "target": target}))
    assert (refused.status, refused.content["code"]) == (400, "invalid_parameters")
    (problem,) = refused.content["details"]
    assert problem["field"] == field
    assert allowed in problem["problem"]
    assert got in problem["problem"]
    assert problem["allowed"] in problem["problem"]
    assert refused.content["error_message"] == f"{field} {problem['problem']}."
    assert not control.store.runs


def test_there_are_at_least_thirty_kinds() -> None:
    assert len({got for _, _, _, got in REFUSALS.values()}) >= 30


def test_all_problems_of_a_target_stand_in_one_answer_and_none_has_a_control_character(control: Control) -> None:
    target = {
        "methods": ["get", "GET", "a"],
        "paths": ["/a*"],
        "headers": {"x-a": 1, "x\x1b[2J": "\x00", "x-b": {"exists": False}},
        "query": {"debug": None},
    }
    refused = control.post("/start", json.dumps({"experiment_name": "latency_injection", "target": target}))
    assert [problem["field"] for problem in refused.content["details"]] == [
        "target.methods",
        "target.methods",
        "target.paths",
        "target.headers.x-a",
        "target.headers",
        "target.headers.x\\u001b[2J",
        "target.query.debug",
    ]
    assert refused.content["error_message"].isprintable()


def test_endpoints_are_where_the_application_has_them() -> None:
    def start(path: str) -> Any:
        body = {"experiment_name": "latency_injection", "target": {"paths": [path]}}
        return start_parameters(body, LATENCY, {}, prefix="/ops/chaos")

    for path in ("/ops/chaos/start", "/ops/chaos", "/ops/chaos/", "/ops/chaos/console/*"):
        with pytest.raises(InvalidParameters, match="paths of the application, or /ops/chaos/test; got"):
            start(path)
    for path in ("/ops/chaos/test", "/ops/chaos/*", "/ops/*", "/ops", "/ops/chaos2", "/chaos_experiments/start", "/*"):
        start(path)


@pytest.mark.parametrize(
    "target",
    [
        {"methods": ["GET", "M-SEARCH"], "paths": ["/", "/orders/*/items/*", "/my orders", "/caf\u00e9"]},
        {"headers": {"x-tenant": "acme", "x-beta": {"exists": True}, "user-agent": {"prefix": "Mozilla/5.0 ("}}},
        {"headers": {"Authorization": {"exists": False}, "x-a": ["a", {"glob": "*b*"}, {"exists": False}]}},
        {"query": {"debug": "1", "q": {"glob": " \u00e9*"}, "user[name]": ["a"]}, "functions": ["billing-*", "*"]},
        *({name: each} for name in CRITERIA for each in Target.model_json_schema()["properties"][name]["examples"]),
    ],
    ids=str,
)
def test_what_can_be_is_started_and_echoed(control: Control, target: dict[str, Any]) -> None:
    body = {"experiment_name": "latency_injection", "target": target}
    started = control.post("/start", json.dumps(body))
    assert started.status == 200, started.content
    shown = started.content["resultset"]["target"]
    assert shown == {**target, **({"headers": shown["headers"]} if "headers" in target else {})}
    assert Draft202012Validator(options_schema(StartOptions)).is_valid({"target": shown})


def test_each_criterion_is_published_with_a_description_and_examples() -> None:
    for name, part in Target.model_json_schema()["properties"].items():
        assert part["description"].endswith("."), name
        assert part["examples"], name


# The schema says what is refused

ODD = st.text(alphabet="aZ/*.%2:=&? \n\x7f\u00e9-_", max_size=5)
WORDS = st.sampled_from(["GET", "/orders/*", "/a/*/b", "a", "x-tenant", "", "/", "*", "/*/", "/%41", "a\n", "a "]) | ODD
ONE: st.SearchStrategy[Any] = (
    WORDS
    | st.dictionaries(
        st.sampled_from(["equals", "prefix", "glob", "exists", "regex"]), WORDS | st.booleans(), max_size=2
    )
    | st.sampled_from([None, 1, True])
)
CONDITIONS = st.dictionaries(WORDS, ONE | st.lists(ONE, max_size=3), max_size=2)
LISTS = st.lists(WORDS, max_size=3)
TARGETS = st.fixed_dictionaries(
    {},
    optional={
        "methods": LISTS,
        "paths": LISTS,
        "functions": LISTS,
        "headers": CONDITIONS,
        "query": CONDITIONS,
        "event": CONDITIONS,
    },
)
SCHEMA = Draft202012Validator(options_schema(StartOptions)["properties"]["target"])


@settings(max_examples=400, deadline=None, database=None)
@given(TARGETS)
def test_the_schema_allows_what_is_started_and_a_path_is_one_of_the_settings_too(target: dict[str, Any]) -> None:
    problems = problems_of(target)
    is_beyond_it = bool(problems) and all("kind" in each for each in problems)
    assert SCHEMA.is_valid(target) is (not problems or is_beyond_it), problems
    assert problems or not any(map(problem_of, target.get("paths", ())))


def problems_of(target: dict[str, Any]) -> Sequence[Problem]:
    try:
        start_parameters({"experiment_name": "latency_injection", "target": target}, LATENCY, {})
    except InvalidParameters as error:
        return error.details
    return ()
