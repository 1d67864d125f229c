import logging
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest

from chalicelib.access import Authenticator, Role, new_token
from chalicelib.api.http import Request
from chalicelib.cli.context import Selection
from chalicelib.cli.remote import Destination
from chalicelib.errors import Misconfigured
from chalicelib.experiments.catalogue import Catalogue
from chalicelib.injection.plan import Environment
from chalicelib.injection.propagation import Seal
from chalicelib.paths import ALLOWED_PATH
from chalicelib.settings import (
    ELSEWHERE,
    KNOWN,
    VARIABLES,
    WEB_TOKEN_VARIABLES,
    Settings,
    WebTokens,
    _edits,
    read_settings,
)
from chalicelib.web_tokens import WebTokenAuthentication
from tests.api.conftest import Control
from tests.support import Clock, FakeTokenStore

SECONDS = {
    "CHAOS_REFRESH_SECONDS": ("refresh_seconds", 1.0),
    "CHAOS_IDLE_REFRESH_SECONDS": ("idle_refresh_seconds", 5.0),
    "CHAOS_MAX_STALENESS_SECONDS": ("max_staleness_seconds", 3.0),
    "CHAOS_GUARDRAIL_SECONDS": ("guardrail_seconds", 10.0),
    "CHAOS_TABLE_TIMEOUT_SECONDS": ("table_timeout_seconds", 0.25),
    "CHAOS_CONTROL_TIMEOUT_SECONDS": ("control_timeout_seconds", 3.0),
}


def test_an_empty_environment_switches_the_module_off() -> None:
    assert read_settings({}).stage is None


@pytest.mark.parametrize("stage", ["", "  "])
def test_an_empty_stage_is_none(stage: str) -> None:
    assert read_settings({"CHAOS_STAGE": stage}).stage is None


@pytest.mark.parametrize(("name", "default"), SECONDS.values())
def test_the_defaults_that_operators_rely_on_are_pinned(name: str, default: float) -> None:
    assert getattr(read_settings({"CHAOS_STAGE": "qa"}), name) == default


def test_a_stage_is_all_that_is_needed() -> None:
    assert read_settings({"CHAOS_STAGE": "qa"}) == Settings(stage="qa", table="chaos-experiments-qa")


