"""What this repository is called on AWS: a stage of `.chalice/config.json`, in an account and a region."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.settings import DEVELOPMENT, Settings, read_settings

from .errors import DeploymentError

CONTROL_PLANE = "control_plane"
"""The function that `make deploy` adds. With `chalice deploy` the application's function is the control plane, too."""

STAGE = re.compile(r"[a-z][a-z0-9-]{0,15}")


@dataclass(frozen=True, kw_only=True)
class Account:
    """Where to: whoever the AWS credentials are, in their region."""

    number: str
    partition: str
    region: str


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of the Chalice application in `root`. `name` is what the stack and the functions are called."""

    root: Path
    stage: str
    name: str
    settings: Settings
    account: Account

    @property
    def bucket(self) -> str:
        """Where the packages are uploaded to: names of buckets are shared with all the world."""
        return f"{self.name}-{self.account.number}-{self.account.region}"

    def render(self, text: str) -> str:
        """`${…}` in the text replaced by what it is in this stage, account and region."""
        return Template(text).substitute(
            name=self.name,
            table=self.settings.table,
            scope=self.settings.scope,
            account=self.account.number,
            partition=self.account.partition,
            region=self.account.region,
        )

    def policies(self) -> dict[str, Any]:
        """The policy of each function. An ARN names an account, so they are made."""
        policies: dict[str, Any] = json.loads(self.render((self.root / ".chalice/policies.json").read_text()))
        return policies

    def write_policies(self) -> list[Path]:
        """Write the policy of each function that Chalice knows where it looks for it."""
        written = []
        for function, policy in self.policies().items():
            if function == CONTROL_PLANE:
                continue
            path = self.root / f".chalice/policy-{self.stage}-{function}.json"
            path.write_text(json.dumps(policy, indent=2) + "\n")
            written.append(path)
        return written


def open_stage(root: Path, stage: str, session: boto3.Session) -> Stage:
    """Raises DeploymentError where the project has no such stage, or nobody knows whose account and region to use."""
    config = json.loads((root / ".chalice/config.json").read_text())
    stages = config["stages"]
    if stage == DEVELOPMENT:
        raise DeploymentError("The stage dev runs on this machine only. Start it with: make run")
    if stage not in stages or not STAGE.fullmatch(stage):
        deployable = ", ".join(name for name in stages if name != DEVELOPMENT)
        raise DeploymentError(
            f"There is no stage {stage!r} to deploy. Available in .chalice/config.json: {deployable}.\n"
            "To add a stage, copy the entry of staging there and put the new name in it, also in CHAOS_STAGE and in "
            "the names of the policy files. A name has at most 16 characters of a-z, 0-9 and -, the first one a letter."
        )
    return Stage(
        root=root,
        stage=stage,
        name=f"{config['app_name']}-{stage}",
        settings=read_settings(stages[stage]["environment_variables"]),
        account=_account(session),
    )


def _account(session: boto3.Session) -> Account:
    try:
        caller = session.client("sts").get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        raise DeploymentError(
            f"AWS did not say which account this is: {error}\n"
            "Set credentials and a region as for any AWS tool, for example AWS_PROFILE and AWS_DEFAULT_REGION."
        ) from error
    return Account(number=caller["Account"], partition=caller["Arn"].split(":")[1], region=session.region_name)
