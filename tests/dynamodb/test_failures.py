"""Every failure names what it was about, and what to do."""

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
    ReadTimeoutError,
    UnauthorizedSSOTokenError,
)
from pynamodb.exceptions import QueryError

from chalicelib.dynamodb import failures
from chalicelib.dynamodb.failures import explain
from chalicelib.settings import Settings

SETTINGS = Settings(stage="qa", table="chaos-experiments-qa")
DENIED = (
    "User: arn:aws:sts::123456789012:assumed-role/shop is not authorized to perform: dynamodb:PutItem on resource: "
    "arn:aws:dynamodb:eu-west-1:123456789012:table/chaos-experiments-qa"
)


def refusal(code: str, message: str = "no", operation: str = "Query") -> QueryError:
    """As pynamodb hands on what DynamoDB answers."""
    return QueryError("failed", cause=ClientError({"Error": {"Code": code, "Message": message}}, operation))


def explained(error: Exception, settings: Settings = SETTINGS) -> str:
    return explain(error, settings, may_be_made=False)


def test_a_missing_table_is_named_with_the_command_that_makes_it() -> None:
    assert explained(refusal("ResourceNotFoundException")) == (
        "Table chaos-experiments-qa does not exist in the region of the AWS profile (ResourceNotFoundException); "
        "nothing was changed. Check the stage, CHAOS_TABLE and the region; or create it: "
        ".venv/bin/python -m chalicelib table create --stage qa"
    )


@pytest.mark.parametrize(
    "settings", [Settings(stage="qa", region="eu-x"), Settings(stage="qa", fallback_region="eu-x")]
)
def test_the_region_is_named_where_it_is_known(settings: Settings) -> None:
    assert "does not exist in the region eu-x" in explained(refusal("ResourceNotFoundException"), settings)


def test_the_command_is_whole_where_table_and_endpoint_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    named = Settings(stage="qa", table="ours", endpoint_url="http://localhost:8001")
    assert "Table ours does not exist at http://localhost:8001" in explained(
        refusal("ResourceNotFoundException"), named
    )
    monkeypatch.setattr(failures, "__package__", "chaos_experiments.dynamodb")
    told = explained(refusal("ResourceNotFoundException"), named)
    assert told.endswith("create it: CHAOS_TABLE=ours chaos-experiments table create --stage qa")


@pytest.mark.parametrize(("message", "action"), [(DENIED, "dynamodb:PutItem"), ("no", "dynamodb:TransactWriteItems")])
def test_a_missing_permission_is_named_with_its_action(message: str, action: str) -> None:
    told = explained(refusal("AccessDeniedException", message, "TransactWriteItems"))
    assert told.startswith(f"AWS denied {action} on table chaos-experiments-qa (AccessDeniedException); nothing was")
    assert told.endswith("Allow it in the policy of this role or user; docs/aws.md has the policies.")


@pytest.mark.parametrize("code", failures.THROTTLED)
def test_throttling_is_named_as_such(code: str) -> None:
    told = explained(refusal(code))
    assert told == (
        f"DynamoDB throttled the request to table chaos-experiments-qa ({code}); nothing was changed. "
        "Try again in a few seconds."
    )


@pytest.mark.parametrize("code", failures.REJECTED)
def test_credentials_that_aws_rejects_are_named_as_such(code: str) -> None:
    assert explained(refusal(code)).startswith(
        f"AWS rejected the credentials ({code}); nothing was changed. Renew them"
    )


@pytest.mark.parametrize(
    "error",
    [
        NoCredentialsError(),
        ProfileNotFound(profile="ours"),
        UnauthorizedSSOTokenError(),
        CredentialRetrievalError(provider="custom-process", error_msg="exit status 1"),
    ],
)
def test_credentials_that_are_not_there_are_named_with_where_to_set_them(error: BotoCoreError) -> None:
    told = explained(error)
    assert told.startswith(f"There are no AWS credentials ({type(error).__name__}: ")
    assert told.endswith("Set AWS_PROFILE or AWS_ACCESS_KEY_ID, log in again, or give this process a role.")


def test_a_missing_region_is_named_with_where_to_set_it() -> None:
    assert explained(NoRegionError()).endswith("Set AWS_DEFAULT_REGION, or the region of the profile.")


@pytest.mark.parametrize(("endpoint", "place"), [(None, ""), ("http://localhost:1", " at http://localhost:1")])
def test_silence_is_named_with_what_became_of_the_change(endpoint: str | None, place: str) -> None:
    settings = Settings(stage="qa", table="ours", endpoint_url=endpoint)
    silence = QueryError("failed", cause=ReadTimeoutError(endpoint_url="x"))
    assert explain(silence, settings, may_be_made=True) == (
        f"Table ours{place} is unreachable (ReadTimeoutError); the change may have been made: "
        "check before you try again."
    )
