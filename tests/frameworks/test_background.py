"""Background work is hit as requests are: as a block and as a function, on threads and on event loops."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import fastapi
import flask
import pytest
from chalice import Chalice

from chalicelib.bootstrap import bootstrap
from chalicelib.errors import InjectedError
from chalicelib.frameworks import aws_lambda, background
from chalicelib.frameworks import chalice as in_chalice
from chalicelib.frameworks import fastapi as in_fastapi
from chalicelib.frameworks import flask as in_flask
from chalicelib.injection.current import CURRENT
from chalicelib.injection.loops import AnyLoop
from chalicelib.settings import Settings
from tests.support import Clock, FakeResultStore, FakeRunStore, FakeTokenStore, a_run

SECONDS = 2.0


class Worker:
    """A process with the module in it, on fakes; what is slept on its event loops moves its clock, too."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.runs = FakeRunStore()
        self.results = FakeResultStore()
        self.flushes: list[Callable[[], None]] = []
        self.chaos = background.ChaosExperiments(wire=self.wire)

    def wire(self, **options: Any) -> Any:
        return bootstrap(
            Settings(stage="dev"),
            runs=self.runs,
            results=self.results,
            tokens=FakeTokenStore(),
            clock=self.clock,
            sleep=self.clock.sleep,
            chance=lambda: 0.0,
            schedule=lambda _seconds, flush: self.flushes.append(flush),
            **options,
        )

    def run(self, name: str, options: Any = None, **parameters: Any) -> str:
        run = a_run(name, now=self.clock.now, options=options, **parameters)
        self.runs.runs[name] = run
        return run.run_id

    def delay(self) -> str:
        return self.run("latency_injection", delay_seconds=SECONDS)

    def fail(self) -> str:
        return self.run("error_injection", error_rate=1.0)

    def counted(self, run_id: str) -> dict[str, int]:
        """How many calls ended how, by their group: `hit.200`."""
        while self.flushes:
            self.flushes.pop()()
        found: dict[str, int] = {}
        for name, number in self.results.tallies[run_id].counts.items():
            found[name] = found.get(name, 0) + number
        return found


