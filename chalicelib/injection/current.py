"""The call that is being served now, where something is active."""

from contextvars import ContextVar
from typing import Any

from .engine import InjectionResult

CURRENT: ContextVar[tuple[Any, InjectionResult] | None] = ContextVar("chaos_experiments", default=None)
"""The injection and its result, while a request is served and something is active.

The outermost boundary of a chain sets it; the first route's place that is reached applies it.
"""
