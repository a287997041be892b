"""Which days wait to be put together."""

import pytest

from clickstream_assets.books.day_states import DayState, waiting_days
from clickstream_assets.books.hour_states import Hold, HourState
from clickstream_assets.events.days import end_of_day_ms

DAY = 20_000
FIRST = DAY * 24
IN_THE_DAY = end_of_day_ms(DAY) - 3_600_000
BEHIND_IT = end_of_day_ms(DAY) + 60_000
PAUSE_MS = 300_000
AT_REST = HourState(touched=3, enriched=3, computed=3, indexed=3)


def waiting(hour, day=None, now_ms=IN_THE_DAY):
    return waiting_days({FIRST: hour}, {DAY: day} if day else {}, now_ms, PAUSE_MS)


def rolled_up(at_ms, mark=3, indexed_ms=None, took_ms=0, dimensions_ms=None):
    indexed, dimensions = (at_ms if of is None else of for of in (indexed_ms, dimensions_ms))
    return DayState(at_ms, at_ms, indexed, took_ms, {FIRST: mark}, dimensions_ms=dimensions)


def test_a_day_of_hours_that_are_computed_waits_and_once_it_is_put_together_does_not():
    assert waiting(AT_REST) == [DAY]
    assert waiting(AT_REST, rolled_up(IN_THE_DAY - 1)) == []


def test_a_day_without_a_computed_hour_has_nothing_to_wait_for():
    assert waiting(HourState(touched=1)) == []


@pytest.mark.parametrize("lagging", [{"mark": 2}, {"indexed_ms": 0}, {"dimensions_ms": 0}])
def test_it_waits_when_an_hour_has_moved_on_or_its_documents_lag_behind(lagging):
    assert waiting(AT_REST, rolled_up(IN_THE_DAY - 1, **lagging)) == [DAY]


def test_a_day_that_is_written_to_has_a_turn_every_few_minutes():
    written_to = HourState(touched=5, enriched=4, computed=4, indexed=4)
    assert waiting(written_to, rolled_up(IN_THE_DAY - PAUSE_MS + 1)) == []
    assert waiting(written_to, rolled_up(IN_THE_DAY - PAUSE_MS)) == [DAY]


def test_days_take_a_tenth_of_the_time_at_most():
    assert waiting(AT_REST, rolled_up(IN_THE_DAY - 19_999, mark=2, took_ms=2_000)) == []
    assert waiting(AT_REST, rolled_up(IN_THE_DAY - 20_000, mark=2, took_ms=2_000)) == [DAY]
    without_a_pause = waiting_days({FIRST: AT_REST}, {DAY: rolled_up(IN_THE_DAY - 1, 2, took_ms=2_000)}, IN_THE_DAY, 0)
    assert without_a_pause == [DAY]


def test_it_is_put_together_once_more_when_it_has_ended():
    assert waiting(AT_REST, rolled_up(IN_THE_DAY), BEHIND_IT) == [DAY]
    assert waiting(AT_REST, rolled_up(BEHIND_IT - 1), BEHIND_IT) == []


def test_a_failed_check_of_one_of_its_hours_holds_it():
    hold = {"url_country_metrics": Hold(("clicks_add_up",), 3)}
    assert waiting(HourState(touched=4, enriched=4, computed=4, indexed=3, holds=hold)) == []
    of_documents = {"es_index": Hold(("documents_match",), 3)}
    assert waiting(HourState(touched=3, enriched=3, computed=3, indexed=3, holds=of_documents)) == [DAY]


def test_days_are_told_in_order():
    hours = {(DAY + at) * 24 + 5: AT_REST for at in (3, 0, 1)}
    assert waiting_days(hours, {}, IN_THE_DAY, PAUSE_MS) == [DAY, DAY + 1, DAY + 3]
