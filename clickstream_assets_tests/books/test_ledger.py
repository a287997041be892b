"""The second book, on a stand-in for HBase: what is written is read back, by range and by hour."""

from dataclasses import replace

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream_assets.books.hour_states import COMPUTED, INDEXED, HourState, HourStates
from clickstream_assets.books.ledger import Ledger
from clickstream_assets.books.ledger_entries import (
    COUNTS,
    GAP,
    LOST,
    READ,
    Block,
    Cells,
    Entry,
    HourCounts,
    HourPart,
    sum_of,
)
from clickstream_assets.books.offsets import OffsetRange
from clickstream_assets.events.hours import hour_of_key
from clickstream_assets_tests.fakes.hbase import FakeHBase

TABLE = "ledger"
HOUR = hour_of_key("2026-11-23-05:00")


@pytest.fixture
def hbase():
    return FakeHBase()


@pytest.fixture
def ledger(hbase):
    return Ledger(hbase, TABLE)


def entry(first, end, kept=None, refused=None, duplicates=None, *, partition=0, topic_id="id-a", run_id="run-1"):
    hours = {}
    for name, counts in (("kept", kept), ("dead_lettered", refused), ("duplicates", duplicates)):
        for hour, count in (counts or {}).items():
            setattr(hours.setdefault(hour, HourCounts()), name, count)
    read = sum(sum((counts or {}).values()) for counts in (kept, refused, duplicates))
    return Entry(topic_id, partition, first, end, READ, read, hours, run_id)


def test_an_entry_balances_when_every_message_is_accounted_for():
    booked = entry(0, 9, {HOUR: 4, HOUR - 1: 1}, {HOUR: 2}, {HOUR + 1: 2})
    assert (booked.read, booked.balances) == (9, True)
    assert booked.counts == HourCounts(kept=5, dead_lettered=2, duplicates=2)
    assert booked.hours.keys() == {HOUR, HOUR - 1, HOUR + 1}
    assert booked.offsets == OffsetRange("id-a", 0, 0, 9)
    assert not Entry("id-a", 0, 0, 9, READ, read=9, hours={HOUR: HourCounts(duplicates=8)}).balances


def _full():
    """Two hours that have some of everything."""
    return {HOUR + at: HourCounts(*range(1 + at, 1 + at + len(COUNTS))) for at in range(2)}


def test_entries_come_back_as_written(ledger):
    entries = [
        entry(0, 9, {HOUR: 4, HOUR - 1: 1}, {HOUR + 2: 2}, {HOUR: 2}),
        replace(entry(9, 12, {HOUR: 1}, {HOUR: 2}), hours=_full(), mended_offsets={HOUR: [9, 11]}),
        Entry("id-a", 0, 12, 15, GAP, run_id="run-1"),
        Entry("id-a", 1, 0, 1 << 40, LOST, run_id="run-1"),
        entry(0, 1, {HOUR: 1}, topic_id="id-b"),
    ]
    ledger.write(entries)
    assert list(ledger.entries()) == entries


def test_the_end_is_that_of_the_last_entry_of_the_partition(ledger):
    ledger.write([entry(0, 9), entry(9, 12), entry(0, 99, partition=1), entry(0, 50, topic_id="id-b")])
    assert [ledger.end("id-a", p) for p in range(3)] == [12, 99, None]
    assert (ledger.end("id-b", 0), ledger.end("id", 0)) == (50, None)


def test_overlapping_entries_are_those_that_share_an_offset(ledger):
    ledger.write([entry(0, 5), entry(5, 9), entry(20, 30), entry(0, 99, partition=1), entry(0, 9, topic_id="id-b")])

    def spans_of(first, end):
        return [(booked.first, booked.end) for booked in ledger.overlapping(OffsetRange("id-a", 0, first, end))]

    assert spans_of(0, 100) == [(0, 5), (5, 9), (20, 30)]
    assert spans_of(4, 5) == [(0, 5)]
    assert spans_of(4, 6) == [(0, 5), (5, 9)]
    assert spans_of(9, 20) == []
    assert spans_of(29, 31) == [(20, 30)]
    assert spans_of(30, 40) == []
    assert spans_of(4, 4) == []
    assert ledger.overlapping(OffsetRange("id-a", 2, 0, 100)) == []


spans = st.sets(st.integers(0, 120), max_size=12).map(sorted)


