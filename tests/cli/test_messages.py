"""The API's refusals in the words of the command line."""

from typing import Any

import pytest

from chalicelib.cli.messages import KINDS, MESSAGES, Answer, explained, option

URL = "http://shop.example/chaos_experiments"
FIELDS = ('"restart"', "experiment_name", "POST /", "delay_seconds", "hypothesis.", "`alarms`")


def answered(
    code: str = "", message: str = "", status: int = 400, details: Any = (), resultset: Any = None, **more: Any
) -> str:
    content = {"error_message": message, "code": code, "details": details, "resultset": resultset or {}}
    return explained(
        Answer(
            url=URL,
            status=status,
            content=content if code else {},
            program="chaos",
            command=lambda words: f"chaos --profile qa {words}",
            **more,
        )
    )


RUN = {"name": "latency_injection", "started_by": "ada", "remaining_seconds": 41.7}
HALT = {"halted_by": "vic", "halted_at": "2027-01-15T08:00:00Z", "reason": "orders are lost"}
EXPERIMENTS = {"available_experiments": ["latency_injection", "error_injection"]}


@pytest.mark.parametrize(
    ("code", "given", "expected"),
    [
        ("already_running", {"resultset": RUN}, "is already running: ada started it, and it ends in 42 s."),
        ("already_running", {"resultset": RUN}, "--restart"),
        ("already_running", {"resultset": RUN}, "chaos --profile qa stop latency_injection"),
        ("halted", {"resultset": HALT}, "Halted by vic at 2027-01-15T08:00:00Z: orders are lost."),
        ("halted", {"resultset": HALT}, "chaos --profile qa resume"),
        ("alarm_active", {"message": "The alarm orders-5xx is in ALARM."}, "is in ALARM.\nTo start without it, leave"),
        ("unknown_alarm", {"message": "No alarm x."}, "No alarm x.\nCheck the names after --alarm"),
        ("unknown_experiment", {"resultset": EXPERIMENTS, "sent": {"experiment_name": "late"}}, "no experiment 'late'"),
        (
            "unknown_experiment",
            {"resultset": EXPERIMENTS, "sent": {"experiment_name": "late"}},
            "Did you mean latency_injection? Available: latency_injection, error_injection.",
        ),
        ("unknown_run", {"sent": {"run_id": "x"}}, "The history has no run 'x'."),
        ("unknown_run", {"sent": {"run_id": "x"}}, "chaos --profile qa history"),
        ("unknown_run", {"sent": {"label": "x"}}, "The history has no run with the label 'x'."),
        (
            "forbidden",
            {"message": "'vic' is a viewer."},
            "'vic' is a viewer. Give the token of an operator with --token",
        ),
    ],
)
def test_a_refusal_is_reported_with_options_and_commands(code: str, given: dict[str, Any], expected: str) -> None:
    message = answered(code, **given)
    assert expected in message
    assert not any(field in message for field in FIELDS)


@pytest.mark.parametrize("code", ["already_running", "halted", "not_running", "store_unavailable", "production_locked"])
def test_what_has_no_details_is_said_as_the_application_says_it(code: str) -> None:
    assert answered(code, "What the API said.") == "What the API said."


