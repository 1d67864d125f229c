"""An injected exception, beside the same one that a handler really raises: the application cannot tell them apart."""

import json
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import chalice
import fastapi
import flask
import pytest
import werkzeug.exceptions

from tests.raising import (
    MAKERS,
    MESSAGE,
    ORDERS,
    Application,
    Handles,
    OutOfMiddleware,
    OutOfStock,
    fastapi_,
    flask_,
)

HERE = Path(__file__).parent
MODULE = "tests.raising"


def made(framework: str, handles: Handles, kind: type[Exception] = OutOfStock) -> Application:
    application = Application(handles)
    MAKERS[framework](application)
    application.exception = lambda: kind(MESSAGE)
    return application


HANDLED: dict[tuple[str, Handles], tuple[int, str]] = {
    ("flask", "its class"): (409, "sold: Out of stock"),
    ("flask", "any exception"): (503, "broken: Out of stock"),
    ("fastapi", "its class"): (409, "sold: Out of stock"),
    ("fastapi", "any exception"): (503, "broken: Out of stock"),
    ("fastapi", "nothing"): (500, "Internal Server Error"),
}


@pytest.mark.parametrize("handles", ["its class", "any exception", "nothing"])
@pytest.mark.parametrize("framework", MAKERS)
def test_the_applications_own_handlers_and_hooks_see_an_injected_exception_as_one_that_it_raises(
    framework: str, handles: Handles
) -> None:
    application = made(framework, handles)
    run_id = application.start("exception_injection", exception=f"{MODULE}.OutOfStock", message=MESSAGE)
    answered, noticed, really, really_noticed = application.asked_twice()
    assert (answered, noticed) == (really, really_noticed)
    assert answered == HANDLED.get((framework, handles), answered)
    assert answered[0] >= 400
    headers = application.ask(ORDERS).headers
    assert (headers["x-chaos-experiment"], headers["x-chaos-run"]) == ("exception_injection", run_id)


@pytest.mark.parametrize("framework", MAKERS)
def test_it_is_an_answer_of_the_application_and_counted_as_hit(framework: str) -> None:
    application = made(framework, "its class")
    run_id = application.start("exception_injection", exception=f"{MODULE}.OutOfStock")
    status = application.ask(ORDERS).status
    application.wired.engine.recorder.flush()
    tally = application.results.tallies[run_id]
    assert (tally.get("injected_exceptions"), tally.statuses("hit")) == (1, {f"{status // 100}xx": 1})


@pytest.mark.parametrize("handles", ["its class", "nothing"])
def test_what_chalice_leaves_to_middleware_is_translated_there_or_answered_with_the_headers(handles: Handles) -> None:
    application = made("chalice", handles, OutOfMiddleware)
    application.start("exception_injection", exception=f"{MODULE}.OutOfMiddleware", message=MESSAGE)
    answered, noticed, really, really_noticed = application.asked_twice()
    assert (answered, noticed) == (really, really_noticed)
    assert noticed == [("middleware", f"OutOfMiddleware: {MESSAGE}")]
    assert answered[0] == (409 if handles == "its class" else 500)
    assert application.ask(ORDERS).headers["x-chaos-experiment"] == "exception_injection"


@pytest.mark.parametrize(
    ("framework", "name", "kind", "status"),
    [
        ("chalice", "chalice.NotFoundError", chalice.NotFoundError, 404),
        ("chalice", "chalice.TooManyRequestsError", chalice.TooManyRequestsError, 429),
        ("flask", "werkzeug.exceptions.NotFound", werkzeug.exceptions.NotFound, 404),
        ("flask", "werkzeug.exceptions.ServiceUnavailable", werkzeug.exceptions.ServiceUnavailable, 503),
        ("fastapi", "fastapi.HTTPException", lambda message: fastapi.HTTPException(500, message), 500),
    ],
)
def test_one_with_a_status_is_answered_with_it(framework: str, name: str, kind: Any, status: int) -> None:
    application = made(framework, "nothing", kind)
    application.start("exception_injection", exception=name, message=MESSAGE)
    answered, noticed, really, really_noticed = application.asked_twice()
    assert (answered, noticed) == (really, really_noticed)
    assert answered[0] == status
    assert MESSAGE in answered[1]


