"""The file of a scenario: experiments that start together."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from .usage import Wrong

EXPERIMENTS, NAME, HYPOTHESIS = "experiments", "experiment_name", "hypothesis"
STANDARD_INPUT = "-"
SHAPE = (
    'It must be {"experiments": [...]} or the list alone, each item as in `POST /start`: '
    '{"experiment_name": "latency_injection", "delay_seconds": 2}.'
)


def read_scenario(file: str, typer_context: typer.Context) -> dict[str, Any]:
    """What to send. Raises Wrong, which says what is allowed."""
    called = "The standard input" if file == STANDARD_INPUT else file
    try:
        content = json.loads(sys.stdin.read() if file == STANDARD_INPUT else Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise Wrong(f"Cannot read {file}: {error.strerror}. Give another --file.", ctx=typer_context) from None
    except ValueError as error:
        raise Wrong(f"{called} is not valid JSON: {error}.\n{SHAPE}", ctx=typer_context) from None
    body = _whole(content)
    if body is None:
        raise Wrong(f"{called} has no list of experiments. {SHAPE}", ctx=typer_context)
    return body


def _whole(content: Any) -> dict[str, Any] | None:  # noqa: ANN401 - JSON
    """The body of a start; None where it cannot be one. One experiment alone is a list of one."""
    if isinstance(content, Mapping) and NAME in content:
        content = [content]
    body = {EXPERIMENTS: content} if isinstance(content, list) else content
    experiments = body.get(EXPERIMENTS) if isinstance(body, dict) else None
    is_list = isinstance(experiments, list) and all(isinstance(each, dict) for each in experiments)
    return body if experiments and is_list else None
