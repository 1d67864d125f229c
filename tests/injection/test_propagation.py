"""What services tell each other about the requests that runs hit."""

from typing import Any

import pytest

from chalicelib.injection.decide import decide
from chalicelib.injection.engine import InjectionResult
from chalicelib.injection.plan import Compiler, Environment, Plan
from chalicelib.injection.propagation import (
    LASTS_SECONDS,
    LONGEST_BYTES,
    MOST_MEMBERS,
    Propagation,
    Seal,
    inherited,
    with_members,
)
from chalicelib.runs.run import CLOCKS_DIFFER_SECONDS, Run
from tests.injection.support import FakeCall, catalogue
from tests.support import NOW, Clock, a_run

KEY = "sixteen bytes or more"
LATER = NOW + 3600
SIGNATURE = "A" * 43


def travelling(label: str = "slow", **more: Any) -> Run:
    options = {"propagate": True, **more.pop("options", {})}
    return a_run(label=label, options=options, duration_seconds=60.0, **more)


def propagation(run: Run | None = None, *, key: str = KEY, clock: Clock | None = None) -> Propagation:
    made = Seal(key, clock or Clock()).propagation(run or travelling())
    assert made
    return made


def plan(run: Run, clock: Clock | None = None) -> Plan:
    seal = Seal(KEY, clock or Clock())
    (made,) = Compiler(catalogue, lambda _run, _defect: None, environment=Environment("here", "", seal))([run])
    return made


def request(*plans: Plan, baggage: str | None = None, **headers: str) -> InjectionResult:
    brought = {"baggage": baggage} if baggage is not None else {}
    return InjectionResult(plans, FakeCall("/orders", **brought, **headers), 0.0, "here")


def is_hit(run: Run, *, baggage: str | None = None, chance: float = 0.5) -> bool:
    made = plan(run)
    return bool(decide([made], lambda: chance, request(made, baggage=baggage)))


SENT = propagation().own(is_hit=True, until=LATER)
SPARED = propagation().own(is_hit=False, until=LATER)


# What it is


def test_a_verdict_needs_no_escapes_in_a_baggage_and_is_short() -> None:
    key, _, value = SENT.partition("=")
    assert key == "chaos.slow"
    assert all(letter.isalnum() or letter in "._-" for letter in value)
    assert len(SENT) < 128


def test_twenty_with_the_longest_names_have_room() -> None:
    members = [propagation(travelling(f"{number:02}" + "x" * 62)).own(is_hit=True, until=LATER) for number in range(20)]
    assert with_members(None, members).split(",") == members


def test_a_verdict_is_read_by_who_has_the_key_and_a_run_of_that_label() -> None:
    for sent, expected in ((SENT, True), (SPARED, False)):
        found = propagation(travelling(token="another")).read(sent)
        assert found
        assert (found.is_hit, found.text) == (expected, sent)


@pytest.mark.parametrize(
    "baggage",
    [f"a=1,{SENT};since=2, b=3", f"chaos.slow=1.1.x.{SIGNATURE},{SENT}", f" {SENT} ", f",,{SENT},"],
)
def test_it_is_found_among_others(baggage: str) -> None:
    found = propagation().read(baggage)
    assert found
    assert found.text == SENT


@pytest.mark.parametrize(
    "baggage",
    [
        None,
        "",
        "a=1",
        propagation(key="somebody else's key").own(is_hit=True, until=LATER),
        propagation(travelling("slower")).own(is_hit=True, until=LATER),
        SENT.replace("slow=1", "slow=0"),
        SENT.replace("slow=1", "slow=2"),
        SENT.replace(".1800000010000.", ".1800000011000."),
        SENT.replace("-1.", "-2."),
        SENT.replace("chaos.slow", "chaos.slow "),
        SENT[:-1],
        f"{SENT}=",
        f"{SENT}\u00e9",
        f"chaos.slow=1.{'9' * 99}.x.{SIGNATURE}",
        f"chaos.slow=1.\u0661.x.{SIGNATURE}",
        "chaos.slow=1.1800000005000.x." + "\u00e9" * 43,
        f"{'x' * LONGEST_BYTES},{SENT}",
        "chaos.slow=",
        "chaos.slow",
    ],
)
def test_what_is_forged_foreign_or_malformed_is_none(baggage: str | None) -> None:
    assert propagation().read(baggage) is None


