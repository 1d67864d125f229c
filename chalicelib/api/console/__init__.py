"""The console: one page, with all that it needs in it, and nothing from another host."""

from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files

from ...report.documents import STYLE as REPORT_STYLE
from ..http import Response

STYLES = ("vendor/uPlot.min.css", "console.css")
SCRIPTS = ("vendor/uPlot.iife.min.js", "console.js")


def page(application: str, stage: str, *, production: bool) -> Response:
    """The page. It says which stage it is of before anybody has signed in: a token must not go to the wrong one."""
    named = {"{application}": application, "{stage}": stage, "{tone}": _tone(stage, production=production)}
    text = _template()
    for name, value in named.items():
        text = text.replace(name, escape(value))
    return Response(200, {}, _headers(), text.replace("{styles}", _styles()).replace("{scripts}", _scripts()))


def _tone(stage: str, *, production: bool) -> str:
    if production:
        return "production"
    return "development" if stage == "dev" else "staging"


@cache
def _template() -> str:
    return _read("console.html")


@cache
def _styles() -> str:
    return "".join(f"<style>{_read(name)}</style>" for name in STYLES)


@cache
def _scripts() -> str:
    return "".join(f"<script>{_read(name)}</script>" for name in SCRIPTS)


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


@cache
def _headers() -> Mapping[str, str]:
    """A report is shown within the page, under the page's policy: so its style is let in, too."""
    styles = " ".join(_hash(text) for text in (*map(_read, STYLES), REPORT_STYLE))
    scripts = " ".join(_hash(_read(name)) for name in SCRIPTS)
    policy = (
        f"default-src 'none'; script-src {scripts}; style-src {styles}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
