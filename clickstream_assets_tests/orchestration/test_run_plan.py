"""What the sensor asks for next: all of a backlog sooner or later, in few runs, each within its bounds."""

from bisect import bisect_left
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream_assets.ingest.offset_plan import read_on
from clickstream_assets.orchestration.run_plan import RunPlan, plan_backlog, plan_stale

steady = settings(deadline=None, max_examples=150, derandomize=True)


class Log:
    """A topic in memory: by partition, the hour of each record's time, by offset."""

    def __init__(self, *partitions):
        self.hours = dict(enumerate(partitions))
        self.ends = {p: len(hours) for p, hours in self.hours.items()}
        self.asked = 0
        # Kafka answers with the first offset at or after a time: where the running maximum reaches it.
        self._peaks = {p: list(accumulate(hours, max)) for p, hours in self.hours.items()}

    def offsets_at(self, hour):
        self.asked += 1
        return {p: bisect_left(peaks, hour) for p, peaks in self._peaks.items()}

    def plan(self, begins=None, *, first_hour=0, last_hour=1_000, max_events=1_000_000, max_hours=200):
        return plan_backlog(
            begins or dict.fromkeys(self.ends, 0),
            self.ends,
            self.offsets_at,
            first_hour=first_hour,
            last_hour=last_hour,
            max_events=max_events,
            max_hours=max_hours,
        )


def test_eighty_small_hours_are_one_run():
    log = Log([hour for hour in range(100, 180) for _ in range(3)], list(range(100, 180)))
    assert log.plan(max_events=400) == RunPlan(100, 179, {0: 240, 1: 80}, more=80)


def test_without_lag_there_is_no_plan():
    log = Log([5, 6], [7])
    assert log.plan(log.ends) is None
    assert Log([], []).plan() is None
    assert log.asked == 0


def test_a_partition_without_lag_has_no_hour():
    assert Log([5, 6], [7, 8]).plan({0: 2, 1: 1}, max_events=10) == RunPlan(8, 8, {0: 2, 1: 2}, more=9)


def test_a_run_that_takes_all_there_is_reads_on_and_one_that_leaves_some_does_not():
    log = Log([10] * 3, [10] * 2)
    assert log.plan(max_events=7) == RunPlan(10, 10, {0: 3, 1: 2}, more=2)
    assert log.plan(max_events=5) == RunPlan(10, 10, {0: 3, 1: 2}, more=0)
    assert log.plan(max_events=4).more == 0
    assert Log([10, 300]).plan(max_hours=5) == RunPlan(10, 10, {0: 1}, more=0)


def test_reading_on_ends_where_the_next_hour_begins_and_behind_so_many_offsets():
    assert read_on({0: 3, 1: 2}, {0: 8, 1: 2}, 100) == {0: 8, 1: 2}
    assert read_on({0: 3, 1: 2}, {0: 1, 1: 4}, 100) == {0: 3, 1: 4}, "never less than was planned"
    assert read_on({0: 3, 1: 2}, {0: 103, 1: 102}, 50) == {0: 28, 1: 27}
    assert read_on({0: 3}, {0: 5, 1: 9}, 10) == {0: 5}, "a partition that the plan did not know waits for the next"


def test_events_bound_a_run_at_a_whole_hour_where_there_is_one():
    log = Log([hour for hour in range(10, 20) for _ in range(100)])
    assert log.plan(max_events=350) == RunPlan(10, 12, {0: 300})
    assert log.plan({0: 300}, max_events=350) == RunPlan(13, 15, {0: 600})


def test_an_hour_with_too_many_events_is_cut_in_each_partition():
    log = Log([10] * 900, [10] * 100, [10])
    plan = log.plan(max_events=100)
    assert (plan.first, plan.last) == (10, 10)
    assert plan.until == {0: 89, 1: 9, 2: 1}


def test_hours_bound_a_run():
    log = Log(list(range(10, 400)))
    assert log.plan(max_hours=24) == RunPlan(10, 33, {0: 24})


def test_a_long_silence_is_bridged_by_the_next_run():
    log = Log([10, 10, 900])
    plan = log.plan(max_hours=24)
    assert (plan.first, plan.until) == (10, {0: 2})
    assert plan.last < 10 + 24
    assert log.plan(plan.until, max_hours=24, max_events=5) == RunPlan(900, 900, {0: 3}, more=4)


