"""What AWS hands to a function, as its documentation has it, shortened where nothing reads it."""

import json
from typing import Any

from tests.frameworks.gateway import rest_event

ACCOUNT = "123456789012"


class Invocation:
    """The context that Lambda's runtime hands to a handler."""

    aws_request_id = "8f507cfc-xmpl-4697-b07a-ac58fc914c95"

    def __init__(self, left_seconds: float = 60.0, function_name: str = "billing-prod-worker") -> None:
        self.left_seconds = left_seconds
        self.function_name = function_name

    def get_remaining_time_in_millis(self) -> int:
        return int(self.left_seconds * 1000)


def http_event(path: str = "/orders", method: str = "GET", stage: str = "$default", **more: Any) -> dict[str, Any]:
    """Of an HTTP API, and of a function's URL: payload format 2.0."""
    raw = path if stage == "$default" else f"/{stage}{path}"
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": raw,
        "rawQueryString": "",
        "headers": {"host": "shop.example", "x-forwarded-proto": "https"},
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "r3pmxmplak",
            "domainName": "r3pmxmplak.execute-api.eu-west-1.amazonaws.com",
            "http": {"method": method, "path": raw, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "x"},
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "$default",
            "stage": stage,
            "timeEpoch": 1_800_000_000_000,
        },
        "isBase64Encoded": False,
        **more,
    }


def load_balancer_event(*, multi_value: bool = False, **more: Any) -> dict[str, Any]:
    headers, query = {"host": "shop.example", "x-tenant": "acme"}, {"region": "eu%20west"}
    many: dict[str, Any] = {
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "multiValueQueryStringParameters": {name: [value, "two"] for name, value in query.items()},
    }
    one = {"headers": headers, "queryStringParameters": query}
    arn = f"arn:aws:elasticloadbalancing:eu-west-1:{ACCOUNT}:targetgroup/lambda/23895"
    return {
        "requestContext": {"elb": {"targetGroupArn": arn}},
        "httpMethod": "GET",
        "path": "/orders",
        **(many if multi_value else one),
        "body": "",
        "isBase64Encoded": False,
        **more,
    }


def authorizer_event() -> dict[str, Any]:
    arn = f"arn:aws:execute-api:eu-west-1:{ACCOUNT}:abcdef123/test/GET/orders"
    return {**rest_event(), "type": "REQUEST", "methodArn": arn}


def websocket_event() -> dict[str, Any]:
    context = {"routeKey": "$default", "eventType": "MESSAGE", "connectionId": "L0SM9cOFvHcCIhw=", "stage": "test"}
    return {"requestContext": context, "body": "hello", "isBase64Encoded": False}


def sqs_event(*bodies: str, groups: tuple[str, ...] = ()) -> dict[str, Any]:
    """With message ids m0, m1 and so on; of a FIFO queue where there are groups."""
    queue = f"arn:aws:sqs:eu-west-1:{ACCOUNT}:orders{'.fifo' if groups else ''}"
    records = []
    for number, body in enumerate(bodies):
        group = {"MessageGroupId": groups[number], "SequenceNumber": str(number)} if groups else {}
        records.append(
            {
                "messageId": f"m{number}",
                "receiptHandle": f"handle-{number}",
                "body": body,
                "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1545082649183", **group},
                "messageAttributes": {},
                "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
                "eventSource": "aws:sqs",
                "eventSourceARN": queue,
                "awsRegion": "eu-west-1",
            }
        )
    return {"Records": records}


def sns_event(message: str = "hello") -> dict[str, Any]:
    topic = f"arn:aws:sns:eu-west-1:{ACCOUNT}:orders"
    sns = {"MessageId": "1", "TopicArn": topic, "Subject": "new", "Message": message, "MessageAttributes": {}}
    return {"Records": [{"EventSource": "aws:sns", "EventVersion": "1.0", "Sns": sns}]}


def s3_event(key: str = "in/a.csv") -> dict[str, Any]:
    s3 = {"bucket": {"name": "uploads"}, "object": {"key": key, "size": 1024}}
    return {"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": s3}]}


def schedule_event() -> dict[str, Any]:
    return bridge_event("Scheduled Event", {}, source="aws.events")


def bridge_event(detail_type: str, detail: dict[str, Any], source: str = "shop.orders") -> dict[str, Any]:
    return {
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": detail_type,
        "source": source,
        "account": ACCOUNT,
        "time": "2026-10-08T16:53:06Z",
        "region": "eu-west-1",
        "resources": [],
        "detail": detail,
    }


def kinesis_event(*data: str) -> dict[str, Any]:
    def record(number: int, each: str) -> dict[str, Any]:
        kinesis = {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": "1",
            "sequenceNumber": f"s{number}",
            "data": each,
            "approximateArrivalTimestamp": 1545084650.987,
        }
        return {"kinesis": kinesis, "eventSource": "aws:kinesis", "eventID": f"shardId-000000000006:s{number}"}

    return {"Records": [record(number, each) for number, each in enumerate(data)]}


def dynamodb_event(count: int = 1) -> dict[str, Any]:
    def record(number: int) -> dict[str, Any]:
        change = {
            "ApproximateCreationDateTime": 1479499740,
            "Keys": {"Id": {"N": str(number)}},
            "NewImage": {"Id": {"N": str(number)}},
            "SequenceNumber": f"s{number}",
            "SizeBytes": 26,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        }
        return {
            "eventID": str(number),
            "eventName": "INSERT",
            "eventSource": "aws:dynamodb",
            "awsRegion": "eu-west-1",
            "dynamodb": change,
        }

    return {"Records": [record(number) for number in range(count)]}


def body_of(answer: Any) -> Any:
    """What a client of the gateway reads."""
    return json.loads(answer["body"])
