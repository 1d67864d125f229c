"""Wrong usage: what is wrong, what is allowed, where to read more."""

from enum import StrEnum
from typing import Any

import pytest

from chalicelib.cli import usage
from chalicelib.cli.usage import Wrong, choice, limits, near, number, plain, strangers, unknown, value
from chalicelib.experiments.catalogue import installed
from tests.cli.conftest import Run

EXPERIMENTS = ("latency_injection", "error_injection", "resource_exhaustion")
LATENCY = ("start", "latency_injection")
AN_ADDRESS = "an address such as http://localhost"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("latency", ["latency_injection"]),
        ("injection", ["latency_injection", "error_injection"]),
        ("Latency-Injection", ["latency_injection"]),
        ("eror_injection", ["error_injection"]),
        ("er", []),
        ("zzzz", []),
    ],
)
def test_a_part_of_a_name_or_a_misspelt_one_is_understood(typed: str, meant: list[str]) -> None:
    assert near(typed, EXPERIMENTS) == meant


def test_where_nothing_is_near_everything_is_listed() -> None:
    assert unknown("experiment", "zzzz", EXPERIMENTS).endswith(f"Available: {', '.join(EXPERIMENTS)}.")


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({}, ""),
        ({"minimum": 0, "maximum": 60}, "from 0 to 60"),
        ({"minimum": 1}, "at least 1"),
        ({"maximum": 3600.0}, "up to 3600"),
        ({"exclusiveMinimum": 0}, "above 0"),
        ({"exclusiveMinimum": 0, "maximum": 0.5}, "above 0, up to 0.5"),
        ({"minimum": 1, "maximum": 1_000_000}, "from 1 to 1000000"),
    ],
)
def test_limits_read_like_words(schema: dict[str, Any], words: str) -> None:
    assert limits(schema) == words


@pytest.mark.parametrize(("setting", "words"), [(True, "yes"), (False, "no"), (2.0, "2"), (0.1, "0.1"), ("all", "all")])
def test_a_default_reads_like_a_word(setting: object, words: str) -> None:
    assert plain(setting) == words


SECONDS = {"type": "number", "exclusiveMinimum": 0, "maximum": 60, "unit": "seconds"}
SHARE = {"type": "number", "minimum": 0, "maximum": 1, "unit": "share"}
WHOLE = {"type": "integer", "minimum": 1}


@pytest.mark.parametrize(
    ("schema", "text", "expected"),
    [
        (SECONDS, "0", "must be a number above 0, up to 60 seconds; got 0."),
        (SECONDS, "60.5", "must be a number above 0, up to 60 seconds; got 60.5."),
        (SECONDS, "two", "must be a number above 0, up to 60 seconds; got 'two'."),
        (SECONDS, "nan", "must be a number above 0, up to 60 seconds; got nan."),
        (SHARE, "-1", "must be a number from 0 to 1; got -1."),
        (WHOLE, "1.5", "must be a whole number of at least 1; got 1.5."),
        ({"type": "number"}, "inf", "must be a number; got inf."),
        ({"type": "string", "maxLength": 3}, "abcd", "must be one line of up to 3 characters; got 'abcd'."),
        ({"type": "string", "maxLength": 9}, "a\nb", r"must be one line of up to 9 characters; got 'a\nb'."),
        ({"type": "string", "maxLength": 3}, "x" * 99, f"must be one line of up to 3 characters; got '{'x' * 60}…'."),
    ],
)
def test_a_value_that_is_not_allowed_is_repeated_with_what_is(schema: dict[str, Any], text: str, expected: str) -> None:
    with pytest.raises(ValueError, match="must be") as refused:
        value(schema, text)
    assert str(refused.value) == expected


@pytest.mark.parametrize(
    ("schema", "text", "expected"),
    [(SECONDS, "60", 60.0), (SHARE, "0", 0.0), (WHOLE, "7", 7), ({"type": "string"}, "any text", "any text")],
)
def test_a_value_that_is_allowed_is_converted(schema: dict[str, Any], text: str, expected: object) -> None:
    assert value(schema, text) == expected
    assert type(value(schema, text)) is type(expected)


