"""`python -m deployment`: what `make deploy`, `undeploy`, `table` and `layer` do beside the table itself."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.errors import ChaosError

from .concurrency import reserve
from .errors import DeploymentError
from .layer import ARCHITECTURES, THIS_PYTHON, WRAPPER, Target, build_layer, target, unpacked_size
from .package import build
from .project import Stage, open_stage
from .stack import Stack


def main(arguments: Sequence[str], root: Path) -> int:
    """Exit code 0, or 1 with a message that says what to do."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "layer":
            _write_layer(root, target(options.runtime, options.arch))
            return 0
        session = open_session()
        stage = open_stage(root, options.stage, session)
        match options.command:
            case "policies":
                for path in stage.write_policies():
                    print(f"Wrote {path.relative_to(root)}, for chalice deploy")
            case "deploy":
                _deploy(stage, Stack(stage, session), session.client("lambda"), options.alarm_email)
            case "undeploy":
                Stack(stage, session).undeploy()
                print(f"Removed {stage.name}. Kept the table {stage.settings.table}, with its history and tokens.")
    except (DeploymentError, ChaosError, BotoCoreError, ClientError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def open_session() -> boto3.Session:
    """A session of boto3, in its own region, or else in AWS_REGION: as the application chooses it."""
    session = boto3.Session()
    return session if session.region_name else boto3.Session(region_name=os.environ.get("AWS_REGION"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deployment", description="Deploy a stage to an AWS account, or remove it."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="policies|deploy|undeploy|layer")
    policies = commands.add_parser("policies", help="write the policies that `chalice deploy` needs")
    deploy = commands.add_parser("deploy", help="create or update the stack of a stage")
    deploy.add_argument("--alarm-email", help="the email address that gets the alarms; default: unchanged")
    undeploy = commands.add_parser("undeploy", help="remove the stack of a stage; the table is kept")
    for command in (policies, deploy, undeploy):
        command.add_argument("--stage", required=True, help="a stage of .chalice/config.json, such as staging")
    layer = commands.add_parser("layer", help="write the layer for functions whose code stays as it is")
    layer.add_argument("--runtime", default=f"python{THIS_PYTHON}", help="the functions' runtime; default: %(default)s")
    layer.add_argument("--arch", default=ARCHITECTURES[0], help="x86_64 (the default) or arm64")
    return parser


def _write_layer(root: Path, wanted: Target) -> None:
    archive = build_layer(root, wanted)
    path = root / "dist" / f"{WRAPPER}-layer.zip"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(archive)
    sizes = f"{len(archive) / 1e6:.1f} MB, unpacked {unpacked_size(archive) / 1e6:.1f} MB"
    print(f"Wrote {path.relative_to(root)} for Python {wanted.python} on {wanted.architecture}: {sizes}")


def _deploy(stage: Stage, stack: Stack, client: Any, alarm_email: str | None) -> None:  # noqa: ANN401 - of AWS Lambda
    print(f"Deploying {stage.name} to the account {stage.account.number} in {stage.account.region}")
    package = build(stage)
    template, why_not = reserve(package.template, client)
    parameters = {} if alarm_email is None else {"AlarmEmail": alarm_email}
    outputs = stack.deploy(replace(package, template=template), parameters)
    if why_not:
        print(f"\n{why_not}")
    url = _url(outputs, os.environ.get("AWS_ENDPOINT_URL"))
    print(f"""
{url}

Create a token, then list the experiments:
  make token STAGE={stage.stage} NAME=$USER ROLE=operator
  curl -H 'Authorization: Bearer <token>' {url}/chaos_experiments/list""")


def _url(outputs: Mapping[str, str], endpoint: str | None) -> str:
    """Where the API answers; an emulator of AWS tells the APIs apart by their host's name."""
    url = urlsplit(outputs["EndpointURL"].rstrip("/"))
    if endpoint:
        emulator = urlsplit(endpoint)
        url = url._replace(
            scheme=emulator.scheme, netloc=f"{outputs['RestAPIId']}.execute-api.localhost:{emulator.port}"
        )
    return url.geturl()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path.cwd()))