def test_a_run_ends_with_the_last_hour_it_reads_from():
    log = Log([10, 12, 900])
    assert log.plan(max_hours=24) == RunPlan(10, 12, {0: 2})
    log = Log([hour for hour in (10, 11, 20) for _ in range(100)])
    assert log.plan(max_events=250) == RunPlan(10, 11, {0: 200})
    assert log.plan({0: 200}, max_events=250) == RunPlan(20, 20, {0: 300}, more=150)


def test_record_times_outside_the_partitions_count_in_the_first_and_the_last():
    log = Log([1, 2, 60, 5_000])
    assert log.plan(first_hour=50, last_hour=70, max_events=4) == RunPlan(50, 70, {0: 4})
    assert log.plan({0: 3}, first_hour=50, last_hour=70, max_events=1) == RunPlan(70, 70, {0: 4})


def test_record_times_out_of_order_are_read_with_the_latest_before_them():
    log = Log([50, 10, 11, 51], [12])
    assert (log.plan(max_hours=10).first, log.plan(max_hours=10).until) == (12, {1: 1})
    assert log.plan({0: 0, 1: 1}, max_hours=10, max_events=4) == RunPlan(50, 51, {0: 4, 1: 1})


def test_kafka_is_asked_some_dozen_times_at_most():
    log = Log(list(range(100_000)))
    log.plan(last_hour=100_000, max_events=5_000, max_hours=20_000)
    assert log.asked <= 60


hours = st.lists(st.integers(0, 40), max_size=40)


@pytest.mark.slow
@steady
@given(st.lists(hours, min_size=1, max_size=3), st.booleans(), st.integers(1, 30), st.integers(1, 20))
def test_run_after_run_the_whole_backlog_is_read_within_bounds(partitions, in_order, max_events, max_hours):
    log = Log(*(sorted(times) if in_order else times for times in partitions))
    at = dict.fromkeys(log.ends, 0)
    last = -1
    while plan := log.plan(at, first_hour=3, last_hour=35, max_events=max_events, max_hours=max_hours):
        assert 3 <= plan.first <= plan.last <= 35
        assert plan.last - plan.first < max_hours
        assert plan.until
        assert all(at[p] <= end <= log.ends[p] for p, end in plan.until.items())
        assert 0 < sum(end - at[p] for p, end in plan.until.items()) < max_events + len(at)
        left = max_events - sum(log.ends[p] - at[p] for p in at)
        assert plan.more == (max(left, 0) if plan.until == log.ends else 0)
        read = [log.hours[p][offset] for p, end in plan.until.items() for offset in range(at[p], end)]
        assert min(max(read), 35) <= plan.last
        if in_order:
            assert max(min(max(read), 35), 3) == plan.last
            assert max(min(read), 3) == plan.first or min(read) > 35
            assert plan.first >= last
        at, last = at | plan.until, plan.last
    assert at == log.ends


def test_stale_hours_in_a_row_are_one_run():
    assert plan_stale([7, 5, 6], 200) == RunPlan(5, 7, {})


def test_without_stale_hours_there_is_no_run():
    assert plan_stale([], 200) is None


def test_hours_between_stale_ones_are_passed_over():
    assert plan_stale([5, 9], 200) == RunPlan(5, 9, {})


def test_a_run_over_stale_hours_has_a_bound_and_takes_the_newest_first():
    assert plan_stale([30, 1, 20], 30) == RunPlan(1, 30, {})
    assert plan_stale([30, 1, 20], 29) == RunPlan(20, 30, {})
    assert plan_stale([30, 1, 20], 10) == RunPlan(30, 30, {})


@pytest.mark.slow
@steady
@given(st.sets(st.integers(0, 60)), st.integers(1, 30))
def test_run_after_run_all_stale_hours_are_done_each_within_its_bound(stale, max_hours):
    waiting = set(stale)
    while plan := plan_stale(waiting, max_hours):
        assert plan.last == max(waiting)
        assert plan.first in waiting
        assert plan.last - plan.first < max_hours
        assert plan.until == {}
        waiting -= set(range(plan.first, plan.last + 1))
        assert all(hour <= plan.last - max_hours for hour in waiting)
    assert not waiting
