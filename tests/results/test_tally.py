import pytest

from chalicelib.results.tally import (
    LAST_BUCKET,
    SLICES,
    Block,
    Counting,
    OpenCalls,
    Served,
    Tally,
    bucket,
    slice_seconds,
    upper_bound,
)
from tests.support import NOW, a_run, with_hypothesis

RUN = a_run(duration_seconds=60.0)
COUNTING = Counting(RUN)


def served(**more: object) -> Served:
    return Served(**{"at": NOW, "seconds": 0.01, "status": 200, "side": "untouched", **more})  # type: ignore[arg-type]


def a_tally(*requests: Served) -> Tally:
    tally = Tally()
    for each in requests:
        tally.record(COUNTING, each)
    return tally


@pytest.mark.parametrize("seconds", [0.0, 0.00001, 0.0001, 0.00011, 0.001, 0.0123, 0.5, 1.0, 29.9, 900.0])
def test_a_time_is_in_the_bucket_whose_bound_is_the_next_one_above(seconds: float) -> None:
    number = bucket(seconds)
    assert seconds <= upper_bound(number) * (1 + 1e-9)
    assert number == 0 or seconds > upper_bound(number - 1) * (1 - 1e-9)


def test_the_last_bucket_is_longer_than_a_lambda_invocation_and_takes_what_is_longer() -> None:
    assert upper_bound(LAST_BUCKET) > 15 * 60
    assert bucket(1e9) == LAST_BUCKET


def test_what_a_run_hit_and_what_none_did_is_counted_apart() -> None:
    tally = a_tally(
        served(side="hit", status=500, counters={"injected_errors": 1}), served(), served(status=503), served(side=None)
    )
    assert tally.get("requests") == 4
    assert tally.requests("hit") == 1
    assert tally.statuses("untouched") == {"2xx": 1, "5xx": 1}
    assert tally.untouched_errors == 1
    assert tally.get("injected_errors") == 1


def test_an_injected_error_is_never_the_applications_own() -> None:
    tally = a_tally(
        *[served(side="hit", status=500, counters={"injected_errors": 1})] * 5, served(side=None, status=500)
    )
    assert tally.untouched_errors == 0
    assert [part.errors for part in tally.timeline(RUN)] == [0]


def test_percentiles_are_good_to_a_buckets_width() -> None:
    tally = a_tally(*[served(seconds=0.001 * number) for number in range(1, 1001)])
    for share, true in ((0.5, 0.5), (0.95, 0.95), (0.99, 0.99)):
        estimate = tally.percentile("untouched", share)
        assert estimate is not None
        assert true / 1.19 <= estimate <= true * 1.19
    assert tally.percentile("hit", 0.5) is None


def test_tallies_add_up_number_by_number() -> None:
    one, other = a_tally(served(), served(side="hit")), a_tally(served(seconds=3.0))
    together = Tally(dict(one.counts))
    together.merge(other.counts)
    assert together.counts == a_tally(served(), served(side="hit"), served(seconds=3.0)).counts


def test_the_timeline_has_the_parts_of_the_runs_life_in_which_there_was_a_request() -> None:
    assert (slice_seconds(RUN), slice_seconds(a_run(duration_seconds=300.0))) == (1.0, 5.0)
    tally = a_tally(
        served(at=NOW + 1, side="hit", seconds=0.5), served(at=NOW + 1.9, seconds=0.1), served(at=NOW + 30, status=500)
    )
    first, second = tally.timeline(RUN)
    assert (first.hit, first.untouched, first.hit_mean_seconds, first.untouched_mean_seconds) == (1, 1, 0.5, 0.1)
    assert (second.at, second.errors, second.hit_mean_seconds) == (NOW + 30, 1, None)


@pytest.mark.parametrize(("at", "part"), [(NOW - 3, NOW), (NOW + 59.9, NOW + 59), (NOW + 100, NOW + 59)])
def test_a_request_that_begins_outside_of_the_runs_life_belongs_to_its_first_or_last_part(
    at: float, part: float
) -> None:
    (only,) = a_tally(served(at=at)).timeline(RUN)
    assert only.at == part


def test_what_is_slower_than_the_hypothesis_allows_is_counted_exactly() -> None:
    counting = Counting(with_hypothesis(RUN, p95_seconds=0.25))
    tally = Tally()
    for seconds in (0.2499, 0.25, 0.2501, 3.0):
        tally.record(counting, served(seconds=seconds))
    tally.record(counting, served(seconds=3.0, side="hit"))
    assert tally.slow == 2


def test_whatever_the_faults_report_is_added_by_name() -> None:
    hit = served(side="hit", counters={"injected_errors": 1, "delay": 2_000_000, "dropped_bytes": 7})
    tally = a_tally(hit, hit, served())
    assert [tally.get(name) for name in ("injected_errors", "delay", "dropped_bytes")] == [2, 4_000_000, 14]
    assert [part.injected_errors for part in tally.timeline(RUN)] == [2]


