import sys

import pytest
import requests

from chalicelib.errors import Misconfigured
from chalicelib.local import EmbeddedDynamoDB, banner, prepared, served_by_chalice_local
from chalicelib.settings import Settings


def test_an_embedded_dynamodb_answers_on_loopback() -> None:
    server = EmbeddedDynamoDB()
    assert server.url.startswith("http://127.0.0.1:")
    assert requests.get(server.url, timeout=30).status_code == 200
    server.stop()
    with pytest.raises(requests.ConnectionError):
        requests.get(server.url, timeout=30)


def test_a_dynamodb_that_the_user_names_wins_over_the_embedded_one() -> None:
    settings = prepared(Settings(stage="dev", endpoint_url="http://127.0.0.1:9", dev_token="mine"))
    assert (settings.endpoint_url, settings.dev_token) == ("http://127.0.0.1:9", "mine")


def test_a_missing_token_is_made_up_anew_each_time() -> None:
    one, other = (prepared(Settings(stage="dev", endpoint_url="http://127.0.0.1:9")).dev_token for _ in range(2))
    assert one
    assert one != other


def test_the_banner_is_short_and_holds_the_url_the_token_and_three_curl_lines() -> None:
    text = banner(Settings(stage="dev", dev_token="secret"), "http://localhost:8000", "/chaos_experiments")
    assert text.count("  curl ") == 3
    assert "http://localhost:8000/chaos_experiments" in text
    assert "secret" in text
    assert len(text.splitlines()) <= 10


@pytest.mark.parametrize(
    ("arguments", "url"),
    [
        (["/x/bin/chalice", "local"], "http://localhost:8000"),
        (["chalice", "local", "--port", "9000"], "http://localhost:9000"),
        (["chalice", "local", "--port=9000", "--host", "0.0.0.0"], "http://localhost:9000"),
        (["chalice", "local", "--host=192.0.2.1"], "http://192.0.2.1:8000"),
        (["chalice", "package", "out"], None),
        (["chalice", "deploy", "--stage", "dev"], None),
        (["pytest", "local"], None),
        ([], None),
    ],
)
def test_it_knows_where_chalice_local_serves_and_other_programs_apart(arguments: list[str], url: str | None) -> None:
    assert served_by_chalice_local(arguments) == url


def test_without_moto_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "moto.moto_server.werkzeug_app", None)
    with pytest.raises(Misconfigured, match=r"pip install 'chaos-experiments\[dev\]'"):
        EmbeddedDynamoDB()
