"""Offsets read again: stricter code takes rows back, and a ledger that lost rows is written anew."""

import itertools
import json
from dataclasses import replace

import pytest

from clickstream_assets.domain import ingestion, settling
from clickstream_assets.domain.click_event import Refused, decode
from clickstream_assets.domain.hours import hour_of_key
from clickstream_assets.domain.ledger import COUNTED, LATE_AFTER_MS
from clickstream_assets.domain.table_schemas import CLICKS as CLICKS_TABLE
from clickstream_assets_tests.domain.fakes import HOUR_MS, LEDGER, World

FIRST = hour_of_key("2026-11-20-00:00")
HOUR = FIRST + 20
NOW = HOUR * HOUR_MS + HOUR_MS // 2
SOURCE = CLICKS_TABLE.columns["source"].key


def event(event_id, hours_ago=0, page=""):
    fields = {"event_id": event_id, "user_id": "u", "timestamp": NOW - hours_ago * HOUR_MS}
    return json.dumps(fields | {"url": f"https://h.example/{page}"}).encode()


@pytest.fixture(params=["looked up", "scanned"])
def world(request, monkeypatch):
    if request.param == "scanned":  # as where there is much to read
        monkeypatch.setattr(ingestion, "ROWS_PER_CALL", 0)
        monkeypatch.setattr(ingestion, "_SCANNED_FOR_ONE", 1_000)
    return World(FIRST)


@pytest.fixture
def refuse(monkeypatch):
    """Makes ingestion refuse messages that hold a word."""

    def refuse_those_with(word):
        def stricter(message, record_time_ms, first_hour_ms):
            if word in message:
                raise Refused("invalid_url", "url: stricter now")
            return decode(message, record_time_ms, first_hour_ms)

        monkeypatch.setattr(settling, "decode", stricter)

    return refuse_those_with


def test_kept_rows_are_late_from_ten_minutes_after_their_hour_on(world):
    end = (HOUR + 1) * HOUR_MS
    for at, recorded in enumerate((NOW, end + LATE_AFTER_MS, end + LATE_AFTER_MS + 1, end + 9 * HOUR_MS)):
        world.topic.send(event(f"{at}"), recorded)
    world.topic.send(event("3"), end + 9 * HOUR_MS)  # a duplicate is neither kept nor late
    world.ingest()
    (entry,) = world.entries()
    assert (entry.kept, entry.duplicates, entry.late, entry.late_by_hour) == (4, 1, 2, {HOUR: 2})
    assert [share.late for share in world.ledger.shares(HOUR)] == [2]


def test_entries_and_shares_of_before_there_was_one_of_the_counts_read_as_none_of_it(world):
    world.topic.send(event("a", 3), NOW)
    world.ingest()
    for cells in world.hbase.tables[LEDGER].values():
        for name in (*COUNTED, "mended", "mended_offsets", *(f"{name}_by_hour" for name in COUNTED)):
            # The number of an entry's duplicates has always been there.
            if name != "duplicates" or b"entry:end" not in cells:
                cells.pop(f"entry:{name}".encode(), None)
    (entry,) = world.entries()
    assert (entry.kept, entry.late, entry.mended, entry.late_by_hour) == (1, 0, 0, {})
    assert not any(entry.counted().values())
    (share,) = world.ledger.shares(HOUR - 3)
    assert (share.kept, share.mended, *(getattr(share, name) for name in COUNTED)) == (1, 0, 0, 0, 0, 0)


def test_a_row_whose_message_is_refused_now_goes_when_its_entry_is_read_again(world, refuse):
    world.topic.send(event("a", page="odd"), NOW)
    world.topic.send(event("a", page="fine"), NOW)  # a duplicate, until then
    world.topic.send(event("b", 2, page="odd"), NOW)
    world.topic.send(event("c", 2), NOW)
    world.ingest()
    before = world.touched()
    refuse(b"odd")
    for _ in world.killed_at_each_write_of(lambda: world.read_hours(HOUR)):
        world.read_hours(HOUR)
        world.assert_books_balance()
    world.assert_books_balance()
    assert sorted(cells[SOURCE] for cells in world.rows().values()) == [b"id-1/0/1", b"id-1/0/3"]
    assert world.letters() == {(0, 0): "invalid_url", (0, 2): "invalid_url"}
    assert {hour for hour, count in world.touched().items() if count > before[hour]} == {HOUR, HOUR - 2}


def test_a_row_that_had_displaced_another_gives_way_to_it_again(world, refuse):
    world.topic.send(event("a", page="odd"), NOW)
    world.topic.send(event("a", page="fine"), NOW)
    world.topic.commit({0: 1})  # read from the second on, then the first
    world.ingest()
    world.topic.commit({0: 0})
    world.ingest()
    assert [cells[SOURCE] for cells in world.rows().values()] == [b"id-1/0/0"]
    world.assert_books_balance()
    refuse(b"odd")
    world.read_hours(HOUR)
    assert [cells[SOURCE] for cells in world.rows().values()] == [b"id-1/0/1"]
    world.assert_books_balance()


