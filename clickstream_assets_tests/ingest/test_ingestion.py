"""Offsets read, and read again: rows that are there stay, and what the ledger says of them balances."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream_assets.books.ledger_entries import COUNTS, LATE_AFTER_MS, READ, HourCounts
from clickstream_assets.books.offsets import OffsetRange
from clickstream_assets.events.hours import hour_of_key
from clickstream_assets.ingest import ingestion
from clickstream_assets.ingest.outcomes import SOURCE
from clickstream_assets_tests.fakes.servers import HOUR_MS, LEDGER, World

FIRST = hour_of_key("2026-11-20-00:00")
HOUR = FIRST + 20
NOW = HOUR * HOUR_MS + HOUR_MS // 2


def event(event_id, hours_ago=0, page=""):
    fields = {"event_id": event_id, "user_id": "u", "timestamp": NOW - hours_ago * HOUR_MS}
    return json.dumps(fields | {"url": "https://h.example/", "page": page}).encode()


@pytest.fixture(params=["looked up", "scanned"])
def world(request, monkeypatch):
    if request.param == "scanned":  # as where there is much to read
        monkeypatch.setattr(ingestion, "ROWS_PER_CALL", 0)
        monkeypatch.setattr(ingestion, "_SCANNED_FOR_ONE", 1_000)
    return World(FIRST)


def test_kept_rows_are_late_from_ten_minutes_after_their_hour_on(world):
    end = (HOUR + 1) * HOUR_MS
    for at, recorded in enumerate((NOW, end + LATE_AFTER_MS, end + LATE_AFTER_MS + 1, end + 9 * HOUR_MS)):
        world.topic.send(event(f"{at}"), recorded)
    world.topic.send(event("3"), end + 9 * HOUR_MS)  # a duplicate is neither kept nor late
    world.ingest()
    (entry,) = world.entries()
    assert entry.hours == {HOUR: HourCounts(kept=4, late=2), HOUR + 10: HourCounts(duplicates=1)}
    assert world.ledger.counts([HOUR]) == {HOUR: HourCounts(kept=4, late=2)}


def test_entries_and_parts_of_before_there_was_one_of_the_counts_read_as_none_of_it(world):
    world.topic.send(event("a", 3), NOW)
    world.ingest()
    absent = [f"entry:{name}{by}".encode() for name in COUNTS if name != "kept" for by in ("", "_by_hour")]
    for cells in world.hbase.tables[LEDGER].values():
        for cell in (*absent, b"entry:mended_offsets"):
            cells.pop(cell, None)
    (entry,) = world.entries()
    assert (entry.hours, entry.mended_offsets) == ({HOUR - 3: HourCounts(kept=1)}, {})
    assert world.ledger.counts([HOUR - 3]) == {HOUR - 3: HourCounts(kept=1)}


def test_hours_read_again_end_as_they_are_and_are_touched(world):
    for ago in range(3):
        world.topic.send(event(f"{ago}", ago), NOW)
    world.topic.send(b"{", NOW)
    world.topic.send(event("0"), NOW)
    world.ingest()
    rows, letters, before = world.rows(), world.letters(), world.touched()
    (entry,) = world.entries()
    report = world.read_hours(HOUR - 7, HOUR - 1)
    assert (report.read, report.new_rows, report.ranges) == (5, 0, {0: [(0, 5)]})
    assert (world.rows(), world.letters()) == (rows, letters)
    assert [(again.hours, again.offsets) for again in world.entries()] == [(entry.hours, entry.offsets)]
    raised = {hour for hour, count in world.touched().items() if count > before.get(hour, 0)}
    assert raised >= {HOUR - 7, HOUR - 1}, "an hour without an event too"
    world.assert_books_balance()


def test_a_row_whose_message_is_refused_now_stays_beside_its_letter(world, refuse):
    world.topic.send(event("a", page="odd"), NOW)
    world.topic.send(event("a", page="fine"), NOW)
    world.ingest()
    rows = world.rows()
    refuse(b"odd")
    world.read_hours(HOUR)
    assert world.rows() == rows
    assert world.letters() == {(0, 0): "invalid_url"}
    assert world.ledger.counts([HOUR]) == {HOUR: HourCounts(dead_lettered=1, duplicates=1)}


def test_compaction_since_leaves_the_books_as_they_were(world):
    for at in range(4):
        world.topic.send(event(f"{at}"), NOW)
    world.ingest()
    rows, (entry,) = world.rows(), world.entries()
    world.topic.logs[0][1] = None
    assert world.read_hours(HOUR).unavailable == 1
    assert (world.rows(), world.entries()) == (rows, [entry])


def test_what_no_entry_covers_is_from_the_entry_before_to_the_one_behind(world):
    for first in range(0, 15, 5):
        for at in range(5):
            world.topic.send(event(f"{first}-{at}"), NOW)
        world.ingest()
    first, second, third = (key for key in world.hbase.tables[LEDGER] if key.startswith(b"range|"))

    def unbooked(*spans):
        ranges = world.ingestion().unbooked([OffsetRange("id-1", 0, *span) for span in spans])
        return [(one.first, one.end) for one in ranges]

    assert unbooked((0, 15)) == []
    del world.hbase.tables[LEDGER][second]
    assert unbooked((6, 7)) == unbooked((0, 15)) == [(5, 10)]
    assert unbooked((0, 5), (10, 11)) == []
    del world.hbase.tables[LEDGER][first], world.hbase.tables[LEDGER][third]
    assert unbooked((14, 15)) == [(0, 15)]
    world.topic.begin[0] = 2
    assert unbooked((14, 15)) == [(2, 15)], "what retention took cannot be read"


def test_what_no_entry_covers_is_of_one_generation_of_the_log(world):
    for at in range(6):
        world.topic.send(event(f"{at}"), NOW)
    world.ingest()
    world.topic.cut(3)
    world.ingest()
    for at in range(2):
        world.topic.send(event(f"anew {at}"), NOW)
        world.ingest()
    old, new, _ = (key for key in world.hbase.tables[LEDGER] if key.startswith(b"range|"))
    del world.hbase.tables[LEDGER][old], world.hbase.tables[LEDGER][new]
    sources = [OffsetRange("id-1", 0, 1, 2), OffsetRange("id-1~001", 0, 3, 4)]
    assert world.ingestion().unbooked(sources) == [OffsetRange("id-1", 0, 0, 3), OffsetRange("id-1~001", 0, 3, 4)]


messages_sent = st.lists(
    st.tuples(st.sampled_from("aabbcd"), st.integers(0, 2), st.sampled_from(["", "", "broken"])),
    min_size=1,
    max_size=14,
)


def send(world, messages):
    for at, (event_id, ago, broken) in enumerate(messages):
        world.topic.send(b"{" if broken else event(event_id, ago, page=f"{at}"), NOW)


def keys_of(messages):
    """Offsets of each event: its id and hour."""
    offsets = {}
    for at, (event_id, ago, broken) in enumerate(messages):
        if not broken:
            offsets.setdefault((event_id, HOUR - ago), []).append(at)
    return offsets


def row_offsets(world):
    return {
        (cells[b"click_data:event_id"].decode(), int(cells[b"click_data:timestamp"]) // HOUR_MS): int(
            cells[SOURCE].rsplit(b"/", 1)[1]
        )
        for cells in world.rows().values()
    }


@pytest.mark.slow
@settings(deadline=None, max_examples=80, derandomize=True)
@given(messages_sent, st.lists(st.integers(0, 14), max_size=4), st.randoms(use_true_random=False))
def test_ranges_read_in_any_order_balance_and_reading_again_changes_nothing(messages, cuts, random):
    world, end = World(FIRST), len(messages)
    send(world, messages)
    edges = sorted({0, end, *(cut for cut in cuts if cut < end)})
    spans = list(itertools.pairwise(edges))
    for first, stop in random.sample(spans, len(spans)):
        world.topic.group[0] = first  # by hand
        world.ingestion().read_until({0: stop}, ())
    world.topic.group[0] = end
    world.assert_books_balance()
    rows, offsets = world.rows(), keys_of(messages)
    stored = row_offsets(world)
    assert stored.keys() == offsets.keys()
    assert all(offset in offsets[key] for key, offset in stored.items())
    booked = {entry.offsets: entry.hours for entry in world.entries()}
    letters = world.letters()
    world.read_hours(HOUR, HOUR - 1, HOUR - 2)
    world.assert_books_balance()
    assert (world.rows(), world.letters()) == (rows, letters)
    assert {entry.offsets: entry.hours for entry in world.entries()} == booked


@pytest.mark.slow
@settings(deadline=None, max_examples=80, derandomize=True)
@given(messages_sent, st.lists(st.integers(0, 14), max_size=4))
def test_ranges_read_in_order_end_with_the_lowest_offset_of_each_event(messages, cuts):
    world, end = World(FIRST), len(messages)
    send(world, messages)
    for stop in sorted({end, *(cut for cut in cuts if 0 < cut < end)}):
        world.ingestion().read_until({0: stop}, ())
    world.assert_books_balance()
    assert row_offsets(world) == {key: min(offsets) for key, offsets in keys_of(messages).items()}
    assert all(entry.kind == READ for entry in world.entries())


def test_a_run_killed_at_any_write_is_made_good_by_the_next(world):
    for messages in ([("a", 0, ""), ("b", 2, ""), ("a", 0, "")], [("b", 2, ""), ("c", 1, ""), ("d", 0, "broken")]):
        send(world, messages)
    whole = World(FIRST)
    whole.topic.logs = world.topic.logs
    whole.ingest()
    world.topic.commit({0: 0})
    kills = 0
    for kills in world.killed_at_each_write_of(world.ingest):  # noqa: B007
        world.ingest()
        world.assert_books_balance()
        assert (world.rows(), world.letters(), world.topic.group) == (whole.rows(), whole.letters(), {0: 6})
    assert kills > 8
