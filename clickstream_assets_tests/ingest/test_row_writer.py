"""HBase's work goes on beside ours, and ends as if it had not."""

import random
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream_assets.books.books import TableNames
from clickstream_assets.ingest.outcomes import SOURCE, Tally, decoded
from clickstream_assets.ingest.row_writer import UNDER_WAY, RowWriter
from clickstream_assets_tests.fakes.hbase import FakeHBase
from clickstream_assets_tests.fakes.outcomes import outcomes
from clickstream_assets_tests.fakes.servers import CLICKS, LEDGER, LETTERS, World
from clickstream_assets_tests.ingest.test_outcomes import HOUR_NOW, NOW, RULES, Record, message, partitions


def writer_on(hbase):
    return RowWriter(hbase, TableNames.of(), RULES, keep=lambda message: None)


def add(writer, *messages):
    writer.add(decoded(messages, RULES))


def duplicates(tally):
    return sum(counts.duplicates for counts in tally.hours.values())


class HeldHBase(FakeHBase):
    """Writes when it is told to."""

    def __init__(self):
        super().__init__()
        self.may_write = threading.Event()

    def mutate(self, table, rows):
        assert self.may_write.wait(20)
        return super().mutate(table, rows)


class SlowHBase(FakeHBase):
    """Takes its time, now more, now less."""

    def get(self, *arguments):
        time.sleep(random.random() / 1000)
        rows = super().get(*arguments)
        time.sleep(random.random() / 1000)
        return rows

    def mutate(self, *arguments):
        time.sleep(random.random() / 500)
        return super().mutate(*arguments)


class ScannedHBase(FakeHBase):
    """Refuses to look rows up by their keys."""

    def get(self, *arguments):
        raise AssertionError

    def scan(self, *arguments):
        readable = FakeHBase()
        readable.tables = self.tables
        return readable.scan(*arguments)


class BrokenHBase(FakeHBase):
    """Cannot write the clicks."""

    looked_up = 0

    def get(self, *arguments):
        self.looked_up += 1
        return super().get(*arguments)

    def mutate(self, table, rows):
        if table == CLICKS:
            raise OSError("no such region")
        return super().mutate(table, rows)


def test_a_duplicate_of_a_row_that_is_still_on_its_way_is_seen():
    hbase = HeldHBase()
    with writer_on(hbase) as writer:
        for offset in range(UNDER_WAY):
            add(writer, message(offset))
        assert hbase.tables.get(CLICKS, {}) == {}
        hbase.may_write.set()
        tallies = writer.finish()
    assert [tallies[0, offset].new_rows for offset in range(UNDER_WAY)] == [1] + [0] * (UNDER_WAY - 1)
    assert [duplicates(tallies[0, offset]) for offset in range(UNDER_WAY)] == [0] + [1] * (UNDER_WAY - 1)
    assert len(hbase.tables[CLICKS]) == 1


@pytest.mark.slow
@settings(deadline=None, max_examples=40, derandomize=True)
@given(partitions(), st.integers(1, 3), st.sets(st.sampled_from([HOUR_NOW - 1, HOUR_NOW])))
def test_batches_on_their_way_together_end_as_one_after_the_other(drawn, size, scanned):
    messages, before = drawn
    one_by_one, together = FakeHBase(), SlowHBase()
    for hbase in (one_by_one, together):
        hbase.tables[CLICKS] = {key: dict(cells) for key, cells in before.rows.items()}
    expected, total = Tally(), Tally()

    def one_by_one_sources(keys):
        return {key: cells[SOURCE] for key, cells in one_by_one.get(CLICKS, keys, (SOURCE,)).items()}

    with writer_on(together) as writer:
        writer.scan(scanned)
        for start in range(0, len(messages), size):
            batch = messages[start : start + size]
            decided = outcomes(batch, RULES, one_by_one_sources)
            one_by_one.mutate(CLICKS, decided.rows)
            one_by_one.mutate(LETTERS, decided.letters)
            expected.add(decided)
            add(writer, *batch)
        for tally in writer.finish().values():
            total.add(tally)
    assert total == expected
    assert {k: v for k, v in together.tables.items() if v} == {k: v for k, v in one_by_one.tables.items() if v}