def test_a_raised_first_partition_takes_earlier_rows_back_and_a_replay_brings_them_again(world):
    world.topic.send(event("a", 10), NOW)
    world.topic.send(event("b"), NOW)
    world.ingest()
    rows = world.rows()
    world.first_hour = HOUR - 5
    assert world.read_hours(HOUR).refused_rows == 1
    world.assert_books_balance()
    assert world.letters() == {(0, 0): "before_first_partition"}
    world.first_hour = FIRST
    assert world.replay().rows == 1
    world.assert_books_balance()
    assert world.rows() == rows


def ledger_rows(world, prefix=b"range|"):
    return [key for key in world.hbase.tables[LEDGER] if key.startswith(prefix)]


def three_entries(world):
    """Entries of five offsets each: an event of each of three hours, one of them late, a letter and a duplicate."""
    for first in (0, 5, 10):
        for ago in range(3):
            world.topic.send(event(f"{first}-{ago}", ago), NOW)
        world.topic.send(b"{", NOW)
        world.topic.send(event(f"{first}-0"), NOW)
        world.ingest()
    assert [(entry.first, entry.end) for entry in world.entries()] == [(0, 5), (5, 10), (10, 15)]
    world.assert_books_balance()


def books(world):
    return {
        key: {c: v for c, v in cells.items() if c not in (b"entry:run_id", b"entry:written_at")}
        for key, cells in world.hbase.tables[LEDGER].items()
        if not key.startswith(b"state|")
    }


def test_a_share_tells_of_an_entry_that_is_gone(world):
    three_entries(world)
    first, second, third = world.entries()
    del world.hbase.tables[LEDGER][ledger_rows(world)[1]]
    assert [world.ledger.at(share) for share in world.ledger.shares(HOUR)] == [first, None, third]
    assert world.ledger.lost("id-1", {0: 15}, "run-3") == {0: [replace(second, run_id="run-3")]}
    assert world.ledger.lost("id-1", {0: 5}, "run-3") == world.ledger.lost("id-9", {0: 15}, "run-3") == {}


def test_holes_are_the_offsets_that_no_entry_covers(world):
    three_entries(world)
    first, second, _ = ledger_rows(world)
    assert world.ledger.holes("id-1", 0, 0, 19) == [(15, 19)]
    del world.hbase.tables[LEDGER][second]
    assert world.ledger.holes("id-1", 0, 2, 13) == [(5, 10)]
    assert world.ledger.holes("id-1", 0, 6, 8) == [(6, 8)]
    assert world.ledger.holes("id-1", 0, 10, 15) == world.ledger.holes("id-1", 0, 6, 6) == []
    del world.hbase.tables[LEDGER][first]
    assert world.ledger.holes("id-1", 0, 0, 19) == [(0, 10), (15, 19)]
    assert world.ledger.holes("id-1", 7, 0, 3) == world.ledger.holes("id-9", 0, 0, 3) == [(0, 3)]


@pytest.mark.parametrize("gone", [chosen for n in (1, 2, 3) for chosen in itertools.combinations(range(3), n)])
@pytest.mark.parametrize("hour", [HOUR, HOUR - 1, HOUR - 2])
def test_any_hour_of_a_lost_entry_heals_the_ledger_whole(world, gone, hour):
    three_entries(world)
    before, rows = books(world), world.rows()
    for key in [ledger_rows(world)[at] for at in gone]:
        del world.hbase.tables[LEDGER][key]
    kills = 0
    for kills in world.killed_at_each_write_of(lambda: world.read_hours(hour)):  # noqa: B007
        world.read_hours(hour)
        world.assert_books_balance()
    assert kills > 0
    world.assert_books_balance()
    assert (world.rows(), books(world)) == (rows, before)
    assert world.topic.group == {0: 15}


def test_no_share_of_a_lost_entry_stays_in_an_hour_that_stricter_code_emptied(world, refuse):
    world.topic.send(event("a", 5, page="odd"), NOW)
    world.topic.send(event("b"), NOW)
    world.ingest()
    del world.hbase.tables[LEDGER][ledger_rows(world)[0]]
    refuse(b"odd")
    world.read_hours(HOUR)
    assert world.ledger.shares(HOUR - 5) == []


def test_a_lost_entry_that_kafka_no_longer_holds_is_written_as_its_shares_tell(world):
    three_entries(world)
    before, rows = books(world), world.rows()
    for key in ledger_rows(world)[:2]:
        del world.hbase.tables[LEDGER][key]
    world.topic.begin[0] = 7
    assert world.read_hours(HOUR - 2).unavailable == 10
    assert (world.rows(), books(world)) == (rows, before)
    world.assert_books_balance()


def test_a_lost_entry_that_another_has_taken_the_place_of_leaves_shares_that_go_with_their_hours(world):
    three_entries(world)
    del world.hbase.tables[LEDGER][ledger_rows(world)[1]]
    (entry,) = world.ledger.lost("id-1", {0: 15}, "run")[0]
    world.ledger.write([replace(entry, kept_by_hour={HOUR: 1}, duplicates=entry.duplicates + 2)])
    assert len(world.ledger.shares(HOUR - 1)) == 3
    world.read_hours(HOUR - 1)
    world.read_hours(HOUR - 2)
    world.assert_books_balance()
