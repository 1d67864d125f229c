import logging

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
    announce(PREFIX, settings)
    assert capsys.readouterr().err == "Chaos experiments, stage dev: /chaos_experiments, operator token: let-me-in\n"
    assert rejoined == [settings]


@pytest.mark.parametrize(
    "settings",
    [Settings(stage="qa"), Settings(), Settings(stage="dev", enabled=False), Settings(stage="dev", in_lambda=True)],
)
def test_that_of_another_one_says_nothing(
    rejoined: list[Settings], capsys: pytest.CaptureFixture[str], settings: Settings
) -> None:
    announce(PREFIX, settings)
    assert capsys.readouterr().err == ""
    assert rejoined == []


def test_what_is_wrong_with_the_variables_is_said_at_the_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "os", type("os", (), {"environ": {"CHAOS_STAGE": "my stage"}}))
    announce(PREFIX, None)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "got 'my stage'" in record.getMessage()
