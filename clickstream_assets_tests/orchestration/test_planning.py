"""What ``kafka_offsets`` plans: at the first look, and around hours that have not begun."""

import pytest

from clickstream_assets.books.books import Books, TableNames
from clickstream_assets.books.resumption import Resumption
from clickstream_assets.events.hours import HOUR_MS
from clickstream_assets.orchestration import planning
from clickstream_assets.orchestration.planning import Look, Memory, first_memory
from clickstream_assets.orchestration.run_plan import RunPlan
from clickstream_assets.orchestration.turns import Turn
from clickstream_assets.settings import Settings
from clickstream_assets_tests.fakes.hbase import FakeHBase

HOUR = 500_000
NOW = HOUR * 3600 + 1800.0
FIRST_HOUR = HOUR - 24
LIMITS = Settings(first_hour="2027-01-14-08:00", small_run_seconds=30, max_hours_per_run=200)


class Topic:
    """Record times of one partition, by offset."""

    def __init__(self, *hours: int) -> None:
        self.times = [hour * HOUR_MS for hour in hours]

    def offsets_at(self, time_ms: int, ends: dict[int, int], begins: dict[int, int]) -> dict[int, int]:
        late = (at for at in range(begins[0], ends[0]) if self.times[at] >= time_ms) if ends else ()
        return {p: next(iter(late), end) for p, end in ends.items()}

    def record_times(self, offsets: dict[int, int]) -> dict[int, int]:
        return {p: self.times[at] for p, at in offsets.items()}


@pytest.fixture
def books():
    return Books(FakeHBase(), TableNames.of())


@pytest.fixture
def states(books):
    return books.hours


@pytest.fixture
def plan(books):
    """What is planned, of a log that was read up to an offset."""

    def planned(topic, memory, *, read=0, now=NOW, busy=range(0), limits=LIMITS):
        ends = {0: len(topic.times)}
        log = Resumption("id", {0: read}, {0: 0}, {0: read}, frozenset(), [], [])
        look = Look(topic, limits, memory, now, Turn(busy=busy))
        return planning.plan(look, books, books.hours.all(), log, ends, few=False)[0]

    return planned


def at_work() -> Memory:
    return Memory(closed_up_to=HOUR - 1, stale_turn=NOW, began=NOW - 3600)


def test_the_first_look_leaves_all_closed_hours_of_two_days_to_do_and_of_more_the_latest():
    assert LIMITS.first_hour_ms // HOUR_MS == FIRST_HOUR
    assert first_memory(FIRST_HOUR, HOUR, NOW).closed_up_to == HOUR - 25
    assert first_memory(FIRST_HOUR, HOUR + 24, NOW).closed_up_to == HOUR - 25
    assert first_memory(FIRST_HOUR, HOUR + 25, NOW).closed_up_to == HOUR + 23
    assert first_memory(FIRST_HOUR, FIRST_HOUR, NOW).closed_up_to == HOUR - 25, "there is no hour before the first"


def test_a_first_day_without_events_is_one_run_once_producers_had_the_time_to_send(plan, states):
    memory, topic = first_memory(FIRST_HOUR, HOUR, NOW), Topic(HOUR, HOUR)
    assert plan(topic, memory) == RunPlan(HOUR, HOUR, {0: 2}, more=999_998)
    states.touch([HOUR, HOUR - 1])  # what was read; so early in the hour that it concerns the one before
    for step in ("enriched", "indexed", "closed"):
        states.mark(step, {HOUR: 1, HOUR - 1: 1})
    assert plan(topic, memory, read=2, now=NOW + 29) is None
    assert plan(topic, memory, read=2, now=NOW + 31) == RunPlan(HOUR - 24, HOUR - 2, {})
    for step in ("indexed", "closed"):
        states.mark(step, dict.fromkeys(range(HOUR - 24, HOUR - 1), 1))
    assert plan(topic, memory, read=2, now=NOW + 40) is None


