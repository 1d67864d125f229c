"""Which of a machine's AWS settings count."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.exceptions import CredentialRetrievalError, NoCredentialsError
from botocore.session import Session

from chalicelib import aws
from chalicelib.settings import Settings, read_settings
from tests.loopback import until

EMBEDDED = Settings(stage="dev", endpoint_url="http://127.0.0.1:9", embedded=True)
Machine = Callable[..., None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Machine]:
    """A machine with the variables and the profiles that a test names."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    aws._credentials.cache_clear()

    def machine(config: str = "", **variables: str) -> None:
        (tmp_path / "config").write_text(config)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    yield machine
    aws._credentials.cache_clear()


def region(session: Session) -> str | None:
    found: str | None = session.get_config_variable("region")
    return found


def settings_of(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return read_settings({"CHAOS_STAGE": "qa", **variables})


PROFILE = "[profile ours]\nregion = eu-west-3\naws_access_key_id = profile\naws_secret_access_key = s\n"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"AWS_DEFAULT_REGION": "eu-west-2", "AWS_REGION": "eu-west-1", "AWS_PROFILE": "ours"}, "eu-west-2"),
        ({"AWS_REGION": "eu-west-1", "AWS_PROFILE": "ours"}, "eu-west-3"),
        ({"AWS_REGION": "eu-west-1"}, "eu-west-1"),
        ({}, None),
    ],
)
def test_the_region_is_the_one_that_boto3_takes_and_aws_region_where_it_has_none(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str | None
) -> None:
    machine(PROFILE)
    settings = settings_of(monkeypatch, **variables)
    assert region(aws.session(settings)) == expected
    assert region(aws.table_session(settings)) == expected
    boto3s = Session().get_config_variable("region")
    assert boto3s in (expected, None)


def test_a_region_of_the_settings_wins(machine: Machine) -> None:
    machine(PROFILE, AWS_DEFAULT_REGION="eu-west-2")
    assert region(aws.session(Settings(stage="qa", region="us-west-2"))) == "us-west-2"


def test_in_development_stand_ins_do_where_a_named_table_has_no_region_and_no_credentials(machine: Machine) -> None:
    machine()
    session = aws.table_session(Settings(stage="dev", endpoint_url="http://127.0.0.1:9"))
    assert (region(session), session.get_credentials().access_key) == ("us-east-1", "local")


def test_in_development_the_machines_own_count_where_the_table_is_named(machine: Machine) -> None:
    machine(PROFILE, AWS_PROFILE="ours")
    session = aws.table_session(Settings(stage="dev", endpoint_url="http://127.0.0.1:9"))
    assert (region(session), session.get_credentials().access_key) == ("eu-west-3", "profile")


def test_in_other_stages_there_are_no_stand_ins(machine: Machine) -> None:
    machine()
    session = aws.table_session(Settings(stage="qa"))
    assert region(session) is None
    with pytest.raises(NoCredentialsError):
        session.get_credentials().get_frozen_credentials()


