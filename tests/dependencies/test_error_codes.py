"""Each error that botocore's models know, of the services that applications call most, as its client reports it."""

from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.dependencies.harness import failing

CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "dynamodb": ("describe_table", {"TableName": "orders"}),
    "s3": ("list_buckets", {}),
    "sqs": ("list_queues", {}),
    "sns": ("list_topics", {}),
    "lambda": ("list_functions", {}),
    "kinesis": ("list_streams", {}),
    "secretsmanager": ("list_secrets", {}),
    "ssm": ("describe_parameters", {}),
    # of the protocols that those do not have
    "ec2": ("describe_regions", {}),
    "cloudwatch": ("list_dashboards", {}),
    "route53": ("list_hosted_zones", {}),
}
PROTOCOLS = ("json", "rest-json", "query", "ec2", "rest-xml", "smithy-rpc-v2-cbor")


def client_of(service: str, **config: Any) -> Any:
    """A client that calls once, and nobody."""
    return boto3.client(
        service,
        region_name="eu-west-1",
        endpoint_url="http://127.0.0.1:9",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=Config(retries={"total_max_attempts": 1}, **config),
    )


def raised(client: Any, service: str, fault: str = "error", **parameters: Any) -> ClientError:
    operation, arguments = CALLS[service]
    with failing(service, fault, **parameters), pytest.raises(ClientError) as caught:
        getattr(client, operation)(**arguments)
    return caught.value


@pytest.mark.parametrize("service", [name for name in CALLS if name != "cloudwatch"])
def test_each_error_that_the_model_knows_is_of_its_class_and_has_its_code_and_status(service: str) -> None:
    client = client_of(service)
    shapes = client.meta.service_model.error_shapes
    assert len(shapes) > 10 or service == "ec2"
    for shape in shapes:
        error = raised(client, service, code=shape.error_code)
        assert type(error) is getattr(client.exceptions, shape.name)
        assert error.response["Error"]["Code"] == shape.error_code
        assert error.response["Error"]["Message"] == "Injected by a chaos experiment."
        metadata = error.response["ResponseMetadata"]
        assert metadata["RequestId"]
        modelled = shape.metadata.get("error", {}).get("httpStatusCode")
        assert metadata["HTTPStatusCode"] == modelled or (not modelled and 400 <= metadata["HTTPStatusCode"] < 600)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_error_has_the_format_of_the_protocol_that_botocore_has_chosen(
    protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of("cloudwatch")
    monkeypatch.setitem(vars(client.meta.service_model), "resolved_protocol", protocol)
    error = raised(client, "cloudwatch", code="InvalidParameterInput")
    assert type(error) is client.exceptions.DashboardInvalidInputError
    assert error.response["Error"]["Code"] == "InvalidParameterInput"


def test_an_error_is_found_by_its_name_where_its_code_is_another() -> None:
    client = client_of("sns")
    error = raised(client, "sns", code="AuthorizationErrorException")
    assert type(error) is client.exceptions.AuthorizationErrorException
    assert error.response["Error"]["Code"] == "AuthorizationError"
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 403


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"),
        ("QueueAlreadyExists", "QueueNameExists"),
        ("AWS.SimpleQueueService.PurgeQueueInProgress", "PurgeQueueInProgress"),
    ],
)
def test_what_sqs_called_an_error_before_is_still_its_code(code: str, name: str) -> None:
    client = client_of("sqs")
    error = raised(client, "sqs", code=code)
    assert type(error) is getattr(client.exceptions, name)
    assert (error.response["Error"]["Code"], error.response["Error"]["QueryErrorCode"]) == (code, name)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("InternalServerError", 500),
        ("ConditionalCheckFailedException", 400),
        ("AccessDeniedException", 400),
        ("ServiceUnavailable", 503),
        ("NobodyKnowsThis", 400),
    ],
)
def test_an_error_without_a_status_in_the_model_is_the_clients_unless_its_code_names_the_server(
    code: str, status: int
) -> None:
    error = raised(client_of("dynamodb"), "dynamodb", code=code)
    assert (error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)


@pytest.mark.parametrize(
    ("service", "code", "status"),
    [
        ("dynamodb", "ProvisionedThroughputExceededException", 400),
        ("s3", "SlowDown", 503),
        ("sqs", "RequestThrottled", 403),
        ("sns", "Throttling", 400),
        ("lambda", "TooManyRequestsException", 429),
        ("kinesis", "ProvisionedThroughputExceededException", 400),
        ("secretsmanager", "ThrottlingException", 400),
        ("ssm", "ThrottlingException", 400),
        ("ec2", "RequestLimitExceeded", 503),
        ("route53", "Throttling", 400),
    ],
)
def test_each_service_throttles_in_its_own_way(service: str, code: str, status: int) -> None:
    error = raised(client_of(service), service, "throttle")
    metadata = error.response["ResponseMetadata"]
    assert (error.response["Error"]["Code"], metadata["HTTPStatusCode"]) == (code, status)
    assert metadata["HTTPHeaders"]["retry-after"] == "1"


def test_an_answer_to_head_has_no_body_and_so_no_code() -> None:
    with failing("s3", "error", code="NoSuchKey"), pytest.raises(ClientError) as caught:
        client_of("s3").head_object(Bucket="invoices", Key="1")
    assert caught.value.response["Error"]["Code"] == "404"


def test_a_run_that_names_an_address_says_what_the_answer_is() -> None:
    client = client_of("dynamodb")
    answer = {"status_code": 418, "body": {"__type": "Teapot"}, "headers": {"X-Seen": "1"}}
    with failing("http://127.0.0.1:9/*", "error", **answer), pytest.raises(ClientError) as caught:
        client.list_tables()
    metadata = caught.value.response["ResponseMetadata"]
    assert caught.value.response["Error"]["Code"] == "Teapot"
    assert (metadata["HTTPStatusCode"], metadata["HTTPHeaders"]["x-seen"]) == (418, "1")