def test_an_options_parser_names_the_option_and_lets_a_default_pass() -> None:
    class Colour(StrEnum):
        red = "red"
        blue = "blue"

    assert choice("--colour", Colour)("blue") is Colour.blue
    with pytest.raises(Wrong, match="--colour must be red or blue; got 'green'"):
        choice("--colour", Colour)("green")
    assert number("--limit", type="integer")(20) == 20


def test_one_word_needs_no_or() -> None:
    assert usage.either(["red"]) == "red"
    assert usage.either(["red", "blue", "green"]) == "red, blue or green"


def test_each_word_that_is_not_known_is_reported_and_the_value_of_an_unknown_option_is_not() -> None:
    words = ["--delay-secnds", "3", "--delay_seconds=4", "more", "--zzz"]
    assert strangers(words, ["--delay-seconds", "--restart"]) == [
        "There is no option --delay-secnds. Did you mean --delay-seconds?",
        "There is no option --delay_seconds. Did you mean --delay-seconds?",
        "'more' is not expected here.",
        "There is no option --zzz.",
    ]


# As a user meets it


def test_all_that_is_wrong_with_a_start_is_reported_at_once_and_nothing_is_started(run: Run) -> None:
    done = run(
        *LATENCY, "--delay-secnds", "3", "--percentage", "0", "--delay-seconds", "90", "--p95-seconds", "x",
        "--min-requests", "0", "--reason", "a\nb", "extra",
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "There is no option --delay-secnds. Did you mean --delay-seconds?",
        "'extra' is not expected here.",
        "--percentage must be a number above 0, up to 100 percent; got 0.",
        "--delay-seconds must be a number from 0 to 60 seconds; got 90.",
        r"--reason must be one line of up to 100 characters; got 'a\nb'.",
        "--p95-seconds must be a number above 0, up to 900 seconds; got 'x'.",
        "--min-requests must be a whole number from 1 to 1000000; got 0.",
        "Help: chaos-experiments start latency_injection --help",
    ]
    assert "running" not in run("status", "latency_injection").stdout


def test_a_hypothesis_that_is_wrong_is_one_problem_and_one_without_a_bound_is_another(run: Run) -> None:
    assert "hypothesis" not in run(*LATENCY, "--max-error-rate", "2", "--abort").stderr
    assert "add --max-error-rate or --p95-seconds" in run(*LATENCY, "--abort").stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["start", "latency"], "There is no experiment 'latency'. Did you mean latency_injection?"),
        (["start", "zzzz"], f"Available: {', '.join(installed())}."),
        (["lst"], "There is no command 'lst'. Did you mean list?"),
        (["token", "creat"], "There is no command 'creat'. Did you mean create?"),
        (["history", "--experimnt", "x"], "There is no option --experimnt. Did you mean --experiment?"),
        (["list", "--url", "http://x"], "--url must stand before the command."),
        ([*LATENCY, "--profile", "x"], "--profile must stand before the command."),
        ([*LATENCY, "--delay-seconds"], "--delay-seconds needs a value."),
        (["watch", "--help=1"], "--help does not take a value."),
        (["history", "--limit", "0"], "--limit must be a whole number from 1 to 100; got 0."),
        (["test", "--requests", "many"], "--requests must be a whole number from 1 to 10000; got 'many'."),
        (
            ["test", "--target", "localhost"],
            f"--target must be a path such as /orders or {AN_ADDRESS}; got 'localhost'.",
        ),
        (["report", "--format", "pdf"], "--format must be json, markdown or html; got 'pdf'."),
        (["stop"], "Which run? Give an experiment, --label, --run-id or --scenario."),
        (["status", "a", "--label", "b"], "Which run? It is named in more than one way."),
        (["halt"], "--reason <text> is required."),
        (["token", "create", "--name", ""], "--name must be one line of 1 to 64 characters; got ''."),
        (["token", "create", "--name", "ada", "--role", "king"], "--role must be viewer or operator; got 'king'."),
        (["profile", "add", "qa", "--url", "x:y z"], "--url must be an address such as http://localhost:8000/chaos_"),
    ],
)
def test_wrong_usage_says_what_is_meant_or_allowed_and_how_to_read_more(
    run: Run, arguments: list[str], expected: str
) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "--help" in done.stderr or "needs a value" in expected
    for jargon in ("Input should be", "Invalid value", "No such", "Usage:", "x<="):
        assert jargon not in done.stderr
