"""The patches of this process: which attributes of client libraries are replaced, for which modules, and taken out.

Patches are of the process, and an application may have several modules, each with a table of its own. So there is one
installation, and whoever needs it joins it.
"""

import logging
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .gate import Gate

log = logging.getLogger(__name__)

LIBRARIES: Mapping[str, str] = {
    "urllib3.connectionpool": "urllib3",
    "httpcore": "httpcore",
    "httpcore2": "httpcore2",
    "aiohttp.client": "aiohttp",
    "redis.asyncio.client": "redis",
    "socket": "sockets",
    "gevent.socket": "gevent",
    "asyncio.base_events": "loops",
    "uvloop": "uvloop",
}
"""What must be imported by the application, and the file here that patches it: it has `patches()`."""


class Patch(NamedTuple):
    """An attribute of a class or a module, and what is made of it: `wrap` gets the original."""

    owner: Any
    name: str
    wrap: Callable[[Any], Any]


class Replaced:
    """An attribute that has been replaced."""

    def __init__(self, patch: Patch) -> None:
        self._owner, self._name = patch.owner, patch.name
        self._is_own = patch.name in vars(patch.owner)
        """Whether the owner has it itself; otherwise a base class does."""
        self._original = vars(patch.owner)[patch.name] if self._is_own else getattr(patch.owner, patch.name)
        self._replacement = patch.wrap(self._original)
        setattr(self._owner, self._name, self._replacement)

    def restore(self) -> bool:
        """False where somebody has replaced it since: theirs stays, and calls ours, which lets all calls pass."""
        if vars(self._owner).get(self._name) is not self._replacement:
            return False
        if self._is_own:
            setattr(self._owner, self._name, self._original)
        else:
            delattr(self._owner, self._name)
        return True


class Installation:
    """Installed while somebody has joined. Safe to share between threads."""

    def __init__(self, libraries: Mapping[str, str] = LIBRARIES) -> None:
        self._libraries = libraries
        self._changing = threading.RLock()
        self._replaced: dict[str, list[Replaced]] = {}
        self._covered: list[Replaced] = []
        """What others had replaced in their turn when it was to be restored."""
        self._imported = 0
        self.gates: tuple[Gate, ...] = ()

    def join(self, gate: "Gate") -> None:
        with self._changing:
            if gate not in self.gates:
                self.gates = (*self.gates, gate)
            self.install()

    def leave(self, gate: "Gate") -> None:
        with self._changing:
            self.gates = tuple(each for each in self.gates if each is not gate)
            if not self.gates:
                self.uninstall()

    @property
    def may_be_incomplete(self) -> bool:
        """Whether something has been imported since that may be a client library."""
        return len(sys.modules) != self._imported

    def install(self) -> None:
        """Patch the libraries that the application has imported, and that are not patched yet."""
        with self._changing:
            self._imported = len(sys.modules)
            for module, file in self._libraries.items():
                if module in sys.modules and module not in self._replaced:
                    self._patch(module, file)

    def uninstall(self) -> None:
        with self._changing:
            replaced = [each for patches in self._replaced.values() for each in reversed(patches)]
            self._replaced = {}
            self._covered = [each for each in (*self._covered, *replaced) if not each.restore()]

    def _patch(self, module: str, file: str) -> None:
        try:
            patches: Iterable[Patch] = import_module(f".{file}", __package__).patches()
            self._replaced[module] = [Replaced(patch) for patch in patches]
        except AttributeError:  # another thread is about to import it
            log.debug("%s is not patched yet", module)
        except Exception:
            self._replaced[module] = []
            log.exception("%s cannot be patched: its calls meet no faults", module)


INSTALLATION = Installation()
