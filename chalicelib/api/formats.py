"""The formats that an answer can be had in: JSON, and for reports Markdown and HTML."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..report.documents import html, markdown
from .http import Request, Response, success
from .problems import invalid, shown, wrong

Render = Callable[[Mapping[str, Any]], Response]

MEDIA = {"json": "application/json", "markdown": "text/markdown", "html": "text/html"}
SECURITY = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def chosen(formats: Sequence[str], request: Request) -> Render:
    """How to render what is asked for: by the query's `format`, or else by the header Accept."""
    if len(formats) == 1:
        return success
    given = (request.query.get("format") or [""])[0]
    if not given:
        accepted = request.headers.get("accept", "")
        given = next((name for name in formats if MEDIA[name] in accepted), formats[0])
    if given not in formats:
        raise invalid([wrong("format", f"one of {', '.join(formats)}", shown(given))])
    return FORMATS[given]


def _markdown(report: Mapping[str, Any]) -> Response:
    return Response(200, {}, {"Content-Type": f"{MEDIA['markdown']}; charset=utf-8"}, markdown(report))


def _html(report: Mapping[str, Any]) -> Response:
    return Response(200, {}, {"Content-Type": f"{MEDIA['html']}; charset=utf-8", **SECURITY}, html(report))


FORMATS: Mapping[str, Render] = {"json": success, "markdown": _markdown, "html": _html}