def test_the_names_of_the_counters_are_those_in_the_table() -> None:
    hit = served(at=NOW + 3, side="hit", status=500, seconds=1.0, counters={"injected_errors": 1, "delay": 1_000_000})
    assert a_tally(hit, served(status=503), served(side=None)).counts == {
        "requests": 3,
        "injected.5xx": 1,
        "injected.b54": 1,
        "t3.injected": 1,
        "t3.injected.us": 1_000_000,
        "injected_errors": 1,
        "delay": 1_000_000,
        "untouched.5xx": 1,
        "untouched.b27": 1,
        "t0.untouched": 1,
        "t0.untouched.us": 10_000,
        "t0.untouched.errors": 1,
    }


@pytest.mark.parametrize("status", [0, 99, 600, 1000, -1])
def test_a_number_that_is_no_status_raises_nothing(status: int) -> None:
    assert a_tally(served(status=status)).requests("untouched") == 1


@pytest.mark.parametrize("part", range(SLICES))
def test_a_slice_begins_with_the_moment_that_the_timeline_names(part: int) -> None:
    run = a_run(duration_seconds=700.0)
    at = run.started_at + part * slice_seconds(run)
    tally = Tally()
    tally.record(Counting(run), served(at=at))
    assert [each.at for each in tally.timeline(run)] == [at]


# What is judged

JUDGED = with_hypothesis(a_run(duration_seconds=300.0), p95_seconds=0.1, max_error_rate=0.01)


def judged(*requests: Served) -> Tally:
    tally = Tally()
    for each in requests:
        tally.record(Counting(JUDGED), each)
    return tally


def test_an_answer_that_was_injected_says_nothing_about_the_application() -> None:
    tally = judged(
        served(side="hit", status=503, seconds=3.0, counters={"injected_errors": 1}),
        served(side="hit", status=500),
        served(side="hit", seconds=2.0),
        served(side="hit"),
    )
    hit = tally.side_counts("hit", JUDGED, NOW + 300)
    assert (hit.requests, hit.errors, hit.slow) == (3, 1, 1)
    assert hit.blocks == (Block(began=3, errors=1, slow=1),)
    assert hit.percentile(1.0) == pytest.approx(2.0, rel=0.19)
    assert (tally.requests("hit"), tally.statuses("hit")) == (4, {"2xx": 2, "5xx": 2})  # as clients see it


def test_a_block_is_given_when_all_who_could_add_to_it_have_flushed() -> None:
    tally = judged(served(at=NOW + 1), served(at=NOW + 4.9, status=500), served(at=NOW + 20, seconds=3.0))
    first, second = Block(began=2, errors=1, slow=0), Block(began=1, errors=0, slow=1)
    for after, blocks in ((6.9, ()), (7.0, (first,)), (26.9, (first,)), (27.0, (first, second))):
        counts = tally.side_counts("untouched", JUDGED, NOW + after)
        assert (counts.blocks, counts.requests, counts.block_seconds) == (blocks, 3, 5.0)
    tally.flush_seconds = 60.0
    assert tally.side_counts("untouched", JUDGED, NOW + 124.9).blocks == ()
    assert tally.side_counts("untouched", JUDGED, NOW + 125.0).blocks == (first,)


def test_a_block_in_which_a_call_is_still_open_is_not_given() -> None:
    tally = judged(served(at=NOW + 1), served(at=NOW + 6))
    tally.open_calls = [OpenCalls(until=NOW + 100, calls={"untouched.0": 1, "hit.1": 1})]
    assert tally.side_counts("untouched", JUDGED, NOW + 99).blocks == (Block(began=1, errors=0, slow=0),)
    died = tally.side_counts("untouched", JUDGED, NOW + 101)
    assert died.blocks == (Block(began=2, errors=1, slow=1), Block(began=1, errors=0, slow=0))
    assert (died.requests, died.errors, died.slow, died.died, died.open) == (3, 1, 1, 1, 0)


def test_a_percentile_that_died_has_no_time() -> None:
    tally = judged(*[served()] * 9)
    tally.open_calls = [OpenCalls(until=NOW, calls={"untouched.0": 1})]
    counts = tally.side_counts("untouched", JUDGED, NOW + 1)
    assert counts.percentile(0.9) is not None
    assert counts.percentile(0.95) is None


def test_what_a_version_before_counted_is_read() -> None:
    """By when requests were answered, in 30 parts; it counted those that had begun, which nobody reads any more."""
    counts = {"requests": 3, "begun": 4, "hit.5xx": 1, "hit.b54": 1, "s1.hit": 1, "s1.hit.us": 1_000_000}
    counts |= {"injected_errors": 1, "s1.injected_errors": 1, "untouched.5xx": 2, "untouched.b27": 2}
    tally = Tally({**counts, "s0.untouched": 2, "s0.untouched.us": 20_000, "s0.errors": 2})
    first, second = tally.timeline(RUN)
    assert (first.at, first.seconds, first.untouched, first.errors) == (NOW, 2.0, 2, 2)
    assert (second.at, second.hit, second.injected_errors, second.hit_mean_seconds) == (NOW + 2, 1, 1, 1.0)
    untouched = tally.side_counts("untouched", RUN, NOW + 100)
    assert (untouched.requests, untouched.errors, untouched.died, untouched.blocks) == (2, 2, 0, ())
