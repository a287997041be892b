"""Kafka's topic and HBase's tables in memory, and what the books of a whole pipeline must say of them.

Not faked: Kafka's protocol, batches and compression, retention by time, consumer groups but for their offsets.
"""

import itertools
from collections import Counter, defaultdict

from clickstream_assets.books.books import Books, TableNames
from clickstream_assets.books.ledger_entries import HourCounts, sum_of
from clickstream_assets.books.log_cuts import Generations
from clickstream_assets.books.row_keys import hour_of
from clickstream_assets.evidence.hour_counts import count_letters
from clickstream_assets.ingest.dead_letters import Selection
from clickstream_assets.ingest.ingestion import Ingestion
from clickstream_assets.ingest.replay import Replay
from clickstream_assets.stores.kafka.client import Record
from clickstream_assets.stores.kafka.looks import Span, boundaries
from clickstream_assets_tests.fakes.hbase import FakeHBase

HOUR_MS = 3_600_000
CLICKS, LETTERS, LEDGER = "clickstream_data", "clickstream_dead_letters", "clickstream_ingest_ledger"


class Killed(BaseException):
    """In the place of SIGKILL."""


class MortalHBase(FakeHBase):
    """Dies before its n-th write, counted from when ``lives`` is set; each row is one, for batches are not atomic."""

    lives: int | None = None

    def _write(self):
        if self.lives is not None:
            if self.lives == 0:
                self.die()
            else:
                self.lives -= 1

    def die(self):
        raise Killed

    def mutate(self, table, rows, time_ms=None):
        sent = 0
        for row in rows:
            self._write()
            sent += super().mutate(table, [row], time_ms)
        return sent

    def increment(self, table, key, column):
        self._write()
        return super().increment(table, key, column)


class FakeTopic:
    """TopicClient's calls on lists; a record that is None is not there."""

    topic, bootstrap_servers = "clickstream_topic", "kafka:9092"

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def __init__(self, partitions=1, topic_id="id-1"):
        self.logs = {p: [] for p in range(partitions)}
        self.id, self.begin, self.group = topic_id, dict.fromkeys(self.logs, 0), dict.fromkeys(self.logs)
        self.told = {}

    def send(self, value, time_ms, partition=0):
        self.logs[partition].append(Record(partition, len(self.logs[partition]), time_ms, value))

    def topic_id(self):
        return self.id

    def partitions(self):
        return sorted(self.logs)

    def earliest(self, partitions):
        return {p: self.begin[p] for p in partitions}

    def ends(self, partitions):
        return {p: len(self.logs[p]) for p in partitions}

    def committed(self, partitions):
        return {p: self.group[p] for p in partitions}

    def lag(self, ends):
        return sum(end - (self.group[p] or self.begin[p]) for p, end in ends.items())

    def commit(self, offsets):
        self.group.update(offsets)
        for p in offsets:
            self.told.pop(p, None)

    def cut(self, at, partition=0, *, told=True):
        """Cut a log back; ``told`` is what Kafka remembers of it until the group commits anew."""
        del self.logs[partition][at:]
        if told:
            self.told[partition] = at

    def cut_back(self, committed):
        return {p: at for p, at in self.told.items() if committed[p] is not None and at < committed[p]}

    def offsets_at(self, time_ms, ends, begins=None):
        return boundaries(time_ms, begins or self.begin, ends, self._look, within=None)

    def _look(self, offsets, ends):
        """Each record is a batch of its own."""
        spans = {}
        for p, at in offsets.items():
            assert self.begin[p] <= at < ends[p]
            record = next((message for message in self.logs[p][at : ends[p]] if message), None)
            time_ms = record and record.timestamp_ms
            spans[p] = (
                Span(at, record.offset, record.offset + 1, time_ms, time_ms) if record else Span(at, *[ends[p]] * 2)
            )
        return spans

    def read(self, partition, first, end):
        assert first >= self.begin[partition]
        there = [message for message in self.logs[partition][first:end] if message]
        for at in range(0, len(there), 3):
            yield there[at : at + 3]


