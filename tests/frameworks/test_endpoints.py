"""What a request for an endpoint costs, and the headers of its answer, on WSGI and on ASGI."""

from functools import partial
from typing import Any

import fastapi
import flask
import pytest
from starlette.testclient import TestClient

from chalicelib.access import Role, Token, new_token
from chalicelib.bootstrap import bootstrap
from chalicelib.frameworks import fastapi as for_fastapi
from chalicelib.frameworks import flask as for_flask
from chalicelib.settings import Settings
from tests.support import FakeResultStore, FakeRunStore, FakeTokenStore

ORIGIN = "https://admin.example"
TEST = "/chaos_experiments/test"


class Tokens(FakeTokenStore):
    """Counts how often a token is looked up."""

    looked_up = 0

    def find(self, token_hash: str) -> Token | None:
        self.looked_up += 1
        return super().find(token_hash)


def client(framework: str, tokens: Tokens, **options: Any) -> Any:
    wire = partial(bootstrap, Settings(stage="qa"), runs=FakeRunStore(), results=FakeResultStore(), tokens=tokens)
    if framework == "flask":
        app = flask.Flask("shop")
        for_flask.ChaosExperiments(app, wire=wire, **options)
        return app.test_client()
    asgi = fastapi.FastAPI()
    for_fastapi.ChaosExperiments(asgi, wire=wire, **options)
    return TestClient(asgi)


@pytest.mark.parametrize("framework", ["flask", "fastapi"])
@pytest.mark.parametrize(("options", "looked_up"), [({}, 0), ({"open_endpoints": False}, 1)], ids=str)
def test_the_test_endpoint_looks_a_token_up_once_if_at_all(
    framework: str, options: dict[str, Any], looked_up: int
) -> None:
    tokens = Tokens()
    secret, token = new_token("vic", Role.VIEWER, now=0)
    tokens.add(token)
    asked = client(framework, tokens, **options)
    assert asked.get(TEST, headers={"Authorization": f"Bearer {secret}"}).status_code == 200
    assert tokens.looked_up == looked_up


@pytest.mark.parametrize("framework", ["flask", "fastapi"])
def test_an_answer_without_a_body_does_not_say_how_long_it_is_or_of_what_kind(framework: str) -> None:
    headers = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    answer = client(framework, Tokens(), allowed_origins=[ORIGIN]).options(TEST, headers=headers)
    assert answer.status_code == 204
    assert "content-length" not in answer.headers
    assert "content-type" not in answer.headers
    assert answer.headers["access-control-allow-origin"] == ORIGIN
