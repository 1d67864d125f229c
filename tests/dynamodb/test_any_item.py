"""Whatever an item is made of, reading, showing and compiling it raises nothing: properties, without a table."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.api import dependencies, responses
from chalicelib.dynamodb.items import (
    HaltItem,
    ObservationItem,
    RunItem,
    attributes_of_event,
    attributes_of_run,
    read_current,
    read_event,
    read_halt,
    read_observation,
    read_run,
)
from chalicelib.dynamodb.results import _counted
from chalicelib.dynamodb.seen import _calls, _key
from chalicelib.experiments.catalogue import installed
from chalicelib.injection.plan import Compiler
from chalicelib.report.documents import html, markdown
from chalicelib.results.seen import SeenKey
from chalicelib.results.tally import Tally
from chalicelib.runs.observation import Observation
from chalicelib.runs.run import Run
from tests.support import NOW, Clock, a_run, an_event, with_hypothesis

RUN = RunItem("app#dev", "run#latency_injection", **attributes_of_run(with_hypothesis(a_run(), max_error_rate=0.1)))
OBSERVATION = ObservationItem("app#dev", "observe", began=NOW, until=NOW + 60)
SEEN = {
    "sk": {"S": "1800000000#urllib3#payments.example:443"},
    "calls": {"N": "1"},
    "errors": {"N": "1"},
    "b40": {"N": "1"},
    "faults": {"SS": ["dns"]},
}
HALT = HaltItem("app#dev", "halt", **attributes_of_event(an_event(details={"a": 1})))

NUMBERS = st.sampled_from(["NaN", "Infinity", "-Infinity", "1e400", "-1", "0", "1E+100", "1e-130", "x", "", "٣"])
VALUES = st.one_of(
    st.builds(lambda text: {"S": text}, st.text(max_size=30)),
    st.builds(lambda number: {"N": number}, NUMBERS | st.floats().map(str)),
    st.builds(lambda data: {"B": data}, st.binary(max_size=5)),
    st.sampled_from([{"NULL": True}, {"BOOL": True}, {"L": []}, {"M": {"S": {"S": "a"}}}, {"SS": ["a"]}, {}]),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
OPTIONS = st.dictionaries(
    st.sampled_from(
        [
            "reason",
            "alarms",
            "hypothesis",
            "target",
            "name",
            "results",
            "label",
            "scenario",
            "max_requests",
            "first",
            "every",
            "sticky",
            "seed",
            "ramp_seconds",
            "dry_run",
            "propagate",
        ]
    ),
    JSON,
)
HYPOTHESES = st.dictionaries(st.sampled_from(["max_error_rate", "p95_seconds", "min_requests", "abort", "of"]), JSON)
PARAMETERS = st.dictionaries(st.sampled_from(["delay_seconds", "duration_seconds", "percentage", "x"]), JSON)
TEXTS = st.one_of(OPTIONS, HYPOTHESES.map(lambda hypothesis: {"hypothesis": hypothesis}), PARAMETERS, JSON).map(
    lambda content: {"S": json.dumps(content)}
)


def items(whole: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """The item with some of its attributes replaced, or missing."""
    names = st.sampled_from(
        sorted(
            {*whole, "label", "scenario", "is_spent", "ended_at", "ended_by", "aborted", "defect", "resumed_at"}
            - {"pk", "sk"}
        )
    )
    changed = st.dictionaries(names, st.none() | VALUES | TEXTS, max_size=4)
    return changed.map(lambda new: {name: value for name, value in {**whole, **new}.items() if value is not None})


@pytest.fixture
def many(pytestconfig: pytest.Config) -> Any:
    cases = int(pytestconfig.getoption("--cases"))
    return settings(max_examples=2 * cases, deadline=None, database=None, suppress_health_check=list(HealthCheck))


def shown(run: Run) -> None:
    """As the list, the report and the metrics show it."""
    for now in (0.0, NOW, NOW + 60):
        assert run.status(now) in ("running", "completed", "stopped", "aborted")
        assert 0 <= run.remaining_seconds(now) < 1e12
        for tally in (None, Tally({"requests": 3, "untouched.2xx": 3})):
            content = responses.run(run, now, tally, catalogue=installed())
            json.dumps(content, allow_nan=False)
    if run.damaged:
        return  # it is in no history, so it has no report
    report: responses.Report = {"run": content, "events": []}
    for text in (markdown(report), html(report)):
        text.encode()


def test_anything_below_the_key_of_a_run_is_a_run(many: Any) -> None:
    @many
    @given(items(dict(RUN.serialize())))
    def every(raw: dict[str, Any]) -> None:
        run = read_current(raw)
        assert run.label == "latency_injection"
        shown(run)
        shown(run.ended(now=NOW + 1, by="bob", reason=None))
        plans = Compiler(installed, lambda _run, _defect: None, clock=Clock(), timer=Clock())([run])
        assert not (plans and run.unreadable)
        for plan in plans:
            assert 0 <= plan.remaining_seconds(NOW) <= 86400
        past = read_run(raw)
        if past:
            shown(past)

    every()


def test_anything_below_the_key_of_a_halt_is_a_halt_and_an_event_or_none(many: Any) -> None:
    @many
    @given(items(dict(HALT.serialize())))
    def every(raw: dict[str, Any]) -> None:
        json.dumps(responses.halt(read_halt(raw)), allow_nan=False)
        event = read_event(raw)
        if event:
            json.dumps(responses.entry(event, NOW, {}), allow_nan=False)

    every()


def test_counts_are_whole_numbers_or_left_out(many: Any) -> None:
    @many
    @given(st.dictionaries(st.sampled_from(["c.requests", "c.untouched.2xx", "c.x", "c.", "e.a.1", "e."]), VALUES))
    def every(raw: dict[str, Any]) -> None:
        counts = _counted({**raw, "sk": {"S": "id"}}).counts
        assert all(number > 0 for number in counts.values())

    every()


def test_anything_below_the_key_of_an_observation_is_one_or_none(many: Any) -> None:
    @many
    @given(items(dict(OBSERVATION.serialize())))
    def every(raw: dict[str, Any]) -> None:
        observation = read_observation([raw])
        assert observation is None or isinstance(observation.is_active(NOW), bool)

    every()


def test_anything_that_was_seen_is_counted_or_left_out(many: Any) -> None:
    @many
    @given(items(SEEN), st.text(max_size=20) | st.just("1800000000#urllib3#a"))
    def every(raw: dict[str, Any], key: str) -> None:
        if _key({**raw, "sk": {"S": key}}):
            json.dumps(list(responses_of(raw)), allow_nan=False)

    def responses_of(raw: dict[str, Any]) -> Any:
        return dependencies.shown(
            {SeenKey(NOW, "urllib3", "a:1"): _calls(raw)}, Observation.asked(NOW), was_asked=True
        )["dependencies"]

    every()
