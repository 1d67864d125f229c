"""The patches of this process: which attributes of client libraries are replaced, for which modules, and taken out.

Patches are of the process, and an application may have several modules, each with a table of its own. So there is one
installation, and whoever needs it joins it.
"""

import logging
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from inspect import getattr_static
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import ref

from ..errors import may_pass
from ..own_calls import lent_reserves
from ..time_limits import pass_on

if TYPE_CHECKING:
    from .gate import Gate

log = logging.getLogger(__name__)

LIBRARIES: Mapping[str, str] = {
    "urllib3.connectionpool": "urllib3",
    "httpcore": "httpcore",
    "httpcore2": "httpcore2",
    "botocore.endpoint": "botocore",
    "aiobotocore.endpoint": "aiobotocore",
    "aiohttp.client": "aiohttp",
    "redis.asyncio.client": "redis",
    "socket": "sockets",
    "gevent.socket": "gevent",
    "asyncio.base_events": "loops",
    "uvloop": "uvloop",
}
"""What must be imported by the application, and the file here that patches it: it has `patches()`."""

METHODS = (staticmethod, classmethod)
MISSING = object()


class Patch(NamedTuple):
    """An attribute of a class or a module, and what is made of it: `wrap` gets the original function."""

    owner: Any
    name: str
    wrap: Callable[[Any], Any]


class Hook:
    """An attribute, ours in its place, and how to get it back.

    An agent that wraps it in its turn keeps its wrapper when ours is to be taken out. Then ours stays below and lets
    all calls pass; it is used again by the next run, and goes when that wrapper has gone.
    """

    def __init__(self, patch: Patch) -> None:
        self._owner, self._name, self._wrap = patch
        self._ours: Callable[[], Any] = _nothing
        """None where nobody has it any more: neither the owner, nor who wrapped it."""
        self._covered: Any = MISSING
        """What the owner itself had in its place."""

    def install(self) -> None:
        """Raises AttributeError where the library has no such attribute."""
        if self._find():
            return
        current = getattr_static(self._owner, self._name)
        kind = type(current) if isinstance(current, METHODS) else None
        function = self._wrap(_function(current))
        self._ours, self._covered = ref(function), vars(self._owner).get(self._name, MISSING)
        setattr(self._owner, self._name, kind(function) if kind else function)

    def uninstall(self) -> bool:
        """False where somebody has replaced it since, and still has ours."""
        ours = self._find()
        if ours is None:
            return True
        if _function(vars(self._owner).get(self._name)) is not ours:
            return False
        if self._covered is MISSING:  # a base class has the attribute
            delattr(self._owner, self._name)
        else:
            setattr(self._owner, self._name, self._covered)
        self._ours, self._covered = _nothing, MISSING
        return True

    def _find(self) -> Any:
        """Ours, in its place or below an agent's; None where it is in neither."""
        is_there = vars(self._owner).get(self._name, MISSING) is not self._covered
        return self._ours() if is_there else None


def _nothing() -> None:
    return None


def _function(attribute: Any) -> Any:
    return attribute.__func__ if isinstance(attribute, METHODS) else attribute


class Installation:
    """Installed while a gate of a module has joined. One whose module is garbage has left.

    Safe to share between threads, and waits for none: whoever finds another one at work leaves the rest to it.
    """

    def __init__(self, libraries: Mapping[str, str] = LIBRARIES) -> None:
        self._libraries = libraries
        self._joined: dict[ref[Gate], None] = {}
        self._hooks: dict[str, list[Hook]] = {}
        self._postponed: set[str] = set()
        """The modules that could not be patched for a moment, which has been said."""
        self._changing = threading.Lock()
        self._is_due = False
        self._imported = 0
        self.gates: tuple[ref[Gate], ...] = ()
        """Those that have joined. What is called while there is none passes through."""
        self.has_leftovers = False
        """Whether something of ours could not be taken out yet, because an agent has wrapped it."""

    def join(self, gate: "Gate") -> None:
        self._joined.setdefault(ref(gate, self._forget))
        self.settle()

    def leave(self, gate: "Gate") -> None:
        self._forget(ref(gate))

    def _forget(self, gate: "ref[Gate]") -> None:
        """Called by the garbage collector, too: in the middle of anything."""
        self._joined.pop(gate, None)
        self.settle()

    def renew(self) -> None:
        """Take out what this process has inherited: it is a copy. Its modules are wired anew, and join again."""
        self._changing = threading.Lock()  # another thread of the original may have held it
        self._joined = {}
        self.settle()

    @property
    def may_be_incomplete(self) -> bool:
        """Whether something has been imported since that may be a client library."""
        return len(sys.modules) != self._imported

    def settle(self) -> None:
        """Install what is missing, or take everything out."""
        self._is_due = True
        while self._is_due and self._changing.acquire(blocking=False):
            try:
                self._is_due = False
                self._change()
            finally:
                self._changing.release()

    def _change(self) -> None:
        if self._joined:
            self._install()
            self.gates = tuple(self._joined)
        else:
            self.gates = ()
            self._uninstall()

    def _install(self) -> None:
        """Patch the libraries that the application has imported."""
        for _ in range(2):  # the files for them are imported, too
            self._imported = len(sys.modules)
            for module in self._libraries:
                self._install_library(module)

    def _install_library(self, module: str) -> None:
        if module not in self._hooks and not _is_imported(module):
            return
        try:
            if module not in self._hooks:
                with lent_reserves():
                    self._hooks[module] = _hooks_of(self._libraries[module])
            for hook in self._hooks[module]:
                hook.install()
        except Exception as error:
            pass_on(error)
            for hook in reversed(self._hooks.pop(module, ())):
                hook.uninstall()
            if not may_pass(error):  # the library is one that our file is not for
                log.exception("%s cannot be patched: its calls meet no faults", module)
                self._hooks[module] = []
            elif module not in self._postponed:
                self._postponed.add(module)
                log.warning("%s cannot be patched as yet, which is tried again: %s", module, error)

    def _uninstall(self) -> None:
        self.has_leftovers = True  # an exception of a signal handler may come in between
        hooks = [hook for of_library in self._hooks.values() for hook in of_library]
        self.has_leftovers = bool([hook for hook in reversed(hooks) if not hook.uninstall()])


def _is_imported(name: str) -> bool:
    """Whether it has been imported, with the packages that it is in. Another thread may be about to do that."""
    while name:
        module = sys.modules.get(name)
        if module is None or getattr(getattr(module, "__spec__", None), "_initializing", False):
            return False
        name = name.rpartition(".")[0]
    return True


def _hooks_of(file: str) -> list[Hook]:
    """Raises whatever the file does, where the library is another one than it is made for."""
    patches: Iterable[Patch] = import_module(f".{file}", __package__).patches()
    return [Hook(patch) for patch in patches]


INSTALLATION = Installation()