@pytest.fixture
def worker(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Worker:
    async def sleep(_loop: object, seconds: float) -> None:
        clock.sleep(seconds)

    monkeypatch.setattr(AnyLoop, "sleep", sleep)
    return Worker(clock)


def block(worker: Worker, done: list[int]) -> None:
    with worker.chaos.inject("send_invoice"):
        done.append(1)


def function(worker: Worker, done: list[int]) -> None:
    @worker.chaos.inject("send_invoice")
    def send_invoice(number: int) -> int:
        done.append(number)
        return number + 1

    assert send_invoice(1) == 2


def block_on_loop(worker: Worker, done: list[int]) -> None:
    async def work() -> None:
        async with worker.chaos.inject("send_invoice"):
            done.append(1)

    asyncio.run(work())


def coroutine(worker: Worker, done: list[int]) -> None:
    @worker.chaos.inject("send_invoice")
    async def send_invoice(number: int) -> int:
        done.append(number)
        return number + 1

    assert asyncio.run(send_invoice(1)) == 2


in_each_way = pytest.mark.parametrize("work", [block, function, block_on_loop, coroutine])
Work = Callable[[Worker, list[int]], None]


@in_each_way
def test_work_passes_where_nothing_runs(worker: Worker, work: Work) -> None:
    done: list[int] = []
    work(worker, done)

    assert done == [1]
    assert not worker.clock.slept


@in_each_way
def test_work_is_delayed_before_it_is_done_once(worker: Worker, work: Work) -> None:
    worker.delay()
    done: list[int] = []
    work(worker, done)

    assert sum(worker.clock.slept) == SECONDS
    assert done == [1]
    assert CURRENT.get() is None


@in_each_way
def test_work_that_fails_is_not_done(worker: Worker, work: Work) -> None:
    worker.fail()
    done: list[int] = []

    with pytest.raises(InjectedError, match="injected error"):
        work(worker, done)

    assert not done
    assert CURRENT.get() is None


@in_each_way
def test_a_stop_ends_it(worker: Worker, work: Work) -> None:
    worker.fail()
    done: list[int] = []
    with pytest.raises(InjectedError):
        work(worker, done)
    worker.runs.runs.clear()
    worker.clock.now += 1.1

    work(worker, done)
    assert done == [1]


def test_what_a_block_raises_is_raised_and_counted_as_a_failure(worker: Worker) -> None:
    worker.delay()

    with pytest.raises(LookupError), worker.chaos.inject("send_invoice"):
        raise LookupError

    assert CURRENT.get() is None


def test_a_block_may_be_entered_by_many_threads_at_once(worker: Worker) -> None:
    worker.delay()
    work, barrier, done = worker.chaos.inject("send_invoice"), threading.Barrier(5, timeout=20), []

    def run() -> None:
        with work:
            barrier.wait()
            done.append(CURRENT.get())

    threads = [threading.Thread(target=run) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({id(current[1]) for current in done if current}) == 5


def test_a_generator_is_refused(worker: Worker) -> None:
    def parts() -> Iterator[int]:
        yield 1

    async def parts_on_loop() -> AsyncIterator[int]:
        yield 1

    for each in (parts, parts_on_loop):
        with pytest.raises(TypeError, match=r"is a generator: .*with chaos.inject\('export'\)"):
            worker.chaos.inject("export")(each)


@pytest.mark.parametrize("name", ["", "send invoice", "a" * 65, "shop*"])
def test_a_name_that_no_target_could_have_is_refused(worker: Worker, name: str) -> None:
    with pytest.raises(ValueError, match="name must be"):
        worker.chaos.inject(name)


def test_every_framework_offers_it(worker: Worker) -> None:
    worker.fail()
    made = [
        in_flask.ChaosExperiments(flask.Flask("a"), wire=worker.wire),
        in_fastapi.ChaosExperiments(fastapi.FastAPI(), wire=worker.wire),
        in_chalice.ChaosExperiments(Chalice("a", configure_logs=False), wire=worker.wire),
        aws_lambda.ChaosExperiments(wire=worker.wire),
    ]
    for chaos in made:
        with pytest.raises(InjectedError), chaos.inject("send_invoice"):
            pass


def test_the_job_of_a_worker_of_rq_flushes_its_counts_itself(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process is killed when it is done, and calls no hooks."""
    run_id = worker.delay()
    monkeypatch.setitem(sys.modules, "rq", ModuleType("rq"))

    def main_work_horse() -> None:
        block(worker, [])
        assert worker.results.tallies[run_id].counts["requests"] == 1
        block_on_loop(worker, [])
        assert worker.results.tallies[run_id].counts["requests"] == 2

    main_work_horse()


def test_a_child_of_celery_calls_its_hooks(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which has a fork of `multiprocessing`, with hooks of its own, and ends without those of `atexit`."""
    hooks: list[Callable[[], None]] = []
    billiard, util = ModuleType("billiard"), ModuleType("billiard.util")
    vars(billiard).update(current_process=lambda: SimpleNamespace(name="ForkPoolWorker-1"), util=util)
    vars(util).update(Finalize=lambda _object, hook, exitpriority: hooks.append(hook))
    monkeypatch.setitem(sys.modules, "billiard", billiard)
    monkeypatch.setitem(sys.modules, "billiard.util", util)

    run_id = worker.delay()
    block(worker, [])
    assert run_id not in worker.results.tallies
    for hook in hooks:
        hook()
    assert worker.results.tallies[run_id].counts["requests"] == 1


def test_work_within_a_call_is_part_of_it(worker: Worker) -> None:
    """It is neither hit nor counted once more."""
    worker.delay()

    @worker.chaos.inject("outer")
    def outer() -> None:
        with worker.chaos.inject("inner"):
            pass

    outer()
    assert sum(worker.clock.slept) == SECONDS


def test_only_work_of_the_target_s_name_is_hit(worker: Worker) -> None:
    worker.run("error_injection", {"target": {"functions": ["send_*"]}}, error_rate=1.0)
    with worker.chaos.inject("bill"):
        pass
    with pytest.raises(InjectedError), worker.chaos.inject("send_invoice"):
        pass


def test_work_is_counted_as_requests_are(worker: Worker) -> None:
    run_id = worker.delay()
    done: list[int] = []
    block(worker, done)
    with pytest.raises(LookupError), worker.chaos.inject("bill"):
        raise LookupError
    with pytest.raises(SystemExit), worker.chaos.inject("export"):
        raise SystemExit
    counts = worker.counted(run_id)
    assert (counts["requests"], counts["hit.2xx"], counts["hit.5xx"], counts["hit.died"]) == (2, 1, 1, 1)
