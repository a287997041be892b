"""The second book, on a stand-in for HBase: what is written is read back, by range and by hour."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream_assets.domain.hours import hour_of_key
from clickstream_assets.domain.ledger import GAP, LOST, READ, Entry, HourShare, Ledger
from clickstream_assets.domain.stale_hours import COMPUTED, INDEXED, HourState, HourStates

TABLE = "ledger"
HOUR = hour_of_key("2026-11-23-05:00")


class FakeHBase:
    """HBaseClient's calls on dictionaries, as its docstrings promise them; no server, no retries."""

    host, port = "hbase", 9090

    def __init__(self):
        self.tables = {}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def another(self):
        return self

    def close(self):
        pass

    def _table(self, name):
        return self.tables.setdefault(name, {})

    def get(self, table, keys, columns=(), *, batch_rows=None):
        rows = {key: self._table(table)[key] for key in keys if key in self._table(table)}
        found = {key: {c: v for c, v in cells.items() if not columns or c in columns} for key, cells in rows.items()}
        return {key: cells for key, cells in found.items() if cells}

    def mutate(self, table, rows):
        sent = 0
        for sent, row in enumerate(rows, 1):  # noqa: B007
            cells = self._table(table).setdefault(row.key, {})
            for column in row.deletes:
                assert column not in row.puts
                for name in [name for name in cells if name == column or name.split(b":")[0] == column]:
                    del cells[name]
            cells.update(row.puts)
            if not cells:
                del self._table(table)[row.key]
        return sent

    def sizes(self, table, start, stop, column):
        yield from ((key, len(cells[column])) for key, cells in self.scan(table, start, stop, (column,)))

    def scan(self, table, start, stop, columns=(), *, batch_rows=None, large_cells=False):
        keys = sorted(key for key in self._table(table) if start <= key and (not stop or key < stop))
        yield from ((key, cells) for key in keys if (cells := self.get(table, [key], columns).get(key)))

    def last_before(self, table, stop, floor):
        keys = [key for key in self._table(table) if floor <= key < stop]
        return (max(keys), dict(self._table(table)[max(keys)])) if keys else None

    def increment(self, table, key, column):
        cells = self._table(table).setdefault(key, {})
        value = struct.unpack(">q", cells.get(column, bytes(8)))[0] + 1
        cells[column] = struct.pack(">q", value)
        return value


@pytest.fixture
def hbase():
    return FakeHBase()


@pytest.fixture
def ledger(hbase):
    return Ledger(hbase, TABLE)


def entry(first, end, kept=None, refused=None, *, duplicates=0, partition=0, topic_id="id-a", run_id="run-1"):
    kept, refused = kept or {}, refused or {}
    read = sum(kept.values()) + sum(refused.values()) + duplicates
    return Entry(topic_id, partition, first, end, READ, read, duplicates, kept, refused, run_id)


def test_an_entry_balances_when_every_message_is_accounted_for():
    booked = entry(0, 9, {HOUR: 4, HOUR - 1: 1}, {HOUR: 2}, duplicates=2)
    assert (booked.kept, booked.dead_lettered, booked.read, booked.balances) == (5, 2, 9, True)
    assert booked.hours == {HOUR, HOUR - 1}
    assert not Entry("id-a", 0, 0, 9, READ, read=9, duplicates=8).balances


