"""How long a Lambda invocation has left, whatever hands it to the application."""

import json
import math
import os
import sys
import time
from collections.abc import Callable
from typing import cast

from ..injection.call import LambdaContext, remaining_seconds
from ..settings import IN_LAMBDA

WEB_ADAPTER = "x-amzn-lambda-context"
"""The header in which the Lambda Web Adapter hands an invocation's context to a server, as JSON."""

NAMES = ("lambda_context", "context")
"""What Lambda's runtime, and most handlers, call it."""


def seconds_left(context: LambdaContext | None, header: Callable[[str], str | None]) -> float:
    """By the context that an adapter hands on, and in Lambda also where none does; infinite where nobody knows."""
    if context is None and IN_LAMBDA in os.environ:
        by_header = header(WEB_ADAPTER)
        if by_header:
            return _until(by_header)
        context = on_the_stack()
    try:
        return remaining_seconds(context)
    except (AttributeError, TypeError):  # a stand-in, with which somebody calls a handler on a machine of their own
        return math.inf


def _until(web_adapter: str) -> float:
    try:
        return float(json.loads(web_adapter)["deadline"]) / 1000 - time.time()
    except (ValueError, TypeError, LookupError):
        return math.inf


def on_the_stack() -> LambdaContext | None:
    """The context with which the runtime has called the handler, which this thread is still in.

    The runtime publishes it nowhere else, and an adapter that does not hand it on has it in a variable all the same.
    """
    frame = sys._getframe()  # noqa: SLF001 - there is no public way
    while frame := frame.f_back:  # type: ignore[assignment]
        for name in NAMES:
            if name in frame.f_code.co_varnames:
                found = frame.f_locals.get(name)
                if hasattr(found, "get_remaining_time_in_millis"):
                    return cast("LambdaContext", found)
    return None
