"""The handler of a function whose code nobody touches: `chaos_experiments.lambda_handler.handler`.

The function's own one is in the variable CHAOS_HANDLER, as Lambda's setting would have it: `app.handler`. It is
imported with this module, so in the init phase, and fails there as it would without us. Like an application's, and
unlike all others here, this module reads variables at import.
"""

import logging
import os
import sys
from collections.abc import Callable
from importlib import import_module
from threading import Lock
from typing import Any

from .first_look import FirstLook
from .paths import PREFIX
from .settings import Settings, read_settings

log = logging.getLogger(__name__)

OWN = "CHAOS_HANDLER"
NAMED = "_HANDLER"
"""Where Lambda's runtime, and what instruments a function, reads which handler that is."""

RUNTIME = "awslambdaric.bootstrap"
INIT = ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
"""A variable of Lambda, and what it is where the first invocation follows the init phase at once."""

Handler = Callable[[Any, Any], Any]


class ChaosHandler:
    """A handler in whose place faults are applied. What else it is asked for, it has of the function's own."""

    def __init__(self, own: Handler, look: FirstLook, wrap: Callable[[Handler], Handler]) -> None:
        self.__wrapped__ = own
        self._look = look
        self._wrap = wrap
        self._wrapping = Lock()
        self._injected: Handler | None = None

    def __call__(self, event: Any, context: Any) -> Any:  # noqa: ANN401 - whatever Lambda, and the handler, have
        if self._injected is None and not _is_ours(event) and self._look.finds_nothing():
            return self.__wrapped__(event, context)
        return (self._injected or self._made())(event, context)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as above
        return getattr(self.__wrapped__, name)

    def _made(self) -> Handler:
        with self._wrapping:
            if self._injected is None:
                self._injected = self._wrapped()
            return self._injected

    def _wrapped(self) -> Handler:
        try:
            return self._wrap(self.__wrapped__)
        except Exception:
            log.exception("No faults are injected by this process")
            return self.__wrapped__


def load(name: str) -> Any:  # noqa: ANN401 - as above
    """The function's own handler, as Lambda's runtime loads it, with the errors that it reports."""
    if not name:
        from .errors import Misconfigured  # noqa: PLC0415 - a cold start without problems is shorter

        raise Misconfigured(
            f"{OWN} is not set. Set it to the function's own handler, as its setting was before: {OWN}=app.handler"
        )
    by_runtime = getattr(sys.modules.get(RUNTIME), "_get_handler", None)
    if by_runtime:
        return by_runtime(name)
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module.replace("/", ".")), attribute)


def _first_look() -> FirstLook | None:
    """What asks whether anything runs; None where the module is off."""
    try:
        settings = read_settings(os.environ)
    except Exception:  # noqa: BLE001 - the module itself says what is wrong, at the first invocation
        return FirstLook(Settings(), is_empty=lambda: False)
    if settings.stage is None or not settings.enabled:
        return None
    if not settings.in_lambda:
        return FirstLook(settings, is_empty=lambda: False)
    look = FirstLook(settings)
    name, at_once = INIT
    if os.environ.get(name) == at_once:
        look.begin()
    return look


def _inject(own: Handler) -> Handler:
    from .frameworks.aws_lambda import inject_chaos  # noqa: PLC0415 - most environments never need it

    return inject_chaos(own)


def _is_ours(event: Any) -> bool:  # noqa: ANN401 - as above
    """Whether it may be a request for the module itself."""
    path = event.get("rawPath", event.get("path")) if isinstance(event, dict) else None
    return isinstance(path, str) and PREFIX in path


def _handler() -> Any:  # noqa: ANN401 - as above
    """The table is asked while the function's own modules are imported."""
    name = os.environ.get(OWN, "").strip()
    if name:
        os.environ[NAMED] = name
    look = _first_look()
    own = load(name)
    return own if look is None else ChaosHandler(own, look, _inject)


handler = _handler()
