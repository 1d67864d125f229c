"""Sessions of botocore: the one place that decides which of the machine's AWS settings count.

All of them count as for boto3 in the same process, and AWS_REGION does where nothing else names a region. With the
embedded DynamoDB none of them counts.
"""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import cache, partial
from typing import Any

from botocore.config import Config
from botocore.credentials import Credentials, ReadOnlyCredentials, RefreshableCredentials
from botocore.exceptions import BotoCoreError, CredentialRetrievalError, NoCredentialsError
from botocore.session import Session

from .own_calls import own_calls
from .settings import Settings
from .time_limits import pass_on

STAND_IN = "local"
"""Key and secret for a DynamoDB on this machine, which asks for some but checks none."""

STAND_IN_REGION = "us-east-1"
FILES = ("config_file", "credentials_file")
ABANDONED_SECONDS = 30.0
"""After how long a look-up is taken for one that never ends, so that the next call looks up anew."""

LAST_SECONDS = 60
"""How long before they expire credentials are used while new ones are looked up beside the calls."""


def session(settings: Settings) -> Session:
    """A new session, since botocore's are not safe to share between threads that make clients.

    The clients that it makes look for credentials at their first call, and raise botocore's errors where there are
    none, a profile does not exist, a credential process fails, …
    """
    made = _regional(settings)
    _provide(made, partial(_machines, settings))
    made.set_config_variable("defaults_mode", "legacy")  # "auto" asks a metadata service when a client is made
    return made


def _regional(settings: Settings) -> Session:
    made = Session()
    region = settings.region or made.get_config_variable("region") or settings.fallback_region
    made.set_config_variable("region", region)
    return made


def table_session(settings: Settings) -> Session:
    """A session for the table. In development it has stand-ins for a region and credentials that nobody names."""
    if settings.embedded:
        return _isolated()
    made = session(settings)
    if settings.development:
        made.set_config_variable("region", made.get_config_variable("region") or STAND_IN_REGION)
        _provide(made, lambda: _credentials() or Credentials(STAND_IN, STAND_IN))
    return made


class DeferredCredentials(Credentials):
    """Credentials that are looked up by the first call that is signed, not when a client is made.

    That may take many seconds: a metadata service does not answer, a program is started. So it must happen where time
    is limited. All that need them at the same time wait for one look-up, and have its result. Those that expire are
    renewed beside the calls, by a thread of its own; no call waits for that unless they have nearly expired.
    """

    method = "deferred"

    def __init__(self, look_up: Callable[[], Credentials | None], timer: Callable[[], float] = time.monotonic) -> None:
        self._look_up = look_up
        self._timer = timer
        self._abandoned_at = 0.0
        self._starting = threading.Lock()
        self._running: Future[ReadOnlyCredentials] | None = None
        self._found: Credentials | None = None
        self._last: ReadOnlyCredentials | None = None

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        found, last = self._found, self._last
        if found is None or last is None:
            return self._once(self._find)
        if not isinstance(found, RefreshableCredentials):
            return last
        if not found.refresh_needed():
            return found.get_frozen_credentials()
        if found.refresh_needed(LAST_SECONDS):
            return self._once(self._renew)
        if self._running is None or self._timer() >= self._abandoned_at:
            with suppress(RuntimeError):  # the process may have no more threads
                threading.Thread(target=self._renew_beside, name="chaos-credentials", daemon=True).start()
        return last

    def get_deferred_property(self, property_name: str) -> Callable[[], Any]:
        return lambda: getattr(self.get_frozen_credentials(), property_name, None)

    @property
    def access_key(self) -> str | None:  # type: ignore[override]
        return self.get_frozen_credentials().access_key

    @own_calls()
    def _once(self, look_up: Callable[[], ReadOnlyCredentials]) -> ReadOnlyCredentials:
        """The result of the look-up that is under way, or of this one. A look-up by a program may never end."""
        with self._starting:
            running, now, is_first = self._running, self._timer(), False
            if running is None or now >= self._abandoned_at:
                if running is not None:
                    look_up = self._find  # anew, since what is renewed waits for the renewal that hangs
                running, is_first = Future(), True
                self._running, self._abandoned_at = running, now + ABANDONED_SECONDS
        if is_first:
            try:
                running.set_result(look_up())
            except BaseException as error:  # noqa: BLE001 - all that wait raise it
                running.set_exception(_described(error))
            finally:
                with self._starting:
                    if self._running is running:
                        self._running = None
        try:
            return running.result(ABANDONED_SECONDS)
        except TimeoutError as error:
            pass_on(error)
            said = f"no answer within {ABANDONED_SECONDS:g} s"
            raise CredentialRetrievalError(provider="AWS", error_msg=said) from error

    def _find(self) -> ReadOnlyCredentials:
        found = self._look_up()
        if found is None:
            raise NoCredentialsError
        self._last = found.get_frozen_credentials()
        self._found = found
        return self._last

    def _renew(self) -> ReadOnlyCredentials:
        if self._found is None:
            return self._find()
        self._last = self._found.get_frozen_credentials()
        return self._last

    def _renew_beside(self) -> None:
        with suppress(Exception):  # the calls go on with what they have, until that expires
            self._once(self._renew)


def _described(error: BaseException) -> BaseException:
    """As botocore's own: what a metadata service or a program answered, or why it could not be asked."""
    if isinstance(error, BotoCoreError) or not isinstance(error, Exception):
        return error
    return CredentialRetrievalError(provider="AWS", error_msg=f"{type(error).__name__}: {error}")


class _Provider:
    """What a session asks for credentials."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def load_credentials(self) -> Credentials:
        return self._credentials


def _provide(made: Session, look_up: Callable[[], Credentials | None]) -> None:
    made.register_component("credential_provider", _Provider(DeferredCredentials(look_up)))


def _machines(settings: Settings) -> Credentials | None:
    """The machine's credentials, by a session of their own: whoever needs them may be on any thread."""
    return _regional(settings).get_credentials()


@cache
def _credentials() -> Credentials | None:
    """The machine's credentials in development, read once in a process."""
    return Session().get_credentials()


def _isolated() -> Session:
    """A session that reads no variable, no file and no proxy."""
    defaults: dict[str, Any] = {
        name: (None, None, os.devnull if name in FILES else default, conversion)
        for name, (_, _, default, conversion) in Session.SESSION_VARIABLES.items()
    }
    made = Session(session_vars=defaults)
    made.set_config_variable("region", STAND_IN_REGION)
    made.set_credentials(STAND_IN, STAND_IN)
    made.set_default_client_config(Config(proxies={}))
    return made
