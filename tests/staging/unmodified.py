"""Six Lambda functions that know nothing of the module: each is triggered by something else, and notes what it handles.

Each has the layer, the policy that docs/aws.md tells, and the two variables.
"""

import http.client
import io
import json
import re
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

from tests.staging.account import REGION, Account
from tests.staging.runtime import Runtime

TABLE = "chaos-experiments-staging"
SCOPE = "app#staging"
ACCOUNT = "000000000000"
DOCUMENTED = Path(__file__).parents[2] / "docs/aws.md"
MEMORY_MB = 256
TIMEOUT_SECONDS = 10

HANDLER = Template("""
import json
import os

import boto3

stock = boto3.resource("dynamodb", region_name=os.environ["AWS_REGION"]).Table("stock")


def note(order):
    with open(os.environ["HANDLED"], "a") as handled:
        handled.write(f"{order}\\n")


def handler(event, context):
    $body
""")
"""As real ones do, it makes a client when it is imported. What it has done it notes in a file."""

KINDS = {
    "http": """note(event["queryStringParameters"]["order"])
    return {"statusCode": 201, "headers": {"content-type": "application/json"}, "body": json.dumps({"made": True})}""",
    "sqs": """for record in event["Records"]:
        note(record["body"])""",
    "sns": """for record in event["Records"]:
        note(record["Sns"]["Message"])""",
    "schedule": """note(event["order"])""",
    "s3": """for record in event["Records"]:
        note(record["s3"]["object"]["key"])""",
    "kinesis": """import base64
    for record in event["Records"]:
        note(base64.b64decode(record["kinesis"]["data"]).decode())""",
}


@dataclass
class Functions:
    """Deployed. `send` triggers one, `handled` says which orders were handled."""

    account: Account
    notes: Path
    senders: dict[str, Callable[[str], Any]] = field(default_factory=dict)
    host: str = ""
    """Of the API before the function of the kind http."""

    def send(self, kind: str, order: str) -> Any:
        return self.senders[kind](order)

    def get(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """What the API answers."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.account.port, timeout=60)) as connection:
            connection.request("GET", path, headers={"Host": self.host})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def handled(self) -> list[str]:
        """The orders, each as often as it was handled."""
        return self.notes.read_text().splitlines()


def zipped(files: Mapping[str, str]) -> bytes:
    """A function's code."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as package:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o755 << 16
            package.writestr(entry, content)
    return made.getvalue()


def name_of(kind: str) -> str:
    return f"orders-{kind}"


def documented_policy() -> dict[str, Any]:
    """The first one of docs/aws.md, of this scope and account."""
    text = re.search(r"```json\n(.*?)```", DOCUMENTED.read_text(), re.DOTALL)
    assert text
    own = text[1].replace("shop#qa", SCOPE).replace("chaos-experiments-qa", TABLE).replace("123456789012", ACCOUNT)
    policy: dict[str, Any] = json.loads(own)
    return policy


OF_TRIGGERS = {
    "Effect": "Allow",
    "Action": [
        *("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "kinesis:GetRecords"),
        *("kinesis:GetShardIterator", "kinesis:DescribeStream", "kinesis:ListShards", "kinesis:DescribeStreamSummary"),
        "lambda:InvokeFunction",
    ],
    "Resource": "*",
}


@contextmanager
def deployed_functions(account: Account, runtime: Runtime, folder: Path, **variables: str) -> Iterator[Functions]:
    notes = folder / "handled.txt"
    notes.touch()
    functions = Functions(account, notes)
    role = _role(account)
    arns = {}
    for kind, body in KINDS.items():
        made = account.client("lambda").create_function(
            FunctionName=name_of(kind),
            Runtime="provided.al2023",
            Role=role,
            Handler="src/app.handler",
            Timeout=TIMEOUT_SECONDS,
            MemorySize=MEMORY_MB,
            Code={"ZipFile": zipped({**runtime.program, "src/app.py": HANDLER.substitute(body=body)})},
            Environment={"Variables": {"HANDLED": str(notes), **variables}},
        )
        arns[kind] = made["FunctionArn"]
    undo: list[Callable[[], Any]] = []
    try:
        for kind, trigger in TRIGGERS.items():
            functions.senders[kind] = trigger(functions, arns[kind], role, undo)
        yield functions
    finally:
        for each in undo:
            with suppress(Exception):
                each()
        for kind in KINDS:
            with suppress(Exception):
                account.client("lambda").delete_function(FunctionName=name_of(kind))


def _role(account: Account) -> str:
    iam = account.client("iam")
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": ["lambda.amazonaws.com", "scheduler.amazonaws.com"]},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    role: str = iam.create_role(RoleName="orders", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    own = {"Version": "2012-10-17", "Statement": [OF_TRIGGERS]}
    for name, policy in {"chaos": documented_policy(), "own": own}.items():
        iam.put_role_policy(RoleName="orders", PolicyName=name, PolicyDocument=json.dumps(policy))
    return role


# What triggers them

Undo = list[Callable[[], Any]]


def _http(functions: Functions, arn: str, role: str, undo: Undo) -> Callable[[str], Any]:
    account = functions.account
    apis = account.client("apigatewayv2")
    api = apis.create_api(Name="orders", ProtocolType="HTTP")["ApiId"]
    undo.append(lambda: apis.delete_api(ApiId=api))
    proxy = {"IntegrationType": "AWS_PROXY", "IntegrationUri": arn, "PayloadFormatVersion": "2.0"}
    integration = apis.create_integration(ApiId=api, **proxy)["IntegrationId"]
    apis.create_route(ApiId=api, RouteKey="$default", Target=f"integrations/{integration}")
    apis.create_stage(ApiId=api, StageName="$default", AutoDeploy=True)
    account.client("lambda").add_permission(
        FunctionName=arn, StatementId="api", Action="lambda:InvokeFunction", Principal="apigateway.amazonaws.com"
    )
    functions.host = f"{api}.execute-api.localhost:{account.port}"
    return lambda order: functions.get(f"/orders?order={order}")


def _sqs(functions: Functions, arn: str, role: str, undo: Undo) -> Callable[[str], Any]:
    sqs = functions.account.client("sqs")
    url = sqs.create_queue(QueueName="orders", Attributes={"VisibilityTimeout": str(TIMEOUT_SECONDS)})["QueueUrl"]
    undo.append(lambda: sqs.delete_queue(QueueUrl=url))
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    _map(functions.account, arn, undo, EventSourceArn=queue, BatchSize=1)
    return lambda order: sqs.send_message(QueueUrl=url, MessageBody=order)


def _sns(functions: Functions, arn: str, role: str, undo: Undo) -> Callable[[str], Any]:
    sns = functions.account.client("sns")
    topic = sns.create_topic(Name="orders")["TopicArn"]
    undo.append(lambda: sns.delete_topic(TopicArn=topic))
    _permit(functions.account, arn, "sns.amazonaws.com", topic)
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=arn)
    return lambda order: sns.publish(TopicArn=topic, Message=order)


def _schedule(functions: Functions, arn: str, role: str, undo: Undo) -> Callable[[str], Any]:
    scheduler = functions.account.client("scheduler")

    def send(order: str) -> Any:
        undo.append(lambda: scheduler.delete_schedule(Name=order))
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 1))
        target = {"Arn": arn, "RoleArn": role, "Input": json.dumps({"order": order})}
        return scheduler.create_schedule(
            Name=order, ScheduleExpression=f"at({moment})", FlexibleTimeWindow={"Mode": "OFF"}, Target=target
        )

    return send


