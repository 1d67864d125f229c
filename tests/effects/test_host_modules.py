import json
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest

import chalicelib.aws
from chalicelib.effects import host_modules
from chalicelib.effects.host_modules import is_exempt, is_own, selection


def a_module(name: str, file: Path | str | None) -> ModuleType:
    module = ModuleType(name)
    module.__file__ = None if file is None else str(file)
    return module


@pytest.fixture(autouse=True)
def _forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    host_modules._foreign.cache_clear()
    host_modules._installed_in.cache_clear()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("shop", "shop.py"),
        ("shop", "shop/__init__.py"),
        ("shop.api.orders", "shop/api/orders.py"),
        ("__main__", "x.py"),
    ],
)
def test_what_is_beside_nothing_installed_is_the_hosts(name: str, file: str, tmp_path: Path) -> None:
    assert is_own(name, a_module(name, tmp_path / file))


def test_libraries_are_not_wherever_they_are(tmp_path: Path) -> None:
    purelib = Path(sysconfig.get_path("purelib"))
    for file in (purelib / "flask/app.py", tmp_path / "dist-packages/flask/app.py", Path(json.__file__), None):
        assert not is_own("flask.app", a_module("flask.app", file))


def test_the_folder_of_a_function_has_libraries_beside_the_hosts_own(tmp_path: Path) -> None:
    info = tmp_path / "somelib-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: somelib\nVersion: 1.0\n")
    (info / "RECORD").write_text(
        "somelib/__init__.py,,\nsomelib/clock.py,,\nsingle.py,,\nsomelib-1.0.dist-info/RECORD,,\n"
    )
    own = {
        name: is_own(name, a_module(name, tmp_path / file))
        for name, file in {
            "somelib": "somelib/__init__.py",
            "somelib.clock": "somelib/clock.py",
            "single": "single.py",
            "app": "app.py",
            "shop.orders": "shop/orders.py",
            "requests": "requests/__init__.py",
        }.items()
    }
    assert [name for name in own if own[name]] == ["app", "shop.orders"]


def test_what_was_built_from_an_application_makes_no_library_of_it(tmp_path: Path) -> None:
    """`pip install -e .` and a build leave it beside the sources."""
    info = tmp_path / "shop.egg-info"
    info.mkdir()
    (info / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n")
    (info / "SOURCES.txt").write_text("app.py\npyproject.toml\n")
    (tmp_path / "app.py").touch()
    assert is_own("app", a_module("app", tmp_path / "app.py"))


def test_the_runtime_of_lambda_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMBDA_RUNTIME_DIR", str(tmp_path / "runtime"))
    assert not is_own("bootstrap", a_module("bootstrap", tmp_path / "runtime/bootstrap.py"))
    assert is_own("app", a_module("app", tmp_path / "task/app.py"))


@pytest.mark.parametrize("name", ["time", "datetime", "logging.handlers", "botocore.auth", "jwt", "chalicelib.aws"])
def test_nobody_shifts_what_signatures_and_the_end_of_the_run_depend_on(name: str) -> None:
    assert is_exempt(name)
    module = sys.modules.get(name) or a_module(name, "/srv/x.py")
    assert not selection([name])(name, module)
    assert not selection([])(name, module)


def test_what_only_begins_alike_may_be_shifted() -> None:
    assert [is_exempt(name) for name in ("timetable", "chalicelib_of_mine", "jwtools", "__main__")] == [False] * 4


def test_our_files_are_ours_under_any_name() -> None:
    assert not selection(["other.*"])("other.aws", a_module("other.aws", chalicelib.aws.__file__))
    assert selection(["other.*"])("other.aws", a_module("other.aws", "/srv/other/aws.py"))


def test_names_and_packages_are_selected() -> None:
    selects = selection(["shop.*", "billing", "flask.sessions"])
    chosen = {
        name: selects(name, a_module(name, f"/srv/{name}.py"))
        for name in ("shop", "shop.orders", "shop.a.b", "shopping", "billing", "billing.x", "flask.sessions", "flask")
    }
    assert [name for name in chosen if chosen[name]] == ["shop", "shop.orders", "shop.a.b", "billing", "flask.sessions"]
