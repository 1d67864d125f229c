import logging

import pytest

from chalicelib.bootstrap import Chaos, Lazy, bootstrap
from chalicelib.errors import Misconfigured, ModuleOff, Unauthenticated
from chalicelib.injection.injection import UNTOUCHED
from chalicelib.settings import Settings
from tests.support import NOW, Clock, FakeRunStore, FakeTokenStore, a_run


def wired(settings: Settings, store: FakeRunStore | None = None) -> Chaos:
    clock = Clock()
    return bootstrap(
        settings,
        runs=store or FakeRunStore(),
        tokens=FakeTokenStore(),
        clock=clock,
        sleep=clock.sleep,
        chance=lambda: 0.0,
    )


def test_without_a_stage_the_module_is_off_and_reads_nothing() -> None:
    with pytest.raises(ModuleOff, match="CHAOS_STAGE"):
        bootstrap()


def test_everything_is_wired_to_one_store() -> None:
    store = FakeRunStore()
    store.start(a_run("error_injection", error_rate=1.0), now=NOW)
    chaos = wired(Settings(stage="staging"), store)
    assert chaos.injection("/orders").answer


def test_settings_reach_what_they_are_for() -> None:
    store = FakeRunStore()
    store.start(a_run("error_injection", error_rate=1.0), now=NOW)
    chaos = wired(Settings(stage="staging", excluded_paths=("/health",)), store)
    assert chaos.injection("/health") is UNTOUCHED


@pytest.mark.parametrize(
    "settings",
    [Settings(stage="staging", dev_token="secret"), Settings(stage="dev", in_lambda=True, dev_token="secret")],
)
def test_the_developers_token_is_worth_nothing_elsewhere(settings: Settings) -> None:
    with pytest.raises(Unauthenticated):
        wired(settings).authenticate("Bearer secret")


def test_the_developers_token_is_worth_something_in_development() -> None:
    assert wired(Settings(stage="dev", dev_token="secret")).authenticate("Bearer secret")


def test_in_development_the_table_is_made(settings: Settings) -> None:
    chaos = bootstrap(settings)
    assert chaos.injection("/orders") is UNTOUCHED
    assert chaos.tokens.all() == []


def test_it_is_wired_once_when_first_needed() -> None:
    count = []

    def wire() -> Chaos:
        count.append(1)
        return wired(Settings(stage="staging"))

    lazy = Lazy(wire)
    assert not count
    assert lazy.inject("/orders") is UNTOUCHED
    assert lazy.get() is lazy.get()
    assert len(count) == 1


@pytest.mark.parametrize(
    ("defect", "told"), [(ModuleOff("It is off."), ModuleOff), (ZeroDivisionError("a defect"), Misconfigured)]
)
def test_a_refusal_to_start_is_logged_once_and_every_request_goes_on(
    defect: Exception, told: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    def wire() -> Chaos:
        raise defect

    lazy = Lazy(wire)
    with caplog.at_level(logging.WARNING):
        assert [lazy.inject("/orders") for _ in range(3)] == [UNTOUCHED] * 3
    assert caplog.text.count(str(defect)) == 1
    for _ in range(2):
        with pytest.raises(told):
            lazy.get()
