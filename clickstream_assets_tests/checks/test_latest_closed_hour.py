"""When an hour counts as present, and which one the schedule asks for."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from clickstream_assets.books.hour_states import HourState
from clickstream_assets.checks.presence import latest_closed_hour, presence
from clickstream_assets.events.days import day_of_hour, key_of_day
from clickstream_assets.events.hours import HOUR_MS, key_of_hour
from clickstream_assets.orchestration.jobs import schedules
from clickstream_assets.partitions import RANGE_END, RANGE_START, hourly
from clickstream_assets.settings import Settings
from clickstream_assets_tests.conftest import NOW_MS

HOUR = NOW_MS // HOUR_MS
FIRST = HOUR - 9


@pytest.mark.parametrize(("minutes", "behind"), [(0, 2), (9.9, 2), (10, 1), (59, 1)])
def test_an_hour_counts_as_closed_ten_minutes_after_its_end(minutes, behind):
    assert latest_closed_hour(HOUR * 3600 + minutes * 60) == HOUR - behind


@pytest.mark.parametrize(
    ("asset", "state", "passes"),
    [
        ("raw_clicks", HourState(), False),
        ("es_index", HourState(), False),
        ("raw_clicks", HourState(touched=2), True),
        ("dead_letters", HourState(touched=2), True),
        ("enriched_clicks", HourState(touched=2, enriched=1), False),
        ("enriched_clicks", HourState(touched=2, enriched=2), True),
        ("es_index", HourState(touched=2, enriched=2, computed=2, indexed=1), False),
        ("es_index", HourState(touched=2, enriched=2, computed=2, indexed=2), True),
    ],
)
def test_an_hour_is_present_as_it_was_last_touched(asset, state, passes):
    assert presence(asset, HOUR - 1, state, closed=HOUR - 1).passed is passes
    assert presence(asset, HOUR, state, closed=HOUR - 1).passed, "nothing is asked of an hour that has not closed"


def test_an_hour_that_someone_has_just_materialized_is_left_to_the_sensors_run_that_follows():
    behind, never = HourState(touched=2, enriched=2, computed=1, indexed=1), HourState()
    finding = presence("es_index", HOUR - 1, behind, closed=HOUR - 1, is_followed=True)
    assert finding.passed
    assert finding.words.endswith("The sensor is about to bring it up to date")
    assert not presence("es_index", HOUR - 1, behind, closed=HOUR - 1).passed
    assert not presence("es_index", HOUR - 1, never, closed=HOUR - 1, is_followed=True).passed


def test_the_schedules_ask_for_hours_that_have_closed_and_for_none_before_the_first():
    def answer(hour: int) -> dg.RunRequest | None:
        at = datetime.fromtimestamp(hour * 3600, UTC) + timedelta(minutes=11)
        made = schedules(Settings(first_hour=key_of_hour(FIRST), audit_days=days))
        schedule = next(schedule for schedule in made if schedule.name == name)
        requests = schedule.evaluate_tick(dg.build_schedule_context(scheduled_execution_time=at)).run_requests
        return requests[0] if requests else None

    name, days = "hourly_look", 2
    tags = answer(HOUR).tags
    assert tags[RANGE_START] == tags[RANGE_END] == key_of_hour(HOUR - 1)
    assert answer(FIRST + 1) is not None
    assert answer(FIRST) is None

    name = "nightly_audit"
    tags = answer(HOUR).tags
    assert (tags[RANGE_START], tags[RANGE_END]) == (key_of_hour(max(FIRST, HOUR - 48)), key_of_hour(HOUR - 1))
    assert answer(FIRST + 3).tags[RANGE_START] == key_of_hour(FIRST)
    days = 0
    assert answer(HOUR) is None

    name, days = "nightly_audit_of_days", 2
    ended, first = day_of_hour(HOUR) - 1, day_of_hour(FIRST)
    tags = answer(HOUR + 24).tags
    assert (tags[RANGE_START], tags[RANGE_END]) == (key_of_day(max(first, ended)), key_of_day(ended + 1))
    assert answer(first * 24 + 23) is None
    assert answer(first * 24 + 24).tags[RANGE_START] == key_of_day(first)
    days = 0
    assert answer(HOUR + 24) is None


def test_the_latest_partition_is_the_open_hour():
    with dg.partition_loading_context(effective_dt=datetime.fromtimestamp(HOUR * 3600 + 1800, UTC)):
        assert hourly(key_of_hour(FIRST)).get_last_partition_key() == key_of_hour(HOUR)
