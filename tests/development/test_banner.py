import logging
import shlex
from types import SimpleNamespace

import pytest

from chalicelib.development import banner as module
from chalicelib.development import embedded
from chalicelib.development.banner import announce, banner
from chalicelib.settings import Settings

PREFIX = "/chaos_experiments"


def test_the_banner_is_short_and_holds_the_url_the_token_and_three_curl_lines() -> None:
    text = banner(Settings(stage="dev", dev_token="secret"), "http://localhost:8000", "/chaos_experiments")
    assert text.count("  curl ") == 3
    assert "http://localhost:8000/chaos_experiments" in text
    assert "secret" in text
    assert len(text.splitlines()) <= 10


@pytest.fixture
def rejoined(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings with which a running server was looked for."""
    asked: list[Settings] = []
    monkeypatch.setattr(embedded, "rejoin", asked.append)
    return asked


def test_the_start_of_a_development_server_says_where_and_with_which_token(
    rejoined: list[Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(stage="dev", dev_token="let-me-in")
    announce(PREFIX, settings, ["/venv/bin/gunicorn", "shop:app"])
    printed = "Chaos experiments, stage dev: /chaos_experiments/console, operator token: let-me-in\n"
    assert capsys.readouterr().err == printed
    assert rejoined == [settings]


@pytest.mark.parametrize(
    ("arguments", "serves"),
    [
        (["/venv/bin/flask", "--app", "shop", "run"], True),
        (["/lib/flask/__main__.py", "run"], True),
        (["/venv/bin/uvicorn", "shop:app"], True),
        (["shop.py"], True),
        (["/venv/bin/flask", "--app", "shop", "routes"], False),
        (["-c"], False),
        ([""], False),
        (["/venv/bin/pytest"], False),
        (["/lib/pytest/__main__.py"], False),
    ],
)
def test_only_servers_announce(
    rejoined: list[Settings], capsys: pytest.CaptureFixture[str], arguments: list[str], *, serves: bool
) -> None:
    announce(PREFIX, Settings(stage="dev", dev_token="let-me-in"), arguments)
    assert ("let-me-in" in capsys.readouterr().err) is serves
    assert bool(rejoined) is serves


def test_what_goes_wrong_on_the_way_is_no_reason_not_to_serve(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_settings: Settings) -> bool:
        raise RuntimeError("no sockets here")

    monkeypatch.setattr(embedded, "rejoin", refuse)
    announce(PREFIX, Settings(stage="dev", dev_token="let-me-in"), ["gunicorn"])
    assert "Could not announce the chaos experiments module" in caplog.text


def test_a_token_with_quotes_can_be_pasted() -> None:
    text = banner(Settings(stage="dev", dev_token="it's $x"), "http://localhost:8000", PREFIX)
    line = next(each for each in text.splitlines() if each.strip().startswith("curl"))
    assert "Authorization: Bearer it's $x" in shlex.split(line)


@pytest.mark.parametrize(
    "settings",
    [Settings(stage="qa"), Settings(), Settings(stage="dev", enabled=False), Settings(stage="dev", in_lambda=True)],
)
def test_that_of_another_one_says_nothing(
    rejoined: list[Settings], capsys: pytest.CaptureFixture[str], settings: Settings
) -> None:
    announce(PREFIX, settings, ["gunicorn"])
    assert capsys.readouterr().err == ""
    assert rejoined == []


def test_what_is_wrong_with_the_variables_is_said_at_the_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "os", SimpleNamespace(environ={"CHAOS_STAGE": "my stage"}))
    announce(PREFIX, None)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "got 'my stage'" in record.getMessage()
