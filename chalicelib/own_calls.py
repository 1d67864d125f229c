"""Which outgoing calls are the module's own: to its table, to CloudWatch, for keys. No fault hits them."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_IS_OWN: ContextVar[bool] = ContextVar("chaos_experiments_own_call", default=False)


@contextmanager
def own_calls() -> Iterator[None]:
    """What the block calls is the module's own, also on a thread that gets a copy of its context."""
    token = _IS_OWN.set(True)
    try:
        yield
    finally:
        _IS_OWN.reset(token)


is_own_call = _IS_OWN.get
"""Whether what is called now is the module's own."""
