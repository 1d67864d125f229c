"""Which of the imported modules are the host's own: neither Python's, nor a library's, nor this module's."""

import os
import sys
import sysconfig
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from types import ModuleType

OURS = __name__.removesuffix(".effects.host_modules")
OUR_FOLDER = Path(__file__).parents[1]

WE_USE = frozenset({"aiobotocore", "boto3", "botocore", "jwt", "pynamodb", "s3transfer", "urllib3"})
"""Libraries that this module itself signs and checks signatures with."""

SIGNERS = WE_USE | {"aiohttp", "authlib", "awslambdaric", "google", "httpx", "itsdangerous", "jose", "requests"}
"""Libraries that are no host's own where an archive was made of them without a word of who made them."""

FOLDERS_OF_LIBRARIES = {"site-packages", "dist-packages"}
PATHS = ("stdlib", "platstdlib", "purelib", "platlib", "scripts")


def is_exempt(name: str) -> bool:
    """Whether nobody shifts the clock of a module: one of Python's, ours, or one that signs for us."""
    top = name.partition(".")[0]
    return top in sys.stdlib_module_names or top in WE_USE or f"{name}.".startswith(f"{OURS}.")


def selection(patterns: Sequence[str]) -> Callable[[str, ModuleType], bool]:
    """Whether a module is among those named: `shop.orders`, or `shop.*`, which is `shop` and all that is in it.

    Where nothing is named, those that are the host's own.
    """
    names = {each for each in patterns if not each.endswith(".*")}
    packages = tuple(each[:-1] for each in patterns if each.endswith(".*"))

    known: dict[tuple[str, int], bool] = {}

    def decide(name: str, module: ModuleType) -> bool:
        if is_exempt(name) or (patterns and name not in names and not f"{name}.".startswith(packages)):
            return False
        return not _is_below(OUR_FOLDER, _file(module)) and (bool(patterns) or is_own(name, module))

    def selects(name: str, module: ModuleType) -> bool:
        key = name, id(module)
        if key not in known:
            known[key] = decide(name, module)
        return known[key]

    return selects


def is_own(name: str, module: ModuleType) -> bool:
    """Whether a module that is not exempt is one of the application."""
    file, top = _file(module), name.partition(".")[0]
    if file is None or top in SIGNERS:
        return False
    if FOLDERS_OF_LIBRARIES & {*file.parts} or any(_is_below(folder, file) for folder in _foreign()):
        return False
    return top not in _installed_in(file.parents[_depth(name, file)])


def _file(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(os.path.abspath(file)) if isinstance(file, str) else None  # noqa: PTH100 - links stay what they are


def _is_below(folder: Path, file: Path | None) -> bool:
    return file is not None and folder in file.parents


def _depth(name: str, file: Path) -> int:
    """How many folders above its own a module's top-level package is found."""
    depth = name.count(".") + file.stem.startswith("__init__")
    return min(depth, len(file.parents) - 1)


@cache
def _foreign() -> Sequence[Path]:
    """Folders of Python and of Lambda's runtime."""
    paths = [sysconfig.get_path(name) for name in PATHS] + [os.environ.get("LAMBDA_RUNTIME_DIR")]
    return [Path(os.path.abspath(path)) for path in paths if path]  # noqa: PTH100 - as above


@cache
def _installed_in(folder: Path) -> frozenset[str]:
    """The top-level names that libraries have in a folder: that of a Lambda function has them beside the host's own.

    What is installed has a record. What was only built there has none: it is the host's own.
    """
    installed = [each for each in distributions(path=[str(folder)]) if each.read_text("RECORD")]
    files = [file for each in installed for file in each.files or ()]
    return frozenset(file.parts[0].partition(".")[0] for file in files)
