"""Addresses of the endpoints: what can be one, and where they may be when an address is only about right."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from ..api.endpoints import PREFIX

ADDRESS = re.compile(r"https?://[^\s/?#]+[^\s?#]*")
PATH = re.compile(r"/[^\s#]*")
PREFIXES = (PREFIX, f"/v1{PREFIX}")
DOCUMENT = "/openapi.json"
LIST = "/list"
OPERATIONS = "chaos_experiments_"
"""How the ids of all our operations begin, in an OpenAPI document."""

OFF = ("module_off", "misconfigured")
"""Codes of a module that is there, but publishes no document."""


def address(text: str) -> str:
    """A URL of endpoints. Raises ValueError, which says what is allowed."""
    if not ADDRESS.fullmatch(text):
        with_scheme = f"http://{text}"
        is_likely = "://" not in text and ADDRESS.fullmatch(with_scheme)
        likely = with_scheme if is_likely else f"http://localhost:8000{PREFIX}"
        raise ValueError(f"must be an address such as {likely}; got {text!r}.")
    return text.rstrip("/")


def address_or_path(text: str) -> str:
    """A URL, or the path of a route. Raises ValueError, which says what is allowed."""
    if PATH.fullmatch(text):
        return text
    try:
        return address(text)
    except ValueError as error:
        raise ValueError(str(error).replace("must be", "must be a path such as /orders or")) from None


def names_no_prefix(url: str) -> bool:
    """Whether it is the address of a whole application."""
    return not urlsplit(url).path


def nearby(url: str) -> Iterator[str]:
    """Where the endpoints may be, all on the same host; the likeliest first."""
    yield url
    yield from (url + prefix for prefix in PREFIXES)
    host = "{0.scheme}://{0.netloc}".format(urlsplit(url))
    above = url.rpartition("/")[0]
    if len(above) > len(host):
        yield above
    if url != host:
        yield from (host + prefix for prefix in PREFIXES)


def published(content: Mapping[str, Any], url: str) -> str:
    """The address of the endpoints, from what is at `url` + DOCUMENT; empty where they are not published there.

    An application may publish them in a document of its own, which is above them.
    """
    if content.get("code") in OFF:
        return url
    paths = content.get("paths")
    for path in filter(_is_list, paths.items() if isinstance(paths, dict) else ()):
        prefix = path[0].removesuffix(LIST)
        return url if url.endswith(prefix) else url + prefix
    return ""


def _is_list(described: tuple[str, Any]) -> bool:
    """Whether a path of an OpenAPI document, and its operations, are our list of experiments."""
    path, operations = described
    return path.endswith(LIST) and OPERATIONS in json.dumps(operations)
