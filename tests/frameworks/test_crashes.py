"""What is done before a run ends the process, and when: in each framework. The end itself is on real servers."""

import io
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.effects.memory import Memory
from chalicelib.injection.exits import ANSWER_SECONDS, exit_process
from tests.raising import MAKERS, ORDERS, Application


def made(framework: str) -> Application:
    application = Application()
    MAKERS[framework](application)
    return application


def start(application: Application, **parameters: Any) -> str:
    run_id = application.start("process_crash", **parameters)
    application.run.options["max_requests"] = parameters.get("max_crashes", 1)
    return run_id


def due(application: Application) -> list[float]:
    """When the process is to end."""
    return [seconds for seconds, call in application.scheduled if "leave" in repr(call)]


def let_time_pass(application: Application) -> None:
    for _, call in [each for each in application.scheduled if "leave" in repr(each[1])]:
        call()


@pytest.mark.parametrize("framework", MAKERS)
def test_a_request_dies_with_its_process_and_both_are_counted_before(framework: str) -> None:
    application = made(framework)
    run_id = start(application, exit_code=7)
    application.ask(ORDERS)
    assert application.exited == [7]
    tally = application.results.tallies[run_id]
    side = tally.side_counts("hit", application.runs.past[run_id], application.wired.clock())
    assert (side.died, tally.get("crashes")) == (1, 1)
    assert application.runs.past[run_id].end_reason == "max_requests: 1 call was hit"


@pytest.mark.parametrize("framework", MAKERS)
def test_a_request_is_answered_before_its_process_ends(framework: str) -> None:
    application = made(framework)
    run_id = start(application, exit_code=7, when="after", delay_seconds=2.0)
    assert application.ask(ORDERS).status == 200
    assert application.exited == []
    assert due(application) == [ANSWER_SECONDS + 2.0]
    let_time_pass(application)
    assert application.exited == [7]
    tally = application.results.tallies[run_id]
    assert (tally.statuses("hit"), tally.get("crashes")) == ({"2xx": 1}, 1)


@pytest.mark.parametrize("framework", MAKERS)
def test_a_stop_between_the_answer_and_the_end_spares_the_process(framework: str) -> None:
    application = made(framework)
    run_id = start(application, when="after")
    application.ask(ORDERS)
    application.runs.runs.clear()
    application.wired.engine.snapshot.invalidate()
    let_time_pass(application)
    assert application.exited == []
    application.wired.engine.recorder.flush()
    assert application.results.tallies[run_id].get("crashes") == 0


def test_a_stop_while_the_request_waits_spares_the_process() -> None:
    application = made("flask")
    start(application, delay_seconds=5.0)

    def stop(_seconds: float) -> None:
        application.runs.runs.clear()
        application.wired.engine.snapshot.invalidate()

    application.sleep = stop
    assert application.ask(ORDERS).status == 200
    assert application.exited == []


def test_where_the_runs_hits_are_used_up_no_further_process_ends() -> None:
    application = made("flask")
    start(application, max_crashes=2)
    for _ in range(5):
        application.ask(ORDERS)
    assert application.exited == [1]  # it took no more when it was about to end
    other = made("flask")
    other.runs, other.budgets = application.runs, application.budgets
    MAKERS["flask"](other)
    for _ in range(5):
        other.ask(ORDERS)
    assert other.exited == [1]


def test_what_the_process_holds_is_given_back_before_it_ends() -> None:
    application = made("flask")
    application.ask(ORDERS)
    memory: Memory = application.wired.engine.effect(Memory)
    start(application)
    held: list[bool] = []
    released = memory.release_all

    def release_all() -> None:
        held.append(application.exited == [])
        released()

    memory.release_all = release_all  # type: ignore[method-assign]
    application.ask(ORDERS)
    assert (held, application.exited) == ([True], [1])


def test_what_fails_before_the_end_does_not_keep_the_process(caplog: pytest.LogCaptureFixture) -> None:
    application = made("flask")
    start(application)
    application.results.broken = True
    application.ask(ORDERS)
    assert application.exited == [1]
    assert "crashes this process with exit code 1" in caplog.text
    application.results.broken = False  # or the end of the tests would fail to flush, aloud


def test_in_lambda_a_process_does_not_end_after_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")
    application = made("chalice")
    run_id = start(application, when="after")
    assert application.ask(ORDERS).status == 200
    assert (due(application), application.exited) == ([], [])
    assert application.runs.past[run_id].defect == "ValueError: Lambda stands still after an answer: only before"


def test_a_stream_that_cannot_be_flushed_keeps_no_process_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    codes: list[int] = []
    monkeypatch.setattr("sys.stdout", closed)
    monkeypatch.setattr("sys.stderr", None)
    monkeypatch.setattr("os._exit", codes.append)
    monkeypatch.setattr("logging.shutdown", lambda: None)
    end: Callable[[int], object] = exit_process
    end(3)
    assert codes == [3]