@pytest.mark.parametrize(
    ("variable", "value", "name", "expected"),
    [
        ("CHAOS_STAGE", " staging ", "stage", "staging"),
        ("CHAOS_APPLICATION", "shop", "application", "shop"),
        ("CHAOS_APPLICATION", " ", "application", "app"),
        ("CHAOS_TABLE", "ours", "table", "ours"),
        ("CHAOS_EXCLUDED_PATHS", "/health", "excluded_paths", ("/health",)),
        ("CHAOS_EXCLUDED_PATHS", " /health , /internal/* ,, ", "excluded_paths", ("/health", "/internal/*")),
        ("CHAOS_EXCLUDED_PATHS", "", "excluded_paths", ()),
        ("CHAOS_DEV_TOKEN", "dev-token", "dev_token", "dev-token"),
        ("CHAOS_DEV_TOKEN", " ", "dev_token", None),
        ("CHAOS_PROPAGATION_KEY", "0123456789abcdef", "propagation_key", "0123456789abcdef"),
        ("CHAOS_PROPAGATION_KEY", "\u00fc" * 8, "propagation_key", "\u00fc" * 8),
        ("CHAOS_PROPAGATION_KEY", " ", "propagation_key", ""),
        ("CHAOS_MAX_DURATION_SECONDS", "60", "limits", {"duration_seconds": 60.0}),
        ("CHAOS_MAX_DELAY_SECONDS", "2.5", "limits", {"duration_seconds": 3600.0, "delay_seconds": 2.5}),
        ("CHAOS_MAX_ERROR_RATE", "0.5", "limits", {"duration_seconds": 3600.0, "error_rate": 0.5}),
        ("CHAOS_MAX_MEMORY_MB", "64", "limits", {"duration_seconds": 3600.0, "memory_mb": 64.0}),
        ("CHAOS_MAX_PERCENTAGE", "10", "limits", {"duration_seconds": 3600.0, "percentage": 10.0}),
        ("CHAOS_MAX_THROUGHPUT_KB", "8", "limits", {"duration_seconds": 3600.0, "throughput_kb": 8.0}),
        ("CHAOS_MAX_THROUGHPUT_KB", " ", "limits", {"duration_seconds": 3600.0}),
        ("CHAOS_MAX_ACTIVE_FAULTS", "20", "max_active_faults", 20),
        ("CHAOS_MAX_WAIT_SECONDS", "50", "max_wait_seconds", 50.0),
        ("AWS_LAMBDA_FUNCTION_NAME", "f", "max_wait_seconds", 29.0),
        ("CHAOS_TRUST_REQUEST_START", "true", "trust_request_start", True),
        ("CHAOS_TRUST_REQUEST_START", " ", "trust_request_start", False),
        ("CHAOS_ALLOW_PRODUCTION", "prod", "allow_production", "prod"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512", "lambda_memory_mb", 512),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "", "lambda_memory_mb", None),
        ("AWS_LAMBDA_FUNCTION_NAME", "shop", "in_lambda", True),
        ("AWS_ENDPOINT_URL", "http://localhost:1", "endpoint_url", "http://localhost:1"),
        ("AWS_ENDPOINT_URL_DYNAMODB", "http://localhost:2", "endpoint_url", "http://localhost:2"),
        ("AWS_DEFAULT_REGION", "eu-west-2", "region", "eu-west-2"),
        ("AWS_REGION", "eu-west-1", "region", None),
        ("AWS_REGION", "eu-west-1", "fallback_region", "eu-west-1"),
        *((variable, " 2.5 ", name, 2.5) for variable, (name, _) in SECONDS.items()),
        *((variable, " ", name, default) for variable, (name, default) in SECONDS.items()),
    ],
)
def test_each_variable_is_read(variable: str, value: str, name: str, expected: Any) -> None:
    assert getattr(read_settings({"CHAOS_STAGE": "qa", variable: value}), name) == expected


def test_the_narrower_variable_wins() -> None:
    settings = read_settings(
        {
            "AWS_ENDPOINT_URL": "http://localhost:1",
            "AWS_ENDPOINT_URL_DYNAMODB": "http://localhost:2",
        }
    )
    assert settings.endpoint_url == "http://localhost:2"


@pytest.mark.parametrize(("value", "url"), [("true", None), ("True", None), ("false", "http://localhost:1")])
def test_endpoints_that_boto3_ignores_are_ignored(value: str, url: str | None) -> None:
    variables = {"AWS_ENDPOINT_URL": "http://localhost:1", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": value}
    assert read_settings(variables).endpoint_url == url


@pytest.mark.parametrize("variable", SECONDS)
@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "-inf", "1s", "one", "1,5"])
def test_a_value_that_is_no_number_of_seconds_is_refused(variable: str, value: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        read_settings({"CHAOS_STAGE": "qa", variable: value})
    allowed = "a number of seconds greater than 0"
    problem = {"field": variable, "problem": f"must be {allowed}; got {value!r}", "allowed": allowed}
    assert refused.value.details == [problem]
    assert refused.value.message == (
        f"{variable} must be {allowed}; got {value!r}. Correct the environment variables and restart."
    )


def test_every_bad_value_is_named_in_one_answer() -> None:
    with pytest.raises(Misconfigured) as refused:
        read_settings({"CHAOS_STAGE": "qa"} | dict.fromkeys(SECONDS, "soon"))
    assert [problem["field"] for problem in refused.value.details] == list(SECONDS)
    message = refused.value.message
    assert all(f"{variable} must be a number of seconds greater than 0; got 'soon'." in message for variable in SECONDS)


@pytest.mark.parametrize(
    ("stage", "in_lambda", "development"),
    [("dev", False, True), ("dev", True, False), ("qa", False, False), ("DEV", False, False), (None, False, False)],
)
def test_development_is_the_stage_dev_and_never_inside_lambda(
    *, stage: str | None, in_lambda: bool, development: bool
) -> None:
    assert Settings(stage=stage, in_lambda=in_lambda).development is development


def test_inside_lambda_the_environment_alone_says_that_it_is_not_development() -> None:
    assert read_settings({"CHAOS_STAGE": "dev"}).development
    assert not read_settings({"CHAOS_STAGE": "dev", "AWS_LAMBDA_FUNCTION_NAME": ""}).development


def test_the_scope_is_the_application_and_its_stage() -> None:
    assert Settings(stage="qa", application="shop").scope == "shop#qa"


def test_settings_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().stage = "prod"  # type: ignore[misc]


def test_runs_that_would_come_and_go_between_two_reads_are_refused() -> None:
    with pytest.raises(Misconfigured, match="at least CHAOS_REFRESH_SECONDS"):
        read_settings({"CHAOS_REFRESH_SECONDS": "5"})
    assert read_settings({"CHAOS_REFRESH_SECONDS": "3"})


@pytest.mark.parametrize("variable", ["CHAOS_MAX_DURATION_SECONDS", "CHAOS_MAX_MEMORY_MB", "CHAOS_MAX_THROUGHPUT_KB"])
@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "much"])
def test_a_limit_that_is_no_number_is_refused(variable: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=f"{variable} must be a number greater than 0; got '{value}'"):
        read_settings({"CHAOS_STAGE": "qa", variable: value})


