import pytest

from chalicelib.errors import Misconfigured
from chalicelib.settings import Settings, read_settings


def test_defaults_are_safe() -> None:
    assert read_settings({}) == Settings(table="chaos-experiments-None")
    assert Settings().stage is None
    assert (Settings.refresh_seconds, Settings.idle_refresh_seconds, Settings.max_staleness_seconds) == (1.0, 5.0, 3.0)
    assert (Settings.max_duration_seconds, Settings.table_timeout_seconds) == (3600.0, 0.25)


def test_every_variable_is_read() -> None:
    assert read_settings(
        {
            "CHAOS_STAGE": "staging",
            "CHAOS_APPLICATION": "shop",
            "CHAOS_TABLE": "t",
            "CHAOS_REFRESH_SECONDS": "2",
            "CHAOS_IDLE_REFRESH_SECONDS": "6",
            "CHAOS_MAX_STALENESS_SECONDS": "4",
            "CHAOS_MAX_DURATION_SECONDS": "60",
            "CHAOS_TABLE_TIMEOUT_SECONDS": "0.5",
            "CHAOS_EXCLUDED_PATHS": "/health, /internal/*,",
            "CHAOS_DEV_TOKEN": "secret",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_LAMBDA_FUNCTION_NAME": "f",
            "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:1",
            "AWS_REGION": "eu-west-1",
            "AWS_PROFILE": "p",
        }
    ) == Settings(
        stage="staging",
        application="shop",
        table="t",
        refresh_seconds=2.0,
        idle_refresh_seconds=6.0,
        max_staleness_seconds=4.0,
        max_duration_seconds=60.0,
        table_timeout_seconds=0.5,
        excluded_paths=("/health", "/internal/*"),
        dev_token="secret",
        lambda_memory_mb=512,
        in_lambda=True,
        endpoint_url="http://127.0.0.1:1",
        region="eu-west-1",
        has_credentials=True,
    )


def test_the_table_is_called_after_the_stage() -> None:
    settings = read_settings({"CHAOS_STAGE": "staging"})
    assert (settings.table, settings.scope) == ("chaos-experiments-staging", "app#staging")


@pytest.mark.parametrize("stage", ["", "  "])
def test_a_blank_stage_is_none(stage: str) -> None:
    assert read_settings({"CHAOS_STAGE": stage}).stage is None


@pytest.mark.parametrize("text", ["abc", "0", "-1", "nan", "inf"])
def test_every_value_that_cannot_be_is_named_in_one_error(text: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        read_settings({"CHAOS_REFRESH_SECONDS": text, "CHAOS_MAX_DURATION_SECONDS": text})
    assert [problem["field"] for problem in refused.value.details] == [
        "CHAOS_REFRESH_SECONDS",
        "CHAOS_MAX_DURATION_SECONDS",
    ]
    assert "a number of seconds above 0" in refused.value.message


@pytest.mark.parametrize(
    ("environment", "development"),
    [
        ({"CHAOS_STAGE": "dev"}, True),
        ({"CHAOS_STAGE": "dev", "AWS_LAMBDA_FUNCTION_NAME": "f"}, False),
        ({"CHAOS_STAGE": "staging"}, False),
        ({}, False),
    ],
)
def test_only_the_stage_dev_outside_of_lambda_trusts_the_machine(
    environment: dict[str, str], *, development: bool
) -> None:
    assert read_settings(environment).development is development