@pytest.mark.parametrize(
    "variables",
    [
        {"AWS_PROFILE": "not-there"},
        {"AWS_DEFAULT_REGION": "mars-1"},
        {"AWS_ACCESS_KEY_ID": "half"},
        {"HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1"},
        {"AWS_CA_BUNDLE": "/not/there"},
        {"AWS_USE_FIPS_ENDPOINT": "true"},
        {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
        {"AWS_DATA_PATH": "/not/there"},
        {"AWS_MAX_ATTEMPTS": "many"},
        {"AWS_DEFAULTS_MODE": "auto"},
        {"AWS_CONFIG_FILE": "/not/there"},
    ],
)
def test_with_the_embedded_table_none_of_them_counts(machine: Machine, variables: dict[str, str]) -> None:
    machine("[default]\nregion = [", **variables)
    session = aws.table_session(EMBEDDED)
    client = session.create_client("dynamodb", endpoint_url=EMBEDDED.endpoint_url)
    assert (region(session), session.get_credentials().access_key) == ("us-east-1", "local")
    assert client.meta.region_name == "us-east-1"
    assert client._endpoint.http_session._proxy_config.proxy_url_for("http://127.0.0.1:9") is None


def test_a_credential_process_is_started_once(machine: Machine, tmp_path: Path) -> None:
    started = tmp_path / "started"
    answer = '{"Version": 1, "AccessKeyId": "made", "SecretAccessKey": "s"}'
    (tmp_path / "credentials.sh").write_text(f"echo x >> {started}\necho '{answer}'\n")
    machine(f"[default]\ncredential_process = sh {tmp_path}/credentials.sh\n")
    settings = Settings(stage="dev", endpoint_url="http://127.0.0.1:9")
    keys = {aws.table_session(settings).get_credentials().access_key for _ in range(3)}
    assert (keys, started.read_text()) == ({"made"}, "x\n")


class MetadataService:
    """Hands out credentials for so many seconds, until it hangs."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.answers = threading.Event()
        self.answers.set()
        self.asked = 0

    def __call__(self) -> dict[str, str]:
        self.asked += 1
        self.answers.wait(30)
        expires = datetime.now(UTC) + timedelta(seconds=self.seconds)
        return {"access_key": f"k{self.asked}", "secret_key": "s", "token": "t", "expiry_time": expires.isoformat()}

    def look_up(self) -> RefreshableCredentials:
        return RefreshableCredentials.create_from_metadata(self(), self, "metadata")


def test_credentials_are_looked_up_when_a_call_is_signed_and_not_when_a_client_is_made() -> None:
    asked: list[None] = []
    credentials = aws.DeferredCredentials(lambda: asked.append(None) or Credentials("k", "s"))  # type: ignore[func-returns-value]
    assert (credentials.method, asked) == ("deferred", [])
    for _ in range(3):
        assert credentials.get_frozen_credentials().access_key == "k"
    assert credentials.get_deferred_property("account_id")() is None
    assert len(asked) == 1


def test_all_that_need_credentials_at_the_same_time_wait_for_one_lookup() -> None:
    service = MetadataService(3600)
    service.answers.clear()
    credentials = aws.DeferredCredentials(service.look_up)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(credentials.get_frozen_credentials) for _ in range(8)]
        service.answers.set()
        assert {each.result().access_key for each in waiting} == {"k1"}
    assert service.asked == 1


def test_a_lookup_that_failed_is_made_again_by_the_next_call() -> None:
    answers: list[Credentials | None] = [Credentials("k", "s"), None]
    credentials = aws.DeferredCredentials(answers.pop)
    with pytest.raises(NoCredentialsError):
        credentials.get_frozen_credentials()
    assert credentials.get_frozen_credentials().access_key == "k"


def test_what_a_provider_raises_is_said_in_botocores_words() -> None:
    def unsupported() -> Credentials:
        raise ValueError("Unsupported host")

    with pytest.raises(CredentialRetrievalError, match="ValueError: Unsupported host"):
        aws.DeferredCredentials(unsupported).get_frozen_credentials()


def test_credentials_that_expire_soon_are_renewed_beside_the_calls() -> None:
    service = MetadataService(5 * 60)  # botocore renews 15 minutes before, and lets everybody wait 10 minutes before
    credentials = aws.DeferredCredentials(service.look_up)
    known = credentials.get_frozen_credentials().access_key
    asked = service.asked
    service.answers.clear()
    for _ in range(20):
        assert credentials.get_frozen_credentials().access_key == known  # at once, though the service hangs
    until(lambda: service.asked == asked + 1)
    service.seconds = 3600
    service.answers.set()
    until(lambda: credentials.get_frozen_credentials().access_key != known)
    assert service.asked == asked + 1


def test_a_call_waits_for_the_renewal_of_credentials_that_are_nearly_over() -> None:
    service = MetadataService(30)
    credentials = aws.DeferredCredentials(service.look_up)
    known = credentials.get_frozen_credentials().access_key
    service.seconds = 3600
    assert credentials.get_frozen_credentials().access_key != known


def test_a_lookup_that_never_ends_is_left_and_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws, "ABANDONED_SECONDS", 0.05)
    hung, now, asked = threading.Event(), [0.0], []

    def look_up() -> Credentials:
        asked.append(1)
        if len(asked) == 1:
            hung.wait(60)
        return Credentials(f"k{len(asked)}", "s")

    credentials = aws.DeferredCredentials(look_up, lambda: now[0])
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(credentials.get_frozen_credentials)
        until(lambda: bool(asked))
        with pytest.raises(CredentialRetrievalError, match="no answer within"):
            credentials.get_frozen_credentials()
        now[0] = 0.06
        assert credentials.get_frozen_credentials().access_key == "k2"
        hung.set()
        assert first.result(60).access_key == "k2"
    assert credentials.get_frozen_credentials().access_key == "k2"
    assert len(asked) == 2


class HangingOnce(MetadataService):
    """Never answers one call, from when the test says so."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.is_to_hang = False
        self.hangs, self.goes_on = threading.Event(), threading.Event()

    def __call__(self) -> dict[str, str]:
        if self.is_to_hang:
            self.is_to_hang = False
            self.hangs.set()
            self.goes_on.wait(20)
        return super().__call__()


def test_a_renewal_that_never_ends_is_left_and_all_is_looked_up_anew() -> None:
    service, now = HangingOnce(30), [0.0]  # so few seconds that a call waits for the renewal
    credentials = aws.DeferredCredentials(service.look_up, lambda: now[0])
    known = credentials.get_frozen_credentials().access_key
    service.seconds, service.is_to_hang = 3600, True
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(credentials.get_frozen_credentials)
        assert service.hangs.wait(60)
        now[0] = aws.ABANDONED_SECONDS
        assert credentials.get_frozen_credentials().access_key not in (None, known)
        assert not first.done()
        service.goes_on.set()
        first.result(60)
