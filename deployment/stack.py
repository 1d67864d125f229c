"""One CloudFormation stack: created, or updated by a change set, with its events as progress."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import boto3
from botocore.exceptions import ClientError

from .errors import DeploymentError
from .package import Package
from .project import Stage

POLL_SECONDS = 2.0
NOTHING_TO_DO = ("didn't contain changes", "No updates are to be performed")
GONE = "DELETE_COMPLETE"
NEVER_MADE = {"REVIEW_IN_PROGRESS", GONE}
FAILED_AT_FIRST = {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"}


class Stack:
    """The stack of a stage."""

    def __init__(
        self,
        stage: Stage,
        session: boto3.Session,
        *,
        report: Callable[[str], None] = print,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._stage = stage
        self._cloudformation: Any = session.client("cloudformation")
        self._s3: Any = session.client("s3")
        self._logs: Any = session.client("logs")
        self._report = report
        self._sleep = sleep

    def deploy(self, package: Package, parameters: Mapping[str, str]) -> dict[str, str]:
        """The stack's outputs. Parameters that are not given stay what they were. Raises DeploymentError."""
        status = self._status()
        if status in FAILED_AT_FIRST:
            self._report(f"The stack was never created ({status}). It is removed first.")
            self._delete()
            status = GONE
        elif status.endswith("_IN_PROGRESS") and status not in NEVER_MADE:
            raise DeploymentError(
                f"The stack {self._stage.name} is being changed ({status}). Wait until that is done, then try again."
            )
        self._upload(package)
        change = self._change(package, parameters, create=status in NEVER_MADE)
        if change:
            self._execute(change)
        else:
            self._report("Nothing has changed.")
        return {output["OutputKey"]: output["OutputValue"] for output in self._describe().get("Outputs", ())}

    def undeploy(self) -> None:
        """Remove all but the table. Raises DeploymentError."""
        if self._status() not in NEVER_MADE:
            self._delete()
        name = self._stage.name
        for function in (name, f"{name}-bearer_token", f"{name}-alarm_handler", f"{name}-control_plane"):
            self._ignoring(
                "ResourceNotFoundException", self._logs.delete_log_group, logGroupName=f"/aws/lambda/{function}"
            )
        self._ignoring("NoSuchBucket", self._delete_bucket)

    def _status(self) -> str:
        try:
            status: str = self._describe()["StackStatus"]
        except ClientError as error:
            if "does not exist" not in error.response["Error"]["Message"]:
                raise
            return GONE
        return status

    def _describe(self, stack: str | None = None) -> dict[str, Any]:
        described: dict[str, Any]
        (described,) = self._cloudformation.describe_stacks(StackName=stack or self._stage.name)["Stacks"]
        return described

    def _upload(self, package: Package) -> None:
        """Uploads are kept until the stack is removed: a rollback needs the one before."""
        bucket, account = self._stage.bucket, self._stage.account
        try:
            self._s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=account.number)
        except ClientError as error:
            if error.response["Error"]["Code"] not in {"404", "NoSuchBucket"}:
                raise
            region = {} if account.region == "us-east-1" else {"LocationConstraint": account.region}
            self._s3.create_bucket(Bucket=bucket, **({"CreateBucketConfiguration": region} if region else {}))
            self._s3.put_public_access_block(
                Bucket=bucket,
                PublicAccessBlockConfiguration={
                    "BlockPublicAcls": True,
                    "IgnorePublicAcls": True,
                    "BlockPublicPolicy": True,
                    "RestrictPublicBuckets": True,
                },
            )
        stored = self._s3.list_objects_v2(Bucket=bucket, Prefix=package.key, ExpectedBucketOwner=account.number)
        if not stored["KeyCount"]:
            self._report(f"Uploading {len(package.archive) / 1e6:.1f} MB to s3://{bucket}/{package.key}")
            self._s3.put_object(
                Bucket=bucket, Key=package.key, Body=package.archive, ExpectedBucketOwner=account.number
            )

    def _change(self, package: Package, parameters: Mapping[str, str], *, create: bool) -> str | None:
        """The ARN of a change set; None where there is nothing to change. What exists already is adopted."""
        before = set() if create else {each["ParameterKey"] for each in self._describe().get("Parameters", ())}
        given = [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()]
        kept = [
            {"ParameterKey": name, "UsePreviousValue": True}
            for name in package.template.get("Parameters", {})
            if name in before and name not in parameters
        ]
        change: str = self._cloudformation.create_change_set(
            StackName=self._stage.name,
            ChangeSetName=f"deploy-{int(time.time())}",
            ChangeSetType="CREATE" if create else "UPDATE",
            TemplateBody=self._template(package),
            Parameters=given + kept,
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            ImportExistingResources=True,
        )["Id"]
        while True:
            described = self._cloudformation.describe_change_set(ChangeSetName=change)
            if described["Status"] == "CREATE_COMPLETE":
                return change
            if described["Status"] == "FAILED":
                self._cloudformation.delete_change_set(ChangeSetName=change)
                reason = described.get("StatusReason", "")
                if any(words in reason for words in NOTHING_TO_DO):
                    return None
                raise DeploymentError(f"CloudFormation rejected the template: {reason}")
            self._sleep(POLL_SECONDS)

    def _template(self, package: Package) -> str:
        """The template, with the functions' code where it was uploaded to."""
        template: dict[str, Any] = json.loads(json.dumps(package.template))
        for resource in template["Resources"].values():
            if resource["Type"] == "AWS::Serverless::Function":
                resource["Properties"]["CodeUri"] = {"Bucket": self._stage.bucket, "Key": package.key}
        return json.dumps(template)

    def _execute(self, change: str) -> None:
        stack = self._describe()["StackId"]
        seen = {event["EventId"] for event in self._events(stack)}
        self._cloudformation.execute_change_set(ChangeSetName=change)
        status, failures = self._follow(stack, seen)
        if "ROLLBACK" in status or "FAILED" in status:
            after = (
                "CloudFormation rolled the stage back to its previous version."
                if status == "UPDATE_ROLLBACK_COMPLETE"
                else "Nothing is deployed. The next deployment creates the stack."
                if status == "ROLLBACK_COMPLETE"
                else "The rollback failed, too: see the events of the stack in the AWS console."
            )
            raise DeploymentError("\n".join([f"The deployment failed ({status}). {after} What failed:", *failures]))

    def _delete(self) -> None:
        stack = self._describe()["StackId"]
        seen = {event["EventId"] for event in self._events(stack)}
        self._cloudformation.delete_stack(StackName=stack)
        status, failures = self._follow(stack, seen)
        if status != GONE:
            raise DeploymentError("\n".join([f"The stack was not removed ({status}). What failed:", *failures]))

    def _follow(self, stack: str, seen: set[str]) -> tuple[str, list[str]]:
        """Print each event until the stack comes to rest. Returns its status, and what failed."""
        failures = []
        while True:
            status: str = self._describe(stack)["StackStatus"]
            new = []
            for event in self._events(stack):
                if event["EventId"] in seen:
                    break
                new.append(event)
            for event in reversed(new):
                seen.add(event["EventId"])
                reason = event.get("ResourceStatusReason", "")
                line = f"{event['ResourceStatus']:28} {event['ResourceType']:34} {event['LogicalResourceId']}  {reason}"
                self._report(f"  {event['Timestamp']:%H:%M:%S}  {line.rstrip()}")
                if event["ResourceStatus"].endswith("_FAILED") and "cancelled" not in reason:
                    failures.append(f"  {event['LogicalResourceId']} ({event['ResourceType']}): {reason}")
            if not status.endswith("_IN_PROGRESS"):
                return status, failures
            self._sleep(POLL_SECONDS)

    def _events(self, stack: str) -> Iterator[dict[str, Any]]:
        """The newest first."""
        for page in self._cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack):
            yield from page["StackEvents"]

    def _delete_bucket(self) -> None:
        bucket = self._stage.bucket
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for stored in page.get("Contents", ()):
                self._s3.delete_object(Bucket=bucket, Key=stored["Key"])
        self._s3.delete_bucket(Bucket=bucket)

    @staticmethod
    def _ignoring(code: str, call: Callable[..., Any], **arguments: Any) -> None:  # noqa: ANN401 - whatever it takes
        try:
            call(**arguments)
        except ClientError as error:
            if error.response["Error"]["Code"] != code:
                raise