@pytest.mark.parametrize("value", ["false", "0", "no", "off", " OFF ", "False"])
def test_one_variable_makes_a_process_deaf(value: str) -> None:
    assert not read_settings({"CHAOS_STAGE": "qa", "CHAOS_ENABLED": value}).enabled


@pytest.mark.parametrize("value", ["true", "1", "yes", "on", "", " True "])
def test_and_the_contrary_does_not(value: str) -> None:
    assert read_settings({"CHAOS_STAGE": "qa", "CHAOS_ENABLED": value}).enabled


def test_a_word_that_is_neither_is_refused() -> None:
    with pytest.raises(Misconfigured, match=r"CHAOS_ENABLED must be one of 0, 1, false, .*; got 'fasle'"):
        read_settings({"CHAOS_STAGE": "qa", "CHAOS_ENABLED": "fasle"})


@pytest.mark.parametrize(
    "stage", ["prod", "production", "Production", "PRD", "prod-eu", "eu_prod", "prod2", "live", "eu-live", "preprod"]
)
def test_a_stage_that_is_named_like_production_is_locked_unless_it_is_named(stage: str) -> None:
    assert Settings(stage=stage).production_locked
    assert Settings(stage=stage, allow_production="other").production_locked
    assert not Settings(stage=stage, allow_production=stage).production_locked