def test_it_holds_for_ten_seconds_and_no_longer() -> None:
    clock = Clock()
    reads = propagation(clock=clock)
    clock.now = NOW + LASTS_SECONDS - 0.001
    assert reads.read(SENT)
    clock.now = NOW + LASTS_SECONDS
    assert reads.read(SENT) is None


def test_it_holds_no_longer_than_its_run() -> None:
    clock = Clock()
    sent = propagation().own(is_hit=True, until=NOW + 1)
    clock.now = NOW + 1
    assert propagation(clock=clock).read(sent) is None


def test_one_that_would_hold_for_longer_is_none_whoever_signed_it() -> None:
    ahead = Clock(NOW + CLOCKS_DIFFER_SECONDS + 0.1)
    assert propagation().read(propagation(clock=ahead).own(is_hit=True, until=LATER)) is None
    ahead.now = NOW + CLOCKS_DIFFER_SECONDS - 0.1
    assert propagation().read(propagation(clock=ahead).own(is_hit=True, until=LATER))


def test_only_a_run_that_propagates_has_one_and_only_with_a_key() -> None:
    assert Seal(KEY, Clock()).propagation(a_run(label="slow")) is None
    assert Seal(KEY, Clock()).propagation(travelling("sl,ow")) is None
    assert plan(a_run()).propagation is None
    (keyless,) = Compiler(catalogue, lambda _run, _defect: None)([travelling()])
    assert keyless.propagation is None


# What it decides


@pytest.mark.parametrize("options", [{}, {"target": {"paths": ["/carts"]}}, {"every": 1000}, {"ramp_seconds": 60.0}])
def test_a_verdict_takes_the_place_of_the_target_and_the_selection(options: dict[str, Any]) -> None:
    assert is_hit(travelling(percentage=0.1, options=options), baggage=SENT)
    assert not is_hit(travelling(percentage=100.0), baggage=SPARED)


def test_without_one_the_run_decides_itself() -> None:
    for baggage in (None, "a=1", SENT[:-1]):
        assert is_hit(travelling(percentage=60.0), baggage=baggage)
        assert not is_hit(travelling(percentage=40.0), baggage=baggage)


def test_a_run_that_does_not_propagate_takes_none() -> None:
    assert not is_hit(a_run(label="slow", percentage=40.0), baggage=SENT)


def test_the_environments_of_its_target_stay_those() -> None:
    run = travelling(options={"target": {"functions": ["elsewhere"]}})
    assert not is_hit(run, baggage=SENT)


def test_what_is_hit_by_a_verdict_matched_the_target_and_draws_by_its_key() -> None:
    run = travelling(options={"target": {"paths": ["/carts"]}, "sticky": {"header": "x-user"}})
    made = plan(run)
    result = request(made, baggage=SENT, x_user="ada")
    ((_, _, drawn),) = decide([made], lambda: 0.5, result)
    assert [name for _, name in result.notes] == ["matched"]
    assert made.selector
    again = made.selector.chance_of(result.call)
    assert again
    assert drawn() == again()


def test_it_is_read_once_a_request_and_stands_while_that_is_served() -> None:
    clock = Clock()
    made = plan(travelling(), clock)
    result = request(made, baggage=SENT)
    assert made.propagation
    found = made.propagation.inherited(result)
    assert found
    clock.now += LASTS_SECONDS
    assert made.propagation.inherited(result) is found
    assert made.propagation.passed_on(found) is None


def test_a_preview_reads_it_too() -> None:
    seal = Seal(KEY, Clock())
    assert inherited(seal, travelling(), SENT) is True
    assert inherited(seal, travelling(), SPARED) is False
    assert inherited(seal, travelling(), "a=1") is inherited(None, travelling(), SENT) is None


# What is sent


@pytest.mark.parametrize(
    ("baggage", "expected"),
    [
        (None, "chaos.a=1"),
        ("", "chaos.a=1"),
        ("x=1", "x=1,chaos.a=1"),
        ("x=1;p, chaos.a = old ,chaos.b=2,y=3", "x=1;p,chaos.b=2,y=3,chaos.a=1"),
        (",".join(f"x{n}=1" for n in range(MOST_MEMBERS)), ",".join(f"x{n}=1" for n in range(MOST_MEMBERS))),
        ("x=" + "1" * (LONGEST_BYTES - 11), "x=" + "1" * (LONGEST_BYTES - 11)),
    ],
)
def test_the_baggage_of_others_is_kept_and_comes_first(baggage: str | None, expected: str) -> None:
    assert with_members(baggage, ["chaos.a=1"]) == expected
