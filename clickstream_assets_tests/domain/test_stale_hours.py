"""Holds: a failed blocking check keeps later assets from an hour, until it passes or the hour is touched."""

import pytest

from clickstream_assets.domain.hours import hour_of_key
from clickstream_assets.domain.stale_hours import STEPS, Hold, HourState, HourStates
from clickstream_assets_tests.domain.test_ledger import FakeHBase

HOUR = hour_of_key("2026-11-23-05:00")


@pytest.fixture
def states():
    return HourStates(FakeHBase(), "ledger")


def test_a_failed_check_holds_its_hour_and_no_other(states):
    states.touch([HOUR, HOUR + 1])
    states.hold("raw_clicks", states.read([HOUR, HOUR + 1]), {HOUR: ["books_balance"]})
    held, free = states.read([HOUR, HOUR + 1]).values()
    assert held.holds == {"raw_clicks": Hold(("books_balance",), 1)}
    assert (held.stale, held.waiting) == (True, False)
    assert free.holds == {}
    assert free.waiting


def test_only_later_assets_are_held(states):
    states.touch([HOUR])
    states.hold("enriched_clicks", states.read([HOUR]), {HOUR: ["every_row_enriched"]})
    state = states.read([HOUR])[HOUR]
    assert [asset for asset in STEPS if state.held_before(asset)] == ["url_country_metrics", "es_index"]


def test_what_is_touched_after_the_check_looked_is_tried_again(states):
    states.touch([HOUR])
    before = states.read([HOUR])
    states.touch([HOUR])  # while the check looks
    states.hold("raw_clicks", before, {HOUR: ["books_balance"]})
    assert states.read([HOUR])[HOUR].waiting


def test_a_check_that_passes_releases_the_hour(states):
    states.touch([HOUR])
    states.hold("raw_clicks", states.read([HOUR]), {HOUR: ["books_balance"]})
    states.hold("raw_clicks", states.read([HOUR]), {})
    state = states.read([HOUR])[HOUR]
    assert state.holds == {}
    assert state.waiting


def test_one_assets_release_leaves_anothers_hold(states):
    states.touch([HOUR])
    states.hold("raw_clicks", states.read([HOUR]), {HOUR: ["books_balance"]})
    states.hold("enriched_clicks", states.read([HOUR]), {HOUR: ["every_row_enriched"]})
    states.hold("raw_clicks", states.read([HOUR]), {})
    assert set(states.read([HOUR])[HOUR].holds) == {"enriched_clicks"}


def test_clicks_are_remembered_beside_the_marks(states):
    states.touch([HOUR])
    states.remember_clicks({HOUR: 17, HOUR + 1: 0})
    assert [state.clicks for state in states.read([HOUR, HOUR + 1, HOUR + 2]).values()] == [17, 0, None]
    assert states.read([HOUR])[HOUR].touched == 1


def test_a_mark_is_that_of_its_asset_and_raw_clicks_is_the_counter():
    state = HourState(touched=4, enriched=3, computed=2, indexed=1)
    assert [state.mark_of(asset) for asset in STEPS] == [4, 3, 2, 1]


def test_an_asset_lacks_what_the_one_before_it_has():
    later = list(STEPS)[1:]
    assert [HourState(2, 2, 1, 1).lacks(asset) for asset in later] == [False, True, False]
    assert [HourState(2, 1, 1, 0).lacks(asset) for asset in later] == [True, False, True]
    assert not any(HourState().lacks(asset) for asset in later)