def test_rows_of_a_scanned_hour_are_not_looked_up_by_their_keys():
    stored, hbase = FakeHBase(), ScannedHBase()
    with writer_on(stored) as writer:
        add(writer, message(0, "a"), message(1, "b"))
        writer.finish()
    hbase.tables = stored.tables
    with writer_on(hbase) as writer:
        writer.scan([HOUR_NOW])
        add(writer, message(0, "a"), message(1, "b"), message(2, "c"))
        for again in range(2 * UNDER_WAY):  # long after its batch was written
            add(writer, message(3 + again, "c"))
        tallies = writer.finish().values()
    assert (sum(tally.new_rows for tally in tallies), sum(map(duplicates, tallies))) == (1, 2 * UNDER_WAY)


def test_what_a_writer_fails_at_is_told_before_much_more_is_read():
    hbase, added = BrokenHBase(), 0
    with pytest.raises(OSError, match="no such region"), writer_on(hbase) as writer:
        for offset in range(10 * UNDER_WAY):
            add(writer, message(offset, str(offset)))
            added += 1
    assert added <= 2 * UNDER_WAY


def test_a_writer_that_fails_at_the_very_end_is_told_too():
    with pytest.raises(OSError, match="no such region"), writer_on(BrokenHBase()) as writer:
        add(writer, message(0))
        writer.finish()


def test_counts_are_kept_by_offsets_without_a_gap():
    with writer_on(FakeHBase()) as writer:
        add(writer, message(0, "a"), message(1, "b"), message(4, "c"), Record(0, 5, NOW, b"{"))
        add(writer, message(0, "a", partition=1))
        tallies = writer.finish()
    counts = {counted_by: (tally.read, tally.new_rows, duplicates(tally)) for counted_by, tally in tallies.items()}
    assert counts == {(0, 0): (2, 2, 0), (0, 4): (2, 1, 0), (1, 0): (1, 0, 1)}


@pytest.mark.slow
def test_books_are_written_when_all_rows_and_letters_are(monkeypatch):
    world, log = World(HOUR_NOW - 9), []
    for offset in range(30):
        world.topic.send(b"{" if offset % 5 == 0 else message(offset, str(offset)).value, NOW)

    mutate, increment, commit = world.hbase.mutate, world.hbase.increment, world.topic.commit

    def slow_mutate(table, rows):
        rows = list(rows)
        if table != LEDGER:
            time.sleep(0.005)
        sent = mutate(table, rows)
        if rows:
            log.append("entries" if table == LEDGER and rows[0].key.startswith((b"range", b"hour")) else table)
        return sent

    monkeypatch.setattr(world.hbase, "mutate", slow_mutate)
    monkeypatch.setattr(world.hbase, "increment", lambda *at: (log.append("touched"), increment(*at))[1])
    monkeypatch.setattr(world.topic, "commit", lambda offsets: (log.append("commit"), commit(offsets))[1])
    world.ingest()
    order = list(dict.fromkeys(log))
    assert set(order[:2]) == {CLICKS, LETTERS}
    assert order[2:5] == ["clickstream_blocks", "touched", "entries"]
    assert order[-1] == "commit"
    assert max(at for at, name in enumerate(log) if name in (CLICKS, LETTERS)) < log.index("entries")
    world.assert_books_balance()


def test_messages_are_put_a_few_megabytes_at_a_time():
    class Noting(FakeHBase):
        calls = ()

        def mutate(self, table, rows):
            rows = list(rows)
            self.calls += ((len(rows), sum(len(value) for row in rows for value in row.puts.values())),) if rows else ()
            return super().mutate(table, rows)

    hbase = Noting()
    with writer_on(hbase) as writer:
        add(writer, *(message(offset, str(offset), page="x" * 900_000) for offset in range(10)))
        add(writer, *(Record(0, 10 + i, NOW, bytes(3 << 20)) for i in range(3)))
        writer.finish()
    assert sorted(count for count, _ in hbase.calls) == [1, 1, 1, 2, 4, 4]
    assert max(size for _, size in hbase.calls) < 4 << 20