def test_entries_come_back_as_written(ledger):
    entries = [
        entry(0, 9, {HOUR: 4, HOUR - 1: 1}, {HOUR + 2: 2}, duplicates=2),
        Entry("id-a", 0, 9, 12, GAP, run_id="run-1"),
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

    def found(first, end):
        return [(known.first, known.end) for known in ledger.overlapping("id-a", 0, first, end)]

    assert found(0, 100) == [(0, 5), (5, 9), (20, 30)]
    assert found(4, 5) == [(0, 5)]
    assert found(4, 6) == [(0, 5), (5, 9)]
    assert found(9, 20) == []
    assert found(29, 31) == [(20, 30)]
    assert found(30, 40) == []
    assert ledger.overlapping("id-a", 2, 0, 100) == []


spans = st.sets(st.integers(0, 120), max_size=12).map(sorted)


@settings(deadline=None, max_examples=100, derandomize=True)
@given(spans, st.integers(0, 119), st.integers(1, 40))
def test_overlapping_finds_exactly_the_entries_that_share_an_offset(edges, first, length):
    ledger = Ledger(FakeHBase(), TABLE)
    booked = [entry(a, b) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    ledger.write(booked)
    wanted = [known for known in booked if set(range(known.first, known.end)) & set(range(first, first + length))]
    assert ledger.overlapping("id-a", 0, first, first + length) == wanted


def test_an_hours_shares_are_what_each_entry_holds_of_it(ledger):
    one = entry(0, 9, {HOUR: 4, HOUR + 1: 1}, {HOUR: 2})
    two = entry(9, 12, {HOUR + 1: 3})
    other = entry(0, 2, {}, {HOUR: 2}, partition=11, topic_id="id-b")
    ledger.write([one, two, other])
    assert ledger.shares(HOUR) == [HourShare("id-a", 0, 0, 4, 2), HourShare("id-b", 11, 0, 0, 2)]
    assert ledger.shares(HOUR + 1) == [HourShare("id-a", 0, 0, 1, 0), HourShare("id-a", 0, 9, 3, 0)]
    assert ledger.shares(HOUR - 1) == ledger.shares(HOUR + 2) == []
    assert [ledger.at(share) for share in (*ledger.shares(HOUR), *ledger.shares(HOUR + 1))] == [one, other, one, two]


def test_an_entry_written_again_takes_the_place_of_its_own(ledger):
    old = entry(0, 9, {HOUR: 4, HOUR + 1: 5})
    new = entry(0, 9, {HOUR: 4, HOUR + 2: 1}, duplicates=4, run_id="run-2")
    ledger.write([old])
    ledger.write([new], [old])
    assert list(ledger.entries()) == [new]
    assert ledger.shares(HOUR + 1) == []
    assert [share.kept for hour in (HOUR, HOUR + 2) for share in ledger.shares(hour)] == [4, 1]


def test_an_entry_can_be_replaced_by_several(ledger, hbase):
    old, kept = entry(0, 9, {HOUR: 9}), entry(9, 10, {HOUR: 1})
    ledger.write([old, kept])
    new = [entry(0, 3, {HOUR: 3}), Entry("id-a", 0, 3, 5, GAP), entry(5, 9, {HOUR + 1: 4})]
    ledger.write(new, [old])
    assert ledger.overlapping("id-a", 0, 0, 100) == [*new, kept]
    assert [(share.first, share.kept) for share in ledger.shares(HOUR)] == [(0, 3), (9, 1)]
    assert [(share.first, share.kept) for share in ledger.shares(HOUR + 1)] == [(5, 4)]
    assert len(hbase.tables[TABLE]) == 4 + 3


def test_replacing_leaves_no_row_behind(ledger, hbase):
    old = [entry(0, 4, {HOUR: 4}), entry(4, 9, {HOUR + 1: 5})]
    ledger.write(old)
    ledger.write([Entry("id-a", 0, 0, 9, GAP)], old)
    assert len(hbase.tables[TABLE]) == 1


counts = st.dictionaries(st.integers(HOUR, HOUR + 3), st.integers(1, 9), max_size=3)
books = st.lists(st.tuples(st.integers(0, 9), counts, counts), max_size=20)


@settings(deadline=None, max_examples=100, derandomize=True)
@given(books)
def test_shares_add_up_to_the_entries_after_any_replacing(writes):
    ledger, there = Ledger(FakeHBase(), TABLE), {}
    for place, kept, refused in writes:
        new = entry(place * 10, place * 10 + 10, kept, refused)
        ledger.write([new], [there[place]] if place in there else [])
        there[place] = new
    assert list(ledger.entries()) == [there[place] for place in sorted(there)]
    for hour in range(HOUR, HOUR + 4):
        shares = ledger.shares(hour)
        assert sum(share.kept for share in shares) == sum(known.kept_by_hour.get(hour, 0) for known in there.values())
        assert sum(share.dead_lettered for share in shares) == sum(
            known.dead_lettered_by_hour.get(hour, 0) for known in there.values()
        )


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
    assert [share.kept for share in ledger.shares(HOUR)] == [9]
    assert states.all() == {HOUR: HourState(1)}
