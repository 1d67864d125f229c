import base64
import json
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from chalicelib.access import Caller, Role
from chalicelib.errors import Forbidden, KeysUnavailable, Misconfigured, Unauthenticated
from chalicelib.settings import WebTokens, read_settings
from chalicelib.web_tokens import WebTokenAuthentication

SECRET = "a-secret-of-sixty-four-characters-which-is-what-sha-512-asks-for!"
SETTINGS = WebTokens(secret=SECRET, operators=("ada",), viewers=("bob",))


def token(name: str = "ada", *, key: Any = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    content = {"public_id": name, "exp": time.time() + 60, **claims}
    return jwt.encode({name: value for name, value in content.items() if value is not None}, key, algorithm)


def ask(encoded: str, settings: WebTokens = SETTINGS, header: str = "authorization") -> Caller | None:
    return WebTokenAuthentication(settings)({header: f"Bearer {encoded}"})


def test_the_lists_say_who_may_do_what() -> None:
    assert ask(token("ada")) == Caller("ada", Role.OPERATOR)
    assert ask(token("bob")) == Caller("bob", Role.VIEWER)
    with pytest.raises(Forbidden, match="'eve' is logged in, but has no role here"):
        ask(token("eve"))
    assert ask(token("eve"), WebTokens(secret=SECRET, viewers=("*",))) == Caller("eve", Role.VIEWER)


def unsigned() -> str:
    parts = [{"alg": "none", "typ": "JWT"}, {"public_id": "ada", "exp": time.time() + 60}]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return f"{encoded[0]}.{encoded[1]}."


@pytest.mark.parametrize(
    "refused",
    [
        pytest.param(token(exp=time.time() - 1), id="expired"),
        pytest.param(token(exp=None), id="without an end"),
        pytest.param(token(key=SECRET + "!"), id="of somebody else"),
        pytest.param(token(algorithm="HS512"), id="another algorithm"),
        pytest.param(unsigned(), id="none"),
        pytest.param(token(public_id=None), id="of nobody"),
        pytest.param("a.b.c", id="nonsense"),
        pytest.param("\ud800.b.c", id="half a character"),
        pytest.param(f"{base64.urlsafe_b64encode(b'[' * 6000).decode()}.b.c", id="nested"),
    ],
)
def test_what_is_not_valid_is_refused_without_repeating_it(refused: str) -> None:
    with pytest.raises(Unauthenticated) as error:
        ask(refused)
    assert refused not in error.value.message


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_who_issues_tokens_may_have_a_clock_that_is_a_little_ahead(claim: str) -> None:
    assert ask(token(**{claim: time.time() + 5}))
    with pytest.raises(Unauthenticated):
        ask(token(**{claim: time.time() + 60}))


def test_issuer_and_audience_are_checked_where_they_are_given() -> None:
    settings = WebTokens(secret=SECRET, operators=("ada",), issuer="us", audience="chaos")
    assert ask(token(iss="us", aud="chaos"), settings)
    for wrong in (token(iss="them", aud="chaos"), token(iss="us", aud="other"), token(iss="us"), token(aud="chaos")):
        with pytest.raises(Unauthenticated):
            ask(wrong, settings)
    assert ask(token(aud="whoever"))


@pytest.mark.parametrize(
    "header", ["", " ", "Bearer", "Bearer chaos_token-without-dots", "Basic a.b.c", "Bearer a.b.c d"]
)
def test_what_is_no_web_token_is_left_to_bearer_tokens(header: str) -> None:
    assert WebTokenAuthentication(SETTINGS)({"authorization": header} if header else {}) is None


def test_the_headers_name_is_the_applications() -> None:
    settings = WebTokens(secret=SECRET, operators=("ada",), header="X-Access-Tokens")
    assert ask(token(), settings, "x-access-tokens")
    assert ask(token(), settings) is None


def test_a_token_may_come_bare_as_genericsuites_front_end_sends_it_in_a_header_of_its_own() -> None:
    settings = WebTokens(secret=SECRET, operators=("ada",), header="X-Access-Tokens")
    assert WebTokenAuthentication(settings)({"x-access-tokens": token()}) == Caller("ada", Role.OPERATOR)
    with pytest.raises(Unauthenticated):
        WebTokenAuthentication(settings)({"x-access-tokens": token(key=SECRET + "!")})


# Keys from an address


RSA = rsa.generate_private_key(65537, 2048)
CURVE = ec.generate_private_key(ec.SECP256R1())


class Keys(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        keys = [
            {**jwt.algorithms.RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True), "kid": "rsa"},
            {**jwt.algorithms.ECAlgorithm.to_jwk(CURVE.public_key(), as_dict=True), "kid": "curve"},
        ]
        body = json.dumps({"keys": keys}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def jwks_url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/jwks.json"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(("algorithm", "key", "kid"), [("RS256", RSA, "rsa"), ("ES256", CURVE, "curve")])
def test_keys_come_from_their_address(jwks_url: str, algorithm: str, key: Any, kid: str) -> None:
    settings = WebTokens(algorithm=algorithm, jwks_url=jwks_url, claim="sub", operators=("ada",))
    claims = {"sub": "ada", "exp": time.time() + 60}
    assert ask(jwt.encode(claims, key, algorithm, {"kid": kid}), settings) == Caller("ada", Role.OPERATOR)
    with pytest.raises(Unauthenticated):
        ask(jwt.encode(claims, key, algorithm, {"kid": "unknown"}), settings)
    with pytest.raises(Unauthenticated):
        ask(jwt.encode(claims, SECRET, "HS256", {"kid": kid}), settings)


def test_an_address_that_does_not_answer_lets_nobody_in_and_logs_nobody_out() -> None:
    settings = WebTokens(algorithm="RS256", jwks_url="http://127.0.0.1:9/jwks.json", claim="sub", operators=("ada",))
    with pytest.raises(KeysUnavailable, match="was not checked, and is not refused: try again in a few seconds"):
        ask(jwt.encode({"sub": "ada", "exp": time.time() + 60}, RSA, "RS256", {"kid": "rsa"}), settings)


@pytest.mark.parametrize("name", ["", "x" * 129, "two\nlines", "\x1b[2J", "half \ud800"])
def test_a_name_that_nobody_can_print_is_nobodys(name: str) -> None:
    encoded = token(name)
    with pytest.raises(Unauthenticated, match="names nobody"):
        ask(encoded, WebTokens(secret=SECRET, viewers=("*",)))


# Settings


def test_they_are_read_from_the_environment_and_genericsuites_secret_is_taken() -> None:
    read = read_settings({"CHAOS_JWT_OPERATORS": "ada, bob", "APP_SECRET_KEY": SECRET}).web_tokens
    assert read == WebTokens(secret=SECRET, operators=("ada", "bob"))
    assert read_settings({"APP_SECRET_KEY": SECRET}).web_tokens is None


def test_an_address_of_keys_changes_the_algorithm() -> None:
    read = read_settings({"CHAOS_JWT_VIEWERS": "*", "CHAOS_JWT_JWKS_URL": "https://keys", "CHAOS_JWT_CLAIM": "sub"})
    assert read.web_tokens == WebTokens(algorithm="RS256", jwks_url="https://keys", claim="sub", viewers=("*",))


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "CHAOS_JWT_SECRET must be a secret.*; it is not set"),
        ({"CHAOS_JWT_SECRET": SECRET, "CHAOS_JWT_ALGORITHM": "RS256"}, "HS256 without CHAOS_JWT_JWKS_URL"),
        ({"CHAOS_JWT_JWKS_URL": "https://keys", "CHAOS_JWT_ALGORITHM": "none"}, "RS256 or ES256 with"),
        ({"CHAOS_JWT_JWKS_URL": "file:///etc/keys"}, "CHAOS_JWT_JWKS_URL must be a URL"),
    ],
)
def test_what_cannot_be_is_refused_with_what_is_allowed(variables: dict[str, str], message: str) -> None:
    with pytest.raises(Misconfigured, match=message):
        read_settings({"CHAOS_JWT_OPERATORS": "ada", **variables})


def test_without_the_library_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(Misconfigured, match=r"pip install 'pyjwt\[crypto\]', or unset these variables."):
        WebTokenAuthentication(SETTINGS)
