import json
import time
import uuid
from dataclasses import replace
from typing import Any

import botocore.session
import pytest

from chalicelib import __version__
from chalicelib.access import Authenticator, Role, hash_token
from chalicelib.bootstrap import bootstrap
from chalicelib.cli import main, stages
from chalicelib.dynamodb.tokens import DynamoDBTokenStore
from chalicelib.errors import StoreUnavailable
from chalicelib.runs.event import Event
from chalicelib.settings import Settings
from tests.support import Clock, FakeResultStore, FakeRunStore, FakeTokenStore, a_run

CREATE = ["token", "create", "--name", "ada", "--role", "operator"]


@pytest.fixture(autouse=True)
def _stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAOS_STAGE", "qa")


def run(arguments: list[str], tokens: FakeTokenStore, runs: FakeRunStore | None = None) -> int:
    return main(
        arguments,
        lambda settings: bootstrap(settings, runs=runs or FakeRunStore(), results=FakeResultStore(), tokens=tokens),
    )


@pytest.fixture
def tokens() -> FakeTokenStore:
    return FakeTokenStore()


def test_a_token_is_printed_once_on_the_last_line(
    tokens: FakeTokenStore, capsys: pytest.CaptureFixture[str], clock: Clock
) -> None:
    assert run(CREATE, tokens) == 0
    printed = capsys.readouterr().out
    secret = printed.splitlines()[-1]
    assert printed.count(secret) == 1
    assert Authenticator(tokens, clock)({"authorization": f"Bearer {secret}"}).role is Role.OPERATOR


def test_with_json_a_script_gets_tokens_and_refusals_too(
    tokens: FakeTokenStore, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(*arguments: str) -> dict[str, Any]:
        run([*arguments, "--json"], tokens)
        content: dict[str, Any] = json.loads(capsys.readouterr().out)
        return content

    created = answer(*CREATE)
    assert tokens.find(hash_token(created.pop("token")))
    assert created == {"hash": tokens.all()[0].hash[:12], "name": "ada", "role": "operator", "expires_at": None}
    assert answer("token", "list") == {"tokens": [created]}
    assert answer("token", "revoke", "zzzzzz")["code"] == "unknown_token"
    assert answer("token", "revoke", str(created["hash"])) == created


def test_a_token_can_be_for_some_days(tokens: FakeTokenStore, capsys: pytest.CaptureFixture[str]) -> None:
    run([*CREATE, "--days", "7"], tokens)
    (token,) = tokens.all()
    assert token.expires_at == token.created_at + 7 * 24 * 3600
    assert "valid until 20" in capsys.readouterr().out


def test_the_list_shows_no_secret(tokens: FakeTokenStore, capsys: pytest.CaptureFixture[str]) -> None:
    run(CREATE, tokens)
    secret = capsys.readouterr().out.splitlines()[-1]
    assert run(["token", "list"], tokens) == 0
    listed = capsys.readouterr().out
    assert listed.split() == [hash_token(secret)[:12], "operator", "until", "revoked", "ada"]


def test_a_token_is_revoked_by_the_beginning_of_its_hash(tokens: FakeTokenStore) -> None:
    run(CREATE, tokens)
    assert run(["token", "revoke", tokens.all()[0].hash[:12]], tokens) == 0
    assert tokens.all() == []


def test_a_short_beginning_revokes_none_though_there_is_one(tokens: FakeTokenStore) -> None:
    run(CREATE, tokens)
    assert run(["token", "revoke", ""], tokens) == 1
    assert len(tokens.all()) == 1


@pytest.mark.parametrize("beginning", ["", "zzzzzz"])
def test_a_beginning_that_is_not_of_one_token_revokes_none(
    tokens: FakeTokenStore, beginning: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(CREATE, tokens)
    run(CREATE, tokens)
    assert run(["token", "revoke", beginning], tokens) == 1
    assert "tokens begin with" in capsys.readouterr().err
    assert len(tokens.all()) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["token"],
        ["table"],
        ["token", "create"],
        [*CREATE[:-1], "king"],
        *([*CREATE, "--days", days] for days in ("0", "-1", "nan", "inf", "1e9", "x")),
    ],
)
def test_a_command_that_cannot_be_is_a_usage_error(arguments: list[str]) -> None:
    assert main(arguments) == 2


def test_the_stage_dev_without_a_shared_table_says_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAOS_APPLICATION", uuid.uuid4().hex[:8])  # nobody has it running in this folder
    assert main([*CREATE, "--stage", "dev"]) == 1
    assert "AWS_ENDPOINT_URL_DYNAMODB" in capsys.readouterr().err


def test_it_says_which_version_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


