import json
import sys

import pytest

from chalicelib.faults.base import declared_counters
from chalicelib.results.metrics import COUNTS, DIMENSIONS, NAMESPACE, OF_CALLS, Metrics
from chalicelib.results.tally import Counting, Served, Tally
from chalicelib.settings import Settings
from tests.support import NOW, a_run

RUN = a_run("error_injection")
SETTINGS = Settings(stage="staging", application="orders")


def counts() -> dict[str, int]:
    tally = Tally()
    hit = {"side": "hit", "status": 500, "counters": {"injected_errors": 1, "delay": 1_500_000}}
    for more in (hit, {"side": "untouched", "status": 200}, {"side": "untouched", "status": 503}):
        tally.record(Counting(RUN), Served(at=NOW, seconds=0.01, **more))  # type: ignore[arg-type]
    return tally.counts


def test_a_line_in_the_embedded_metric_format_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    Metrics(SETTINGS)(RUN, counts())
    (line,) = capsys.readouterr().out.splitlines()
    written = json.loads(line)
    (directive,) = written["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "ChaosExperiments"
    assert set(directive["Dimensions"][0]) == {"Application", "Stage", "Experiment", "service"}
    assert (written["Application"], written["Stage"], written["Experiment"]) == ("orders", "staging", "error_injection")
    values = {each["Name"]: written[each["Name"]] for each in directive["Metrics"]}
    assert values == {
        "Requests": [3],
        "RequestsHit": [1],
        "RequestsUntouched": [2],
        "InjectedErrors": [1],
        "UntouchedErrors": [1],
        "InjectedDelay": [1.5],
    }


def test_of_outgoing_calls_there_are_metrics_besides(capsys: pytest.CaptureFixture[str]) -> None:
    counted = {f"d|botocore|dynamodb:{name}|{what}": 3 for name in ("Get", "Put") for what in ("calls", "calls_hit")}
    Metrics(SETTINGS)(
        a_run("dependency_failure", dependency="dynamodb"), {**counted, "d|botocore|dynamodb:Get|errors": 1}
    )
    written = json.loads(capsys.readouterr().out)
    assert [written[name] for name in OF_CALLS] == [[6], [6], [1]]


def test_names_that_dashboards_rely_on_are_pinned() -> None:
    assert OF_CALLS == ("OutgoingCalls", "OutgoingCallsHit", "OutgoingCallsFailed")
    assert NAMESPACE == "ChaosExperiments"
    assert DIMENSIONS == ("Application", "Stage", "Experiment")
    assert COUNTS == ("Requests", "RequestsHit", "RequestsUntouched", "UntouchedErrors")
    declared = {counter.name: counter.metric for counter in declared_counters() if counter.metric}
    assert declared == {"injected_delay_seconds": "InjectedDelay", "injected_errors": "InjectedErrors"}


def test_without_powertools_nothing_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("aws_lambda_powertools")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "aws_lambda_powertools", None)
    Metrics(SETTINGS)(RUN, counts())
    assert capsys.readouterr().out == ""


def test_a_failure_is_logged_and_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics(SETTINGS)
    metrics.__dict__["_provider"] = None.__class__  # takes no arguments
    metrics(RUN, counts())
    assert "Could not write the metrics of run" in caplog.text
