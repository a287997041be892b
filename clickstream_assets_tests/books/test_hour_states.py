"""Holds: a failed blocking check keeps later assets from an hour, until it passes or the hour is touched."""

import pytest

from clickstream_assets.books.hour_states import STEPS, Hold, HourState, HourStates
from clickstream_assets.events.hours import hour_of_key
from clickstream_assets_tests.fakes.hbase import FakeHBase

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


def test_cells_are_those_of_the_tables_that_are_in_use():
    hbase = FakeHBase()
    states = HourStates(hbase, "ledger")
    states.touch([HOUR])
    states.mark("enriched", {HOUR: 1})
    states.remember_clicks({HOUR: 17})
    states.hold("raw_clicks", states.read([HOUR]), {HOUR: ["offsets_complete", "books_balance"]})
    assert hbase.tables["ledger"] == {
        b"state|2026-11-23-05:00": {
            b"hour:touched": bytes(7) + b"\x01",
            b"hour:enriched": b"1",
            b"hour:clicks": b"17",
            b"hour:held_by_raw_clicks": b'{"checks":["books_balance","offsets_complete"],"touched":1}',
        }
    }
    hold = Hold(("books_balance", "offsets_complete"), 1)
    assert states.all() == {HOUR: HourState(touched=1, enriched=1, clicks=17, holds={"raw_clicks": hold})}


def test_a_doubted_hour_is_touched_and_each_later_asset_does_it_whole_until_it_has_come_that_far(states):
    states.touch([HOUR, HOUR + 1])
    states.doubt([HOUR, HOUR])
    doubted, other = states.read([HOUR, HOUR + 1]).values()
    assert (doubted.touched, doubted.doubted) == (2, 2)
    assert doubted.waiting
    later = list(STEPS)[1:]
    assert [doubted.is_whole_due(asset) for asset in later] == [True] * 3
    assert [other.is_whole_due(asset) for asset in later] == [False] * 3
    for done, mark in enumerate(("enriched", "computed", "indexed"), 1):
        states.mark(mark, {HOUR: 2})
        due = [states.read([HOUR])[HOUR].is_whole_due(asset) for asset in later]
        assert due == [False] * done + [True] * (3 - done)


def test_what_came_behind_a_doubt_is_done_as_usual(states):
    states.doubt([HOUR])
    for mark in ("enriched", "computed", "indexed"):
        states.mark(mark, {HOUR: 1})
    states.touch([HOUR])
    state = states.read([HOUR])[HOUR]
    assert state.waiting
    assert [state.is_whole_due(asset) for asset in list(STEPS)[1:]] == [False] * 3


def test_a_run_that_looked_before_the_doubt_does_not_settle_it(states):
    states.touch([HOUR])
    before = states.read([HOUR])[HOUR]
    states.doubt([HOUR])  # while the run goes on
    states.mark("enriched", {HOUR: before.touched})
    state = states.read([HOUR])[HOUR]
    assert state.lacks("enriched_clicks")
    assert state.is_whole_due("enriched_clicks")


def test_doubts_add_up_and_reach_no_other_hour(states):
    states.doubt([HOUR, HOUR + 2])
    states.doubt([HOUR])
    assert [state.doubted for state in states.read(range(HOUR, HOUR + 3)).values()] == [2, 0, 1]
    assert states.all().keys() == {HOUR, HOUR + 2}


def test_an_asset_whose_own_check_holds_an_hour_does_it_whole(states):
    states.touch([HOUR])
    for mark in ("enriched", "computed", "indexed"):
        states.mark(mark, {HOUR: 1})
    states.hold("url_country_metrics", states.read([HOUR]), {HOUR: ["clicks_add_up"]})
    state = states.read([HOUR])[HOUR]
    assert [asset for asset in STEPS if state.is_whole_due(asset)] == ["url_country_metrics"]


def test_what_only_an_hours_document_needs_is_read_of_single_hours_alone(states):
    states.touch([HOUR])
    states.remember_refusals({HOUR: {"too_old": 2}})
    states.remember_checks("dead_letters", states.read([HOUR]), {HOUR: {"letters_match_ledger": ""}})
    states.tell({HOUR: "open"}, "run-1")
    states.remember_clicks({HOUR: 3})
    read = states.read([HOUR])[HOUR]
    assert (read.refused_by_reason, read.told_by) == ({"too_old": 2}, "run-1")
    assert read.checked == {"dead_letters": {"letters_match_ledger": ""}}
    assert states.all() == {HOUR: HourState(touched=1, clicks=3, told="open")}


@pytest.mark.parametrize(
    "change",
    [
        lambda states: states.remember_users({HOUR: (4, 1)}),
        lambda states: states.remember_checks("es_index", states.read([HOUR]), {HOUR: {"documents_match": "1 of 2"}}),
        lambda states: states.tell_anew([HOUR]),
    ],
)
def test_what_changes_in_an_hour_has_its_document_written_again_and_the_run_stays_known(states, change):
    states.touch([HOUR, HOUR + 1])
    states.tell({HOUR: "final", HOUR + 1: "final"}, "run-1")
    change(states)
    changed, other = states.read([HOUR, HOUR + 1]).values()
    assert (changed.told, changed.told_by) == ("", "run-1")
    assert other.told == "final"
    states.tell({HOUR: "held: why"})
    assert states.read([HOUR])[HOUR].told_by == "run-1"


def test_checks_that_find_the_same_again_change_nothing(states):
    states.touch([HOUR])
    found = {HOUR: {"documents_match": "1 of 2", "held_back": ""}}
    states.remember_checks("es_index", states.read([HOUR]), found)
    states.tell({HOUR: "final"})
    states.remember_checks("es_index", states.read([HOUR]), found)
    assert states.read([HOUR])[HOUR].told == "final"


def test_dead_letters_that_have_changed_are_counted_by_reason_anew(states):
    states.remember_refusals({HOUR: {"too_old": 2}, HOUR + 1: {}})
    states.tell_anew([HOUR])
    assert [state.refused_by_reason for state in states.read([HOUR, HOUR + 1]).values()] == [None, {}]


@pytest.mark.parametrize(
    ("state", "closes"),
    [
        (HourState(), False),
        (HourState(1), False),
        (HourState(1, 1, 1, 1), True),
        (HourState(2, 1, 1, 1), True),
        (HourState(1, 1, 1, 1, closed=1), False),
        (HourState(1, 1, 1, 1, holds={"raw_clicks": Hold(("a",), 1)}), False),
    ],
)
def test_documents_that_were_written_while_an_hour_was_open_are_to_be_written_behind_its_end(state, closes):
    assert state.closes is closes