@pytest.mark.parametrize("stage", ["dev", "staging", "qa", "delivery", "olive", None])
def test_other_stages_are_not(stage: str | None) -> None:
    assert not Settings(stage=stage).production_locked


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("CHAOS_STAGE", "my stage", "1 to 64 letters, digits, dots, underscores and hyphens"),
        ("CHAOS_STAGE", "a" * 65, "1 to 64 letters, digits, dots, underscores and hyphens"),
        ("CHAOS_STAGE", "qa\nprod", "1 to 64 letters, digits, dots, underscores and hyphens"),
        ("CHAOS_APPLICATION", "shop#1", "1 to 128 characters without # and line breaks"),
        ("CHAOS_TABLE", "ab", "3 to 255 letters, digits, dots, underscores and hyphens; or an ARN"),
        ("CHAOS_PROPAGATION_KEY", "0123456789abcde", "at least 16 bytes, such as openssl rand -hex 32 prints"),
        ("CHAOS_DEV_TOKEN", "\u00fcmlaut", "1 to 256 letters, digits and signs of ASCII"),
        ("AWS_ENDPOINT_URL_DYNAMODB", "localhost:8001", "a URL such as http://localhost:8001"),
        ("AWS_ENDPOINT_URL", "localhost:8001", "a URL such as http://localhost:8001"),
        ("CHAOS_EXCLUDED_PATHS", "/ok,health", f"paths, each {ALLOWED_PATH}"),
        ("CHAOS_EXCLUDED_PATHS", "/health*", f"paths, each {ALLOWED_PATH}"),
    ],
)
def test_a_name_that_cannot_be_is_refused_with_what_is_allowed(variable: str, value: str, allowed: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        read_settings({"CHAOS_STAGE": "qa", variable: value})
    (problem,) = refused.value.details
    assert (problem["field"], problem["allowed"]) == (variable, allowed)


SECRET = "s3cret-\u00fcmlaut"
HELD = Settings(dev_token=SECRET, propagation_key=SECRET, web_tokens=WebTokens(secret=SECRET))


@pytest.mark.parametrize(
    "kept",
    [
        HELD,
        HELD.web_tokens,
        replace(HELD, stage="qa"),
        Selection(token=SECRET),
        Destination("http://localhost", SECRET),
        Request(method="GET", path="/list", headers={"authorization": f"Bearer {SECRET}"}),
        new_token("ada", Role.VIEWER, now=0)[1],
        Authenticator(FakeTokenStore(), Clock(), SECRET),
        WebTokenAuthentication(WebTokens(secret=SECRET)),
        Seal(SECRET, Clock()),
        Environment("here", "", Seal(SECRET, Clock())),
    ],
    ids=lambda kept: type(kept).__name__,
)
def test_what_holds_a_secret_does_not_show_it(kept: object) -> None:
    for text in (repr(kept), str(kept), f"{[kept]}"):
        assert SECRET not in text
        assert SECRET.encode("unicode_escape").decode() not in text


@pytest.mark.parametrize("variable", ["CHAOS_DEV_TOKEN", "CHAOS_PROPAGATION_KEY"])
def test_a_secret_that_is_refused_is_not_repeated(variable: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        read_settings({"CHAOS_STAGE": "qa", variable: SECRET})
    assert "s3cret" not in f"{refused.value.message}{refused.value.details}"


def test_no_log_of_a_request_has_what_its_headers_have(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        Control(Clock()).ask("GET", "/list", caller=None, headers={"authorization": f"Bearer {SECRET}"})
    assert SECRET not in "".join(f"{record.getMessage()}{record.__dict__}" for record in caplog.records)


def test_a_table_may_be_named_by_its_arn() -> None:
    arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/chaos"
    assert read_settings({"CHAOS_STAGE": "qa", "CHAOS_TABLE": arn}).table == arn


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("CHAOS_REFESH_SECONDS", "CHAOS_REFRESH_SECONDS"),
        ("CHAOS_ENABLE", "CHAOS_ENABLED"),
        ("CHAOS_STAGES", "CHAOS_STAGE"),
        ("CHAOS_MAX_STALENES_SECOND", "CHAOS_MAX_STALENESS_SECONDS"),
        ("CHAOS_MAX_ACTIVE_FAULT", "CHAOS_MAX_ACTIVE_FAULTS"),
        ("CHAOS_EXCLUDE_PATH", "CHAOS_EXCLUDED_PATHS"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_one_that_was_meant(misspelt: str, meant: str) -> None:
    with pytest.raises(Misconfigured, match=f"^{misspelt} is not a setting; did you mean {meant}") as refused:
        read_settings({"CHAOS_STAGE": "qa", misspelt: "1"})
    assert len(refused.value.details) == 1


@pytest.mark.parametrize("name", [*sorted(ELSEWHERE), "CHAOS_MONKEY", "CHAOSE"])
def test_variables_of_others_and_of_the_command_line_are_left_alone(name: str) -> None:
    assert read_settings({"CHAOS_STAGE": "qa", name: "x"}).stage == "qa"


def test_every_variable_that_is_read_is_known_and_the_other_way_round() -> None:
    """So that none is taken for a misspelt one."""
    asked: set[str] = set()

    class Recorded(dict[str, str]):
        def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
            asked.add(name)
            return super().get(name, default)

    read_settings(Recorded({"CHAOS_STAGE": "qa", "CHAOS_JWT_VIEWERS": "*", "CHAOS_JWT_SECRET": "s"}))
    assert {name for name in asked if name.startswith("CHAOS_")} == KNOWN


def test_no_known_variable_is_nearly_another_one() -> None:
    assert not [(one, other) for one in KNOWN for other in KNOWN | ELSEWHERE if one < other and _edits(one, other) <= 1]


def test_a_limit_that_is_misspelt_protects_nothing_and_is_refused_where_the_experiments_are_known() -> None:
    limits = read_settings({"CHAOS_STAGE": "qa", "CHAOS_MAX_DELAYS_SECONDS": "5"}).limits
    assert limits["delays_seconds"] == 5.0
    with pytest.raises(Misconfigured, match="CHAOS_MAX_DELAYS_SECONDS limits no parameter of any experiment"):
        Catalogue().check_limits(limits)
    Catalogue().check_limits(Settings().limits)


def test_every_variable_sets_a_field_that_there_is() -> None:
    assert {each.field for each in VARIABLES} <= {each.name for each in fields(Settings)}
    assert {each.field for each in WEB_TOKEN_VARIABLES} == {each.name for each in fields(WebTokens)}