def test_no_stage_says_what_to_do(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHAOS_STAGE")
    assert main(CREATE) == 1
    assert "CHAOS_STAGE" in capsys.readouterr().err


@pytest.fixture
def account(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that reaches an account, as on a machine from which stages are looked after."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", settings.endpoint_url or "")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    "command",
    [CREATE, ["token", "list"], ["token", "revoke", "3f9a2c"], ["halt", "--reason", "now"], ["resume"]],
)
def test_a_wrong_stage_is_reported_with_its_table_and_the_region_and_how_to_create_it(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--stage", "nowhere"], program="python -m chalicelib") == 1
    output = capsys.readouterr().err
    assert "Table chaos-experiments-nowhere does not exist" in output
    assert "Check the stage, CHAOS_TABLE and the region; or create it:" in output
    assert ".venv/bin/python -m chalicelib table create --stage nowhere" in output


def test_a_table_that_fails_otherwise_is_reported_as_the_store_reports_it(
    tokens: FakeTokenStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_arguments: object) -> None:
        raise StoreUnavailable("The table is busy.")

    monkeypatch.setattr(tokens, "all", fail)
    assert run(["token", "list"], tokens) == 1
    assert capsys.readouterr().err == "The table is busy.\n"


def test_a_halt_where_nothing_ever_happened_asks_whether_it_is_the_right_application(
    tokens: FakeTokenStore, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = FakeRunStore()
    assert run(["halt", "--reason", "now", "--stage", "qa"], tokens, runs) == 0
    assert "Warning: application app, stage qa has no other entry in its history." in capsys.readouterr().err
    assert run(["resume", "--stage", "qa"], tokens, runs) == 0
    assert "Warning" not in capsys.readouterr().err


def test_a_halt_is_no_failure_where_the_history_cannot_be_read(
    tokens: FakeTokenStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise StoreUnavailable("The table is busy.")

    runs = FakeRunStore()
    monkeypatch.setattr(runs, "history", fail)
    assert run(["halt", "--reason", "now", "--stage", "qa"], tokens, runs) == 0
    assert "Warning" not in capsys.readouterr().err


def test_a_missing_region_is_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    for command in (["table", "create"], CREATE):
        assert main([*command, "--stage", "staging"]) == 1
        assert "No AWS region is known" in capsys.readouterr().err


def test_a_real_table_keeps_the_token(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", settings.endpoint_url or "")
    monkeypatch.setenv("CHAOS_TABLE", settings.table)
    assert main([*CREATE, "--stage", "dev"]) == 0
    secret = capsys.readouterr().out.splitlines()[-1]
    assert DynamoDBTokenStore(settings).find(hash_token(secret))


@pytest.mark.usefixtures("account")
def test_a_table_is_made_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHAOS_TABLE", f"{settings.table}-staging")
    output = []
    for _ in range(2):
        assert main(["table", "create", "--stage", "staging"]) == 0
        output.append(capsys.readouterr().out)
    assert [output[0].startswith("Created the table"), "exists already" in output[1]] == [True, True]
    assert main([*CREATE, "--stage", "staging"]) == 0
    client = botocore.session.get_session().create_client("dynamodb", region_name="us-east-1")
    backups = client.describe_continuous_backups(TableName=f"{settings.table}-staging")["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    client.close()


def test_what_is_done_to_tokens_is_in_the_history_without_the_token(
    tokens: FakeTokenStore, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = FakeRunStore()
    run(CREATE, tokens, runs)
    secret = capsys.readouterr().out.splitlines()[-1]
    run(["token", "revoke", tokens.all()[0].hash], tokens, runs)
    created, revoked = runs.past.values()
    assert isinstance(created, Event)
    assert isinstance(revoked, Event)
    assert (created.action, revoked.action) == ("token_created", "token_revoked")
    assert created.details == revoked.details == {"hash": hash_token(secret)[:12], "name": "ada", "role": "operator"}
    assert "@" in created.by
    assert created.source == "command line"


def test_the_halt_without_the_api(tokens: FakeTokenStore, capsys: pytest.CaptureFixture[str]) -> None:
    runs = FakeRunStore({"latency_injection": a_run(now=time.time(), duration_seconds=600)})
    assert run(["halt", "--reason", "orders are lost", "--stage", "qa"], tokens, runs) == 0
    halted = capsys.readouterr()
    assert json.loads(halted.out)["ended_runs"] == [runs.runs["latency_injection"].run_id]
    assert "Using the table chaos-experiments-qa (CHAOS_TABLE): application app" in halted.err
    assert "To end the halt: chaos-experiments resume --stage qa" in halted.err
    assert runs.halt_event
    assert runs.halt_event.reason == "orders are lost"
    assert runs.active(time.time()) == []
    assert run(["resume", "--stage", "qa"], tokens, runs) == 0
    assert runs.halt_event is None
    capsys.readouterr()
    assert run(["resume", "--stage", "qa"], tokens, runs) == 1
    assert "Nothing is halted" in capsys.readouterr().err


def test_the_halt_works_from_a_shell_where_the_module_is_off(
    tokens: FakeTokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAOS_ENABLED", "false")
    runs = FakeRunStore()
    assert run(["halt", "--reason", "now", "--stage", "qa"], tokens, runs) == 0
    assert runs.halt_event


def test_in_the_stage_dev_a_command_is_about_the_embedded_table_and_never_about_an_account(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_DYNAMODB", raising=False)
    monkeypatch.setattr(stages, "rejoin", lambda _settings: True)
    embedded = {"endpoint_url": "http://127.0.0.1:9", "embedded": True}
    monkeypatch.setattr(stages, "prepared", lambda settings: replace(settings, **embedded))
    asked = stages.settings_of("dev")
    assert (asked.endpoint_url, asked.embedded, asked.table_timeout_seconds) == ("http://127.0.0.1:9", True, 5.0)


def test_a_misspelt_variable_keeps_nobody_from_halting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAOS_STATE", "x")
    assert stages.settings_of("qa").stage == "qa"