@pytest.mark.slow
@settings(deadline=None, max_examples=100, derandomize=True)
@given(spans, st.integers(0, 119), st.integers(1, 40))
def test_overlapping_finds_exactly_the_entries_that_share_an_offset(edges, first, length):
    ledger = Ledger(FakeHBase(), TABLE)
    booked = [entry(a, b) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    ledger.write(booked)
    expected = [entry for entry in booked if set(range(entry.first, entry.end)) & set(range(first, first + length))]
    assert ledger.overlapping(OffsetRange("id-a", 0, first, first + length)) == expected


def test_an_hours_parts_are_what_each_entry_holds_of_it(ledger):
    one = entry(0, 9, {HOUR: 4, HOUR + 1: 1}, {HOUR: 2})
    two = entry(9, 12, {HOUR + 1: 3})
    other = entry(0, 2, {}, {HOUR: 2}, partition=11, topic_id="id-b")
    ledger.write([one, two, other])
    parts = ledger.parts([HOUR, HOUR + 1, HOUR - 1, HOUR + 2])
    assert {hour: [(part, part.counts) for part in of_hour] for hour, of_hour in parts.items()} == {
        HOUR: [
            (HourPart("id-a", 0, 0, HourCounts()), HourCounts(kept=4, dead_lettered=2)),
            (HourPart("id-b", 11, 0, HourCounts()), HourCounts(dead_lettered=2)),
        ],
        HOUR + 1: [
            (HourPart("id-a", 0, 0, HourCounts()), HourCounts(kept=1)),
            (HourPart("id-a", 0, 9, HourCounts()), HourCounts(kept=3)),
        ],
        HOUR - 1: [],
        HOUR + 2: [],
    }
    assert ledger.entries_of(parts[HOUR]) == dict(zip(parts[HOUR], [one, other], strict=True))
    assert ledger.entries_of(parts[HOUR + 1]) == dict(zip(parts[HOUR + 1], [one, two], strict=True))
    assert ledger.counts([HOUR, HOUR + 2]) == {HOUR: HourCounts(kept=4, dead_lettered=4), HOUR + 2: HourCounts()}
    assert (ledger.rows([HOUR]), ledger.rows([HOUR, HOUR + 1])) == (4, 8)


def test_a_part_tells_of_an_entry_that_is_gone(ledger, hbase):
    one, two = entry(0, 9, {HOUR: 4}), entry(9, 12, {HOUR: 3})
    ledger.write([one, two])
    del hbase.tables[TABLE][next(key for key in hbase.tables[TABLE] if key.startswith(b"range|") and b"09" in key)]
    parts = ledger.parts([HOUR])[HOUR]
    assert list(ledger.entries_of(parts).values()) == [one, None]


def test_forgotten_parts_leave_their_entries_and_other_hours(ledger):
    one = entry(0, 9, {HOUR: 4, HOUR + 1: 1})
    ledger.write([one])
    ledger.forget({HOUR: ledger.parts([HOUR])[HOUR]})
    assert {hour: len(parts) for hour, parts in ledger.parts([HOUR, HOUR + 1]).items()} == {HOUR: 0, HOUR + 1: 1}
    assert list(ledger.entries()) == [one]


def cells(digest, rows=4):
    return Cells(digest, cells=1, bytes=200, raw_bytes=900, rows=rows)


def with_events(booked, **digests):
    """An entry whose events lie by column, by how many hours after :data:`HOUR` they happened."""
    places = {
        ("id-a", booked.partition, booked.first, HOUR + int(at[1:])): cells(digest) for at, digest in digests.items()
    }
    return booked.with_events(places)


def part_of(ledger, hour=HOUR):
    (part,) = ledger.parts([hour])[hour]
    return part


def block_of(part, enriched_by="GeoIP 7", digest="b"):
    return Block(
        part.version, enriched_by, clicks=3, first_ms=HOUR * 3_600_000, cells=cells(digest), audience=cells("a")
    )


def test_parts_know_where_their_events_lie_and_of_which_writing_they_are(ledger):
    ledger.write([with_events(entry(0, 9, {HOUR: 4, HOUR + 1: 5}), h0="e0", h1="e1")])
    assert [(part.version, part.events, part.block) for part in (part_of(ledger), part_of(ledger, HOUR + 1))] == [
        ("e0", cells("e0"), None),
        ("e1", cells("e1"), None),
    ]
    ledger.write([entry(9, 12, {HOUR + 2: 3}), entry(12, 15, None, {HOUR + 3: 3})])
    without_events, without_rows = part_of(ledger, HOUR + 2), part_of(ledger, HOUR + 3)
    assert (len(without_events.version), without_events.events) == (32, None)
    assert (without_rows.version, without_rows.events) == ("", None)


def test_an_entry_has_the_events_of_its_own_places_and_hours():
    places = {
        (log_id, partition, first, hour): cells(f"{log_id}{partition}{first}{hour - HOUR}")
        for log_id in ("id-a", "id-b")
        for partition in (0, 1)
        for first in (0, 9)
        for hour in (HOUR, HOUR + 7)
    }
    booked = entry(9, 12, {HOUR: 3, HOUR + 1: 1}, partition=1).with_events(places)
    assert booked.events == {HOUR: cells("id-a190")}
    assert [part.events for _, part in booked.parts()] == [cells("id-a190"), None]


def test_a_block_counts_for_the_version_that_it_was_made_of(ledger):
    booked = with_events(entry(0, 9, {HOUR: 4}), h0="e0")
    ledger.write([booked])
    part = part_of(ledger)
    assert not part.is_enriched_by("GeoIP 7")
    ledger.name_blocks({HOUR: [(part, block_of(part))]})
    assert part_of(ledger).block == block_of(part)
    assert part_of(ledger).is_enriched_by("GeoIP 7")
    assert not part_of(ledger).is_enriched_by("GeoIP 8")
    ledger.name_blocks({HOUR: [(part, replace(block_of(part), audience=None))]})
    assert not part_of(ledger).is_enriched_by("GeoIP 7"), "made before it was kept who clicks are of"

    # A run reads the range again while another enriches what it held before.
    ledger.write([with_events(entry(0, 9, {HOUR: 5}), h0="others")], [booked])
    ledger.name_blocks({HOUR: [(part, block_of(part))]})
    assert part_of(ledger).block is None
    assert not part_of(ledger).is_enriched_by("GeoIP 7")


def test_a_block_that_was_named_before_bots_were_counted_is_read_without_them(ledger):
    ledger.write([with_events(entry(0, 9, {HOUR: 4}), h0="e0")])
    part = part_of(ledger)
    ledger.name_blocks({HOUR: [(part, replace(block_of(part), bots=3))]})
    assert part_of(ledger).block.bots == 3
    (cells_of_part,) = (cells for key, cells in ledger._hbase.tables["ledger"].items() if key.startswith(b"hour|"))
    cells_of_part[b"entry:block"] = orjson.dumps(orjson.loads(cells_of_part[b"entry:block"])[:-2])
    assert part_of(ledger).block == replace(block_of(part), audience=None)
    assert part_of(ledger).block.bots is None


def test_a_block_is_named_of_its_own_part_and_hour_alone(ledger):
    ledger.write([entry(0, 9, {HOUR: 4, HOUR + 1: 5}), entry(9, 12, {HOUR: 3})])
    first, second = ledger.parts([HOUR])[HOUR]
    ledger.name_blocks({HOUR: [(second, block_of(second))]})
    assert [part.block for part in ledger.parts([HOUR])[HOUR]] == [None, block_of(second)]
    assert part_of(ledger, HOUR + 1).block is None
    assert [part.version for part in ledger.parts([HOUR])[HOUR]] == [first.version, second.version]


@pytest.mark.parametrize("replaced", [False, True])
@pytest.mark.parametrize("events", ["others", "the same", None])
def test_an_entry_that_is_written_again_forgets_the_blocks_of_its_parts(ledger, events, replaced):
    booked = with_events(entry(0, 9, {HOUR: 4}), h0="the same")
    ledger.write([booked])
    part = part_of(ledger)
    ledger.name_blocks({HOUR: [(part, block_of(part))]})
    again = with_events(entry(0, 9, {HOUR: 4}), **({"h0": events} if events else {}))
    ledger.write([again], [booked] if replaced else [])
    assert part_of(ledger).block is None
    assert part_of(ledger).events == (cells(events) if events else None)
    assert (part_of(ledger).version == part.version) == (events == "the same")


def test_a_part_without_rows_needs_no_block(ledger):
    ledger.write([entry(0, 9, None, {HOUR: 4})])
    assert part_of(ledger).is_enriched_by("whatever")


def test_where_events_lie_makes_no_other_entry_or_part(ledger):
    booked = entry(0, 9, {HOUR: 4})
    ledger.write([with_events(booked, h0="e0")])
    assert list(ledger.entries()) == [booked]
    assert part_of(ledger) == HourPart("id-a", 0, 0, HourCounts())


def test_what_is_not_followed_is_what_a_gap_in_the_books_begins_behind(ledger):
    one, two, last = entry(0, 5), entry(9, 12), entry(12, 20)
    ledger.write([one, two, last, entry(0, 3, partition=1)])
    assert ledger.not_followed(ledger.entries()) == [one]


def test_an_entry_written_again_takes_the_place_of_its_own(ledger):
    old = entry(0, 9, {HOUR: 4, HOUR + 1: 5})
    new = entry(0, 9, {HOUR: 4, HOUR + 2: 1}, None, {HOUR: 4}, run_id="run-2")
    ledger.write([old])
    ledger.write([new], [old])
    assert list(ledger.entries()) == [new]
    counts = {HOUR: HourCounts(kept=4, duplicates=4), HOUR + 1: HourCounts(), HOUR + 2: HourCounts(kept=1)}
    assert ledger.counts(counts) == counts
    assert ledger.parts([HOUR + 1]) == {HOUR + 1: []}


def test_an_entry_can_be_replaced_by_several(ledger, hbase):
    old, kept = entry(0, 9, {HOUR: 9}), entry(9, 10, {HOUR: 1})
    ledger.write([old, kept])
    new = [entry(0, 3, {HOUR: 3}), Entry("id-a", 0, 3, 5, GAP), entry(5, 9, {HOUR + 1: 4})]
    ledger.write(new, [old])
    assert ledger.overlapping(OffsetRange("id-a", 0, 0, 100)) == [*new, kept]
    parts = ledger.parts([HOUR, HOUR + 1])
    assert [(part.first, part.counts.kept) for part in parts[HOUR]] == [(0, 3), (9, 1)]
    assert [(part.first, part.counts.kept) for part in parts[HOUR + 1]] == [(5, 4)]
    assert len(hbase.tables[TABLE]) == 4 + 3


def test_replacing_leaves_no_row_behind(ledger, hbase):
    old = [entry(0, 4, {HOUR: 4}), entry(4, 9, {HOUR + 1: 5})]
    ledger.write(old)
    ledger.write([Entry("id-a", 0, 0, 9, GAP)], old)
    assert len(hbase.tables[TABLE]) == 1


counts = st.dictionaries(st.integers(HOUR, HOUR + 3), st.integers(1, 9), max_size=3)
books = st.lists(st.tuples(st.integers(0, 9), counts, counts, counts), max_size=20)


@pytest.mark.slow
@settings(deadline=None, max_examples=100, derandomize=True)
@given(books)
def test_parts_add_up_to_the_entries_after_any_replacing(writes):
    ledger, booked = Ledger(FakeHBase(), TABLE), {}
    for ten, *of_each in writes:
        new = entry(ten * 10, ten * 10 + 10, *of_each)
        ledger.write([new], [booked[ten]] if ten in booked else [])
        booked[ten] = new
    assert list(ledger.entries()) == [booked[ten] for ten in sorted(booked)]
    for hour, counts in ledger.counts(range(HOUR, HOUR + 4)).items():
        assert counts == sum_of(one.hours.get(hour, HourCounts()) for one in booked.values())


def test_a_touched_hour_is_stale_until_it_is_indexed_as_read(hbase):
    states = HourStates(hbase, TABLE)
    states.touch([HOUR, HOUR, HOUR + 1])
    read = states.read([HOUR, HOUR + 1, HOUR + 2])
    assert read == {HOUR: HourState(1), HOUR + 1: HourState(1), HOUR + 2: HourState()}
    assert [read[hour].stale for hour in read] == [True, True, False]
    states.touch([HOUR + 1])  # while the run goes on
    states.mark(COMPUTED, {hour: state.touched for hour, state in read.items()})
    assert [state.stale for state in states.all().values()] == [True, True]
    states.mark(INDEXED, {hour: state.touched for hour, state in read.items()})
    assert states.all() == {HOUR: HourState(1, 0, 1, 1), HOUR + 1: HourState(2, 0, 1, 1)}
    assert [state.stale for state in states.all().values()] == [False, True]


def test_books_and_states_share_a_table_without_seeing_each_other(ledger, hbase):
    states = HourStates(hbase, TABLE)
    booked = entry(0, 9, {HOUR: 9})
    ledger.write([booked])
    states.touch([HOUR])
    assert list(ledger.entries()) == [booked]
    assert ledger.counts([HOUR]) == {HOUR: HourCounts(kept=9)}
    assert states.all() == {HOUR: HourState(1)}