class World:
    """A pipeline up to ``raw_clicks``, whose first partition can be moved."""

    def __init__(self, first_hour, partitions=1):
        self.first_hour, self.max_age_ms = first_hour, 0
        self.topic, self.hbase = FakeTopic(partitions), MortalHBase()
        self.books = Books(self.hbase, TableNames.of())
        self.runs = 0

    def ingestion(self):
        self.runs += 1
        run_id = f"run-{self.runs}"
        return Ingestion(self.topic, self.books, self.first_hour * HOUR_MS, run_id, max_age_ms=self.max_age_ms)

    def ingest(self):
        return self.ingestion().read_until(self.topic.ends(self.topic.logs), ())

    def read_hours(self, *hours):
        return self.ingestion().read_hours(hours)

    def replay(self, wanted=None, *, dry_run=False):
        self.runs += 1
        place, run_id = (self.topic.topic, self.topic.id, self.books), f"replay-{self.runs}"
        first_ms, oldest = self.first_hour * HOUR_MS, self.max_age_ms
        replay = Replay(*place, first_ms, run_id, max_age_ms=oldest, dry_run=dry_run)
        return replay.run(wanted or Selection())

    def killed_at_each_write_of(self, action):
        """Run ``action`` again and again from the same tables, killed before its first write, its second, …

        Yields after each kill; ends when it comes through.
        """
        start, group = self.hbase.snapshot(), dict(self.topic.group)
        for lives in itertools.count():
            self.hbase.restore(start)
            self.topic.group = dict(group)
            self.hbase.lives = lives
            try:
                action()
            except Killed:
                self.hbase.lives = None
                yield lives
            else:
                self.hbase.lives = None
                return

    def rows(self, *left_out):
        """Rows by key, without the columns left out."""
        table = self.hbase.tables.get(CLICKS, {})
        return {key: {c: v for c, v in cells.items() if c not in left_out} for key, cells in table.items()}

    def letters(self):
        """Reasons of the letters, by partition and offset."""
        return {
            (int(key.split(b"|")[1]), int(key.split(b"|")[2])): cells[b"letter:reason"].decode()
            for key, cells in self.hbase.tables.get(LETTERS, {}).items()
        }

    @property
    def ledger(self):
        return self.books.ledger

    def entries(self):
        return list(self.ledger.entries())

    def touched(self):
        return {hour: state.touched for hour, state in self.books.hours.all().items()}

    def count_letters(self, hours):
        """Stored letters by the hour that they are booked in, as the checks count them."""
        found = count_letters(self.books, [entry.offsets for entry in self.entries()], hours, self.first_hour)
        return {hour: reasons.total() for hour, reasons in found.items() if reasons}

    def total(self, name):
        if name == "read":
            return sum(entry.read for entry in self.entries())
        return getattr(sum_of(entry.counts for entry in self.entries()), name)

    def holes(self, offsets):
        """Spans of a range that no entry covers, as (first, end)."""
        spans, at = [], offsets.first
        for entry in self.ledger.overlapping(offsets):
            if entry.first > at:
                spans.append((at, entry.first))
            at = entry.end
        return [*spans, (at, offsets.end)] if at < offsets.end else spans

    def assert_books_balance(self):
        """Every figure of the ledger against the tables it is about, and its parts of hours against its entries."""
        entries = self.entries()
        assert [entry for entry in entries if not entry.balances] == []
        by_hour = defaultdict(HourCounts)
        for entry in entries:
            for hour, counts in entry.hours.items():
                by_hour[hour] += counts
        kept = {hour: counts.kept for hour, counts in by_hour.items() if counts.kept}
        refused = {hour: counts.dead_lettered for hour, counts in by_hour.items() if counts.dead_lettered}
        assert kept == Counter(map(hour_of, self.rows()))
        records = [int(cells[b"letter:record_time"]) for cells in self.hbase.tables.get(LETTERS, {}).values()]
        assert refused == Counter(max(time // HOUR_MS, self.first_hour) for time in records)
        generations = Generations.of(self.books.cuts.read(self.topic.id))
        for p, log in self.topic.logs.items():
            if self.topic.begin[p] == 0:
                ranges = generations.ranges(self.topic.id, p, 0, len(log))
                assert [offsets for offsets in ranges if self.holes(offsets)] == []
        hours = {*by_hour, *range(self.first_hour - 9, self.first_hour + 99)}
        parts = {
            (hour, part.topic_id, part.partition, part.first): part.counts
            for hour, of_hour in self.ledger.parts(hours).items()
            for part in of_hour
        }
        assert parts == {
            (hour, entry.topic_id, entry.partition, entry.first): counts
            for entry in entries
            for hour, counts in entry.hours.items()
        }
        assert self.count_letters(hours) == refused