@pytest.mark.parametrize(
    ("detail", "sent", "expected"),
    [
        (
            {
                "field": "delay_seconds",
                "problem": "must be a number from 0 to 60 (seconds); got 90.0",
                "allowed": "a number from 0 to 60 (seconds)",
            },
            {"delay_seconds": 90.0},
            "--delay-seconds must be a number from 0 to 60 (seconds); got 90.0.",
        ),
        (
            {"field": "hypothesis.p95_seconds", "problem": "must be less", "allowed": "a number up to 900"},
            {"hypothesis": {"p95_seconds": 901}},
            "--p95-seconds must be less. Allowed: a number up to 900.",
        ),
        (
            {"field": "exception", "problem": "must be a name: os is no exception", "allowed": "a name"},
            {"exception": "os"},
            "--exception must be a name: os is no exception.",
        ),
        (
            {"field": "reason", "problem": "has control characters", "allowed": "one line"},
            {"reason": "a\tb"},
            "--reason has control characters. Allowed: one line.",
        ),
        (
            {"field": "hypothesis.rate", "problem": "is unknown", "allowed": "max_error_rate"},
            {"hypothesis": {"rate": 1}},
            "--rate is unknown. Allowed: max_error_rate.",
        ),
        (
            {"field": "ramp_seconds", "kind": "no_time_to_hit", "problem": "must be at most duration_seconds"},
            {"ramp_seconds": 90},
            KINDS["no_time_to_hit", "ramp_seconds"],
        ),
        (
            {"field": "hypothesis.of", "kind": "no_hit_requests", "problem": "must be untouched in a dry run"},
            {"hypothesis": {"of": "hit"}},
            KINDS["no_hit_requests", "hypothesis.of"],
        ),
        (
            {"field": "experiment_name", "problem": "is missing", "allowed": "one of a, b"},
            {},
            "The name of the experiment is missing. Allowed: one of a, b.",
        ),
    ],
)
def test_a_problem_of_a_field_is_one_of_an_option(detail: dict[str, str], sent: dict[str, Any], expected: str) -> None:
    assert answered("invalid_parameters", details=[detail], sent=sent) == expected


def test_what_is_wrong_with_several_options_together_is_said_in_options() -> None:
    for message in KINDS.values():
        assert not any(field in message for field in (*FIELDS, "duration_seconds", "dry_run"))
        assert "--" in message


def test_every_problem_has_its_line() -> None:
    details = [{"field": name, "problem": "is wrong", "allowed": "else"} for name in ("limit", "before")]
    message = answered("invalid_parameters", details=details)
    assert message == "--limit is wrong. Allowed: else.\n--before is wrong. Allowed: else."
    assert answered("invalid_parameters", "As the API says it.") == "As the API says it."


def test_an_option_that_is_called_otherwise_than_its_field_has_its_name() -> None:
    assert option("alarms", is_list=True) == "--alarm"


# Four first contacts, four messages; the fourth, a wrong stage, is in test_tokens_and_halt.py


@pytest.mark.parametrize("status", [401, 403])
def test_no_token_is_reported_with_where_to_get_one(status: int) -> None:
    message = answered(status=status)
    assert f"No token was given, and {URL} needs one. Give it with --token, CHAOS_TOKEN or a profile." in message
    assert "chaos token create --stage <stage> --name <you> --role operator" in message


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_token_is_reported_with_where_it_came_from(status: int) -> None:
    message = answered(status=status, token_from="the profile qa")
    assert f"{URL} does not accept the token from the profile qa: it is unknown there, revoked or expired." in message
    assert "No token was given" not in message
    assert "token create" in message


def test_a_gateway_that_lets_no_token_through_may_mean_a_viewers() -> None:
    assert "Or it is the token of a viewer" in answered(status=403, token_from="--token", writes=True)
    assert "viewer" not in answered(status=403, token_from="--token")


# What is not the API


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"status": 404, "is_ours": False}, "answered 404 Not Found, which is not an answer of the chaos experiments."),
        ({"status": 403, "is_ours": False}, "Is the address right?"),
        ({"status": 403, "is_ours": False, "words": "No CSRF token"}, "403 Forbidden (No CSRF token), which"),
        ({"status": 502}, "answered 502 Bad Gateway. This is the answer of something else"),
        ({"status": 429}, "Try again later."),
        ({"status": 301, "location": "https://x/y"}, "the address is now https://x/y. Give the new address with --url"),
        ({"status": 799}, f"{URL} answered 799. This"),
    ],
)
def test_what_does_not_come_from_the_api_is_reported_so(given: dict[str, Any], expected: str) -> None:
    assert expected in answered(**given)


def test_no_message_of_the_command_line_speaks_of_fields() -> None:
    for code in MESSAGES:
        message = answered(code, resultset={**RUN, **HALT, **EXPERIMENTS}, sent={"experiment_name": "x", "run_id": "y"})
        assert not any(field in message for field in FIELDS), code