def test_a_demo_that_never_pauses_has_its_first_day_filled_all_the_same(plan, states):
    memory, topic = first_memory(FIRST_HOUR, HOUR, NOW), Topic(HOUR, HOUR)
    assert plan(topic, memory).first == HOUR
    assert plan(topic, memory, read=1, now=NOW + 29) == RunPlan(HOUR, HOUR, {0: 2}, more=999_999)
    assert plan(topic, memory, read=1, now=NOW + 31) == RunPlan(HOUR - 24, HOUR - 1, {})
    assert plan(topic, memory, read=1, now=NOW + 32).first == HOUR, "one turn, and offsets again"


def test_hours_are_not_closed_as_empty_while_a_run_is_on_its_way_over_them(plan, states):
    memory = at_work()
    assert plan(Topic(), memory, now=NOW + 3600, busy=range(HOUR - 1, HOUR + 1)) is None
    assert states.all() == {}
    assert plan(Topic(), memory, now=NOW + 3601) == RunPlan(HOUR, HOUR, {})


def test_records_ahead_are_read_by_a_run_over_the_open_hour(plan, states):
    assert plan(Topic(HOUR + 1), at_work()) == RunPlan(HOUR, HOUR, {0: 1}, more=999_999)
    assert plan(Topic(HOUR, HOUR + 1), at_work()).last == HOUR


def test_an_hour_that_rows_have_touched_before_it_begins_waits_for_its_partition(plan, states):
    memory = at_work()
    states.touch([HOUR + 1])
    assert plan(Topic(HOUR + 1), memory, read=1) is None
    assert plan(Topic(HOUR + 1), memory, read=1, now=NOW + 1800).last == HOUR + 1


def test_hours_of_failed_runs_have_another_turn_though_nothing_is_due_for_them(plan, states):
    memory = at_work()
    memory.again = [HOUR - 5, HOUR - 4]
    assert plan(Topic(), memory) == RunPlan(HOUR - 5, HOUR - 4, {})
    assert plan(Topic(), memory, busy=range(HOUR - 5, HOUR)) is None


def test_hours_that_a_hand_touched_are_a_run_of_their_own_the_newest_first(plan, states):
    states.touch([HOUR - 20, HOUR - 3, HOUR - 2])
    few = LIMITS.model_copy(update={"max_hours_per_run": 5})
    assert plan(Topic(), at_work(), limits=few) == RunPlan(HOUR - 3, HOUR - 2, {})
    for step in ("indexed", "closed"):
        states.mark(step, {HOUR - 3: 1, HOUR - 2: 1})
    assert plan(Topic(), at_work(), limits=few) == RunPlan(HOUR - 20, HOUR - 20, {})
    assert plan(Topic(), at_work()) == RunPlan(HOUR - 20, HOUR - 20, {})


def test_an_hour_that_has_ended_is_done_once_more_so_that_its_documents_say_so_unless_a_check_holds_it(plan, states):
    memory, topic = at_work(), Topic()
    states.touch([HOUR])
    states.mark("indexed", {HOUR: 1})
    assert plan(topic, memory) is None, "it is open"
    later = NOW + 3600
    assert plan(topic, memory, now=later) == RunPlan(HOUR, HOUR, {})
    assert plan(topic, memory, now=later, busy=range(HOUR, HOUR + 1)) is None
    states.hold("raw_clicks", states.read([HOUR]), {HOUR: ["books_balance"]})
    assert plan(topic, memory, now=later) is None
    states.hold("raw_clicks", states.read([HOUR]), {})
    states.mark("closed", {HOUR: 1})
    assert plan(topic, memory, now=later) is None


def test_hours_before_the_first_partition_have_no_run_though_they_were_touched(plan, states):
    states.touch([FIRST_HOUR - 1])
    assert plan(Topic(), at_work()) is None
    states.touch([FIRST_HOUR])
    assert plan(Topic(), at_work()) == RunPlan(FIRST_HOUR, FIRST_HOUR, {})
