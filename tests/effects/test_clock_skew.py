import datetime as dt
import pickle
import sys
import threading
import time as real_time
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest
from pydantic import TypeAdapter

from chalicelib.effects import shifted
from chalicelib.effects.clock_skew import ClockSkew, Shifts, Wanted
from chalicelib.runs.run import Run
from tests.effects.support import surroundings
from tests.support import Clock, a_run

SOURCE = """
import datetime
import time
import time as second
from datetime import date, datetime as moment
from time import (
    asctime, clock_gettime, clock_gettime_ns, ctime, gmtime, localtime, monotonic, perf_counter, sleep, strftime,
    time as now, time_ns,
)
own = 7
utc = moment.utcnow
"""
HOUR = 3600.0


def a_module(name: str, source: str = SOURCE) -> ModuleType:
    module = ModuleType(name)
    module.__file__ = f"/srv/{name.replace('.', '/')}.py"
    exec(source, vars(module))  # noqa: S102 - as an import does
    return module


class Host:
    """A process with the modules of an application, and what shifts their clocks."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.modules = {name: a_module(name) for name in ("shop", "shop.orders", "billing")}
        self.active: list[Run] = []
        self.shifts = Shifts(self.modules)
        self.effect = self.another()

    def another(self) -> ClockSkew:
        """That of another module of ours in the same application."""
        return ClockSkew(surroundings(lambda: self.active, self.clock, lambda _: None), shifts=self.shifts)

    def hold(self, seconds: float = HOUR, *modules: str, effect: ClockSkew | None = None) -> tuple[Any, Any]:
        run = a_run("clock_skew", now=self.clock.now, token=str(len(self.active)))
        self.active.append(run)
        return (effect or self.effect).hold(run, Wanted(seconds=seconds, modules=modules))

    def again(self) -> tuple[Any, Any]:
        return self.effect.hold(self.active[0], Wanted(seconds=HOUR))

    def end(self, index: int = 0) -> None:
        del self.active[index]
        self.effect.settle(self.active)

    def ahead(self, name: str) -> int:
        """By how many seconds, as one of its functions says."""
        return round(vars(self.modules[name])["now"]() - real_time.time())


@pytest.fixture
def host(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setattr("chalicelib.effects.watcher.runs_threads", lambda: False)
    host = Host(clock)
    yield host
    host.effect.release_all()


def names(module: ModuleType) -> list[tuple[str, int]]:
    return [(name, id(value)) for name, value in vars(module).items()]


READ: dict[str, Callable[[Any], float]] = {
    "time.time": lambda at: at.time.time(),
    "time of another name": lambda at: at.second.time(),
    "now": lambda at: at.now(),
    "time_ns": lambda at: at.time_ns() / 1e9,
    "clock_gettime": lambda at: at.clock_gettime(real_time.CLOCK_REALTIME),
    "clock_gettime_ns": lambda at: at.clock_gettime_ns(real_time.CLOCK_REALTIME) / 1e9,
    "localtime": lambda at: real_time.mktime(at.localtime()),
    "localtime of nothing": lambda at: real_time.mktime(at.localtime(None)),
    "gmtime": lambda at: real_time.mktime(at.gmtime()) - real_time.mktime(real_time.gmtime(0)),
    "strftime": lambda at: float(at.strftime("%s")),
    "ctime": lambda at: real_time.mktime(real_time.strptime(at.ctime())),
    "asctime": lambda at: real_time.mktime(real_time.strptime(at.asctime())),
    "datetime.now": lambda at: at.datetime.datetime.now().timestamp(),
    "moment.now": lambda at: at.moment.now().timestamp(),
    "moment.now of a zone": lambda at: at.moment.now(tz=dt.UTC).timestamp(),
    "moment.today": lambda at: at.moment.today().timestamp(),
    "moment.utcnow": lambda at: at.moment.utcnow().replace(tzinfo=dt.UTC).timestamp(),
    "utcnow, kept": lambda at: at.utc().replace(tzinfo=dt.UTC).timestamp(),
}


@pytest.mark.parametrize("read", READ)
def test_what_says_the_time_is_shifted_under_each_name_and_right_again_afterwards(read: str, host: Host) -> None:
    shop, now = host.modules["shop"], real_time.time
    host.hold(-HOUR)
    assert abs(READ[read](shop) - (now() - HOUR)) < 5
    host.end()
    assert abs(READ[read](shop) - now()) < 5


def test_days_are_shifted(host: Host) -> None:
    host.hold(20 * 24 * HOUR)
    shop = host.modules["shop"]
    expected = dt.date.fromtimestamp(real_time.time() + 20 * 24 * HOUR)  # noqa: DTZ012
    assert abs(shop.date.today() - expected) <= dt.timedelta(days=1)
    assert type(shop.date.today()) is dt.date


def test_nothing_else_is_shifted(host: Host) -> None:
    host.hold()
    shop = host.modules["shop"]
    assert shop.sleep is real_time.sleep is shop.time.sleep
    assert shop.monotonic is real_time.monotonic is shop.time.monotonic
    assert shop.perf_counter is real_time.perf_counter
    assert shop.clock_gettime(real_time.CLOCK_MONOTONIC) - real_time.monotonic() < 5
    assert shop.gmtime(0) == real_time.gmtime(0)
    assert shop.strftime("%Y", real_time.gmtime(0)) == "1970"
    assert shop.moment.fromtimestamp(0) == dt.datetime.fromtimestamp(0)  # noqa: DTZ006
    assert shop.own == 7
    assert abs(sys.modules["time"].time() - real_time.time()) < 5
    assert (sys.modules["datetime"].datetime, sys.modules["datetime"].datetime.__module__) == (
        dt.datetime,
        "datetime",
    )


def test_names_are_as_they_were_in_their_order(host: Host) -> None:
    before = {name: names(module) for name, module in host.modules.items()}
    details, counters = host.hold()
    assert details == {"offset_seconds": HOUR, "skewed_modules": 3}
    assert counters == {"skewed_modules": 3}
    assert all(names(module) != before[name] for name, module in host.modules.items())
    assert [list(vars(module)) for module in host.modules.values()] == [[name for name, _ in before["shop"]]] * 3
    host.end()
    assert {name: names(module) for name, module in host.modules.items()} == before


def test_what_somebody_has_set_or_removed_meanwhile_stays_so(host: Host) -> None:
    host.hold()
    shop = host.modules["shop"]
    shop.now = fake = object()  # type: ignore[attr-defined] # as a test of the host does
    del shop.time_ns
    host.end()
    assert shop.now is fake
    assert not hasattr(shop, "time_ns")
    assert shop.time is real_time


def test_who_has_kept_a_stand_in_has_the_right_time_afterwards(host: Host) -> None:
    host.hold()
    shop = host.modules["shop"]
    kept = [shop.now, lambda: shop_class.now().timestamp(), shop.time.time]
    shop_class = shop.moment
    host.end()
    assert [round(each() - real_time.time()) for each in kept] == [0, 0, 0]


# The real types


def test_values_are_of_the_real_types(host: Host) -> None:
    host.hold()
    shop = host.modules["shop"]
    moment = shop.moment.now()
    assert type(moment) is type(shop.moment(2024, 1, 2)) is type(shop.moment.fromisoformat("2024-01-02"))
    assert type(moment) is dt.datetime
    assert pickle.loads(pickle.dumps(moment)) == moment  # noqa: S301
    assert moment - dt.datetime.now() > dt.timedelta(minutes=50)  # noqa: DTZ005
    assert isinstance(moment, shop.moment)
    assert isinstance(dt.datetime.min, shop.moment | None)  # noqa: DTZ901
    assert isinstance(moment, shop.date)
    assert not isinstance(dt.date.min, shop.moment)
    match moment:
        case shop.moment(year=year):
            assert year == moment.year


def test_classes_are_what_they_stand_for(host: Host) -> None:
    host.hold()
    shop, orders = host.modules["shop"], host.modules["shop.orders"]
    assert shop.moment is shop.datetime.datetime is orders.moment
    assert shop.moment == dt.datetime
    assert {shop.moment: 1}[dt.datetime] == 1
    assert issubclass(dt.datetime, shop.moment)
    assert issubclass(shop.moment, shop.date)
    assert not issubclass(int, shop.moment)
    assert repr(shop.moment) == "<class 'datetime.datetime'>"
    assert pickle.loads(pickle.dumps(shop.moment)) is dt.datetime  # noqa: S301
    assert TypeAdapter(shop.moment).validate_python("2024-01-02T00:00:00") == dt.datetime(2024, 1, 2)  # noqa: DTZ001
    assert (shop.time.__name__, shop.time.__spec__, dir(shop.time)) == ("time", real_time.__spec__, dir(real_time))
    assert (shop.now.__name__, shop.now.__doc__) == ("time", real_time.time.__doc__)


class Holidays:
    """Where a class that the host derives is found by pickle."""


def test_classes_that_the_host_derives_meanwhile_are_its_own(host: Host) -> None:
    host.hold()
    shop = host.modules["shop"]

    class Moment(shop.moment):  # type: ignore[name-defined,misc]
        pass

    Moment.__qualname__ = "Holidays.Moment"
    Holidays.Moment = Moment  # type: ignore[attr-defined]
    moment = Moment.now()
    assert type(moment) is Moment
    assert round(moment.timestamp() - real_time.time()) == HOUR
    assert type(Moment(2024, 1, 2)) is Moment
    assert not isinstance(shop.moment.now(), Moment)
    host.end()
    assert round(Moment.now().timestamp() - real_time.time()) == 0
    assert isinstance(moment, dt.datetime)
    assert Moment != dt.datetime


# Which modules


def test_modules_can_be_named(host: Host) -> None:
    assert host.hold(HOUR, "shop.*")[0]["skewed_modules"] == 2
    assert [host.ahead(name) for name in host.modules] == [HOUR, HOUR, 0]


def test_runs_add_up_and_end_one_by_one(host: Host) -> None:
    before = names(host.modules["shop"])
    host.hold(HOUR)
    host.hold(60.0, "shop.*", effect=host.another())
    other = host.another()
    host.hold(-10.0, "shop.orders", effect=other)
    assert [host.ahead(name) for name in host.modules] == [HOUR + 60, HOUR + 50, HOUR]
    host.end()
    assert [host.ahead(name) for name in host.modules] == [60, 50, 0]
    other.release_all()
    assert [host.ahead(name) for name in host.modules] == [60, 60, 0]
    assert host.modules["shop"].moment is host.modules["shop.orders"].moment
    host.shifts.remove(host.shifts._active[0])
    assert (names(host.modules["shop"]), host.shifts._patched) == (before, {})


def test_what_is_imported_meanwhile_is_shifted_and_counted(host: Host) -> None:
    host.hold()
    late = a_module("late")
    late.__spec__ = ModuleSpec("late", None)
    late.__spec__._initializing = True  # type: ignore[attr-defined] # another thread is about to import it
    host.modules["late"] = late
    host.clock.now += 1
    assert host.again() == ({"offset_seconds": HOUR, "skewed_modules": 3}, {})
    late.__spec__._initializing = False  # type: ignore[attr-defined]
    host.clock.now += 1
    assert host.again() == ({"offset_seconds": HOUR, "skewed_modules": 4}, {"skewed_modules": 1})
    assert host.ahead("late") == HOUR
    host.end()
    assert host.ahead("late") == 0


def test_a_module_of_two_names_is_shifted_once(host: Host) -> None:
    before = names(host.modules["shop"])
    host.modules["__main__"] = host.modules["shop"]
    assert host.hold()[0]["skewed_modules"] == 3
    assert host.ahead("shop") == HOUR
    host.end()
    assert names(host.modules["shop"]) == before


def test_a_module_that_is_gone_from_the_list_is_right_again_all_the_same(host: Host) -> None:
    host.hold()
    gone = host.modules.pop("billing")
    host.end()
    assert gone.now is real_time.time  # type: ignore[attr-defined]


def test_where_no_module_is_meant_the_run_says_so(host: Host) -> None:
    details, counters = host.hold(HOUR, "nobody.*")
    assert details["problem"] == "no module that is imported here has a clock to shift: name some in modules"
    assert counters == {}
    host.modules["nobody.else"] = a_module("nobody.else")
    host.clock.now += 1
    host.again()
    assert host.ahead("nobody.else") == HOUR


# Others


def test_a_clock_that_somebody_has_replaced_is_left_alone(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    before = names(host.modules["shop"])
    monkeypatch.setattr(shifted.time, "time", lambda: 0.0)
    details, _ = host.hold()
    assert details == {"problem": "somebody else has replaced time.time or datetime.datetime, as freezegun does"}
    assert names(host.modules["shop"]) == before


def test_a_copy_of_the_process_has_the_right_time_also_where_a_thread_was_at_work(host: Host) -> None:
    host.hold()
    with host.shifts._changing:
        thread = threading.Thread(target=host.effect.abandon, daemon=True)
        thread.start()
        thread.join(30)
    assert not thread.is_alive()
    assert host.ahead("shop") == 0


def test_a_shift_that_the_host_interrupts_is_made_later(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_shift: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(host.shifts, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            host.hold()
    host.effect.look()
    assert host.ahead("shop") == HOUR
    host.end()
    assert host.ahead("shop") == 0