def _s3(functions: Functions, arn: str, role: str, undo: Undo) -> Callable[[str], Any]:
    s3 = functions.account.client("s3")
    s3.create_bucket(Bucket="orders", CreateBucketConfiguration={"LocationConstraint": REGION})
    _permit(functions.account, arn, "s3.amazonaws.com", "arn:aws:s3:::orders")
    notify = {"LambdaFunctionConfigurations": [{"LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"]}]}
    s3.put_bucket_notification_configuration(Bucket="orders", NotificationConfiguration=notify)
    return lambda order: s3.put_object(Bucket="orders", Key=order, Body=b"tea")


def _kinesis(functions: Functions, arn: str, role: str, undo: Undo) -> Callable[[str], Any]:
    kinesis = functions.account.client("kinesis")
    kinesis.create_stream(StreamName="orders", ShardCount=1)
    undo.append(lambda: kinesis.delete_stream(StreamName="orders"))
    stream = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/orders"
    kinesis.get_waiter("stream_exists").wait(StreamName="orders", WaiterConfig={"Delay": 1})
    _map(functions.account, arn, undo, EventSourceArn=stream, BatchSize=1, StartingPosition="LATEST")
    return lambda order: kinesis.put_record(StreamName="orders", Data=order.encode(), PartitionKey="one")


def _permit(account: Account, arn: str, principal: str, source: str) -> None:
    account.client("lambda").add_permission(
        FunctionName=arn,
        StatementId=principal.partition(".")[0],
        Action="lambda:InvokeFunction",
        Principal=principal,
        SourceArn=source,
    )


def _map(account: Account, arn: str, undo: Undo, **source: Any) -> None:
    functions = account.client("lambda")
    made = functions.create_event_source_mapping(FunctionName=arn, **source)
    undo.append(lambda: functions.delete_event_source_mapping(UUID=made["UUID"]))


TRIGGERS = {"http": _http, "sqs": _sqs, "sns": _sns, "schedule": _schedule, "s3": _s3, "kinesis": _kinesis}