def test_flasks_hooks_see_it_and_a_handler_spares_them_that() -> None:
    application = made("flask", "nothing")
    application.start("exception_injection", exception=f"{MODULE}.OutOfStock", message=MESSAGE)
    application.ask(ORDERS)
    assert application.noticed == [("signal", f"OutOfStock: {MESSAGE}"), ("teardown", f"OutOfStock: {MESSAGE}")]


def test_where_flask_propagates_exceptions_a_test_sees_it_and_its_note() -> None:
    application = Application()
    flask_(application, testing=True)
    run_id = application.start("exception_injection", exception="TimeoutError", message=MESSAGE)
    with pytest.raises(TimeoutError, match=MESSAGE) as raised:
        application.ask(ORDERS)
    assert f"Injected by chaos experiment run {run_id}" in "".join(traceback.format_exception(raised.value))
    *_, last = traceback.extract_tb(raised.value.__traceback__)
    assert last.filename.endswith("frameworks/flask.py")


def test_a_dependency_of_fastapi_is_not_solved_for_a_request_in_whose_place_an_exception_is() -> None:
    application = Application()
    fastapi_(application)
    opened: list[str] = []

    def session() -> Any:
        opened.append("session")
        yield

    app: fastapi.FastAPI = application.app
    app.add_api_route("/with", application.orders, dependencies=[fastapi.Depends(session)])
    application.start("exception_injection", exception="TimeoutError")
    application.run.options["target"]["paths"].append("/with")
    assert application.ask("/with").status == 500
    assert opened == []


@pytest.mark.parametrize("framework", MAKERS)
def test_what_is_not_imported_leaves_requests_untouched_and_is_recorded(framework: str) -> None:
    application = made(framework, "nothing")
    run_id = application.start("exception_injection", exception="no_such_module.Class")
    answered = application.ask(ORDERS)
    assert answered.status == 200
    assert "x-chaos-run" not in answered.headers
    application.wired.engine.recorder.flush()
    assert application.results.tallies[run_id].statuses("untouched") == {"2xx": 1}
    defect = application.run.defect
    assert defect
    assert defect.endswith("as yet: no_such_module is not imported")


def test_the_control_plane_is_never_hit_and_test_shows_what_would_be_raised() -> None:
    application = made("flask", "nothing")
    application.start("exception_injection", exception="TimeoutError")
    application.run.options.clear()
    client: Any = flask.Flask.test_client(application.app)
    shown = client.get("/chaos_experiments/test")
    assert shown.status_code == 200
    (injected,) = shown.json["resultset"]["injected"]
    assert (injected["fault"], injected["exception"]) == ("exception", "TimeoutError")
    assert client.get("/chaos_experiments/list").status_code == 401


# Sentry, in a process of its own: it patches much of the standard library for good.


@pytest.mark.parametrize("framework", MAKERS)
def test_sentry_sees_each_injected_exception_once_as_one_that_the_application_raises(framework: str) -> None:
    command = [sys.executable, "-W", "ignore", str(HERE / "seen_by_sentry.py"), framework]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, cwd=HERE.parents[1])
    events = json.loads(done.stdout)
    assert events["latency_injection"] == []
    assert events["untouched"] == []
    (injected,), (really,) = events["injected"], events["really"]
    assert (injected["type"], injected["value"]) == ("OutOfStock", MESSAGE)
    assert injected["notes"] == ["Injected by chaos experiment run " + events["run_id"]]
    for name in ("type", "value", "module", "mechanism", "handled", "level", "method"):
        assert injected[name] == really[name], name
    assert injected["url"].replace("/orders", "/raises") == really["url"]
    assert injected["last_module"].startswith("chalicelib.")
