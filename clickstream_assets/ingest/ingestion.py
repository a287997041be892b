"""From offsets to rows, dead letters and the ledger: the heart of ``raw_clicks`` (docs/architecture.md)."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from clickstream_assets.books.books import Books
from clickstream_assets.books.ledger_entries import GAP, LOST, READ, Entry, HourPart
from clickstream_assets.books.log_cuts import Cut, topic_of
from clickstream_assets.books.offsets import OffsetRange, joined
from clickstream_assets.books.resumption import resumption
from clickstream_assets.books.table_schemas import DEAD_LETTERS
from clickstream_assets.events.hours import HOUR_MS
from clickstream_assets.events.urls import DEFAULT_RULES, UrlRules
from clickstream_assets.ingest.offset_plan import ReadPlan, read_on, to_commit
from clickstream_assets.ingest.outcomes import Rules, Tally, letter_key
from clickstream_assets.ingest.reading import Wide, read_ranges
from clickstream_assets.ingest.row_writer import Tallies
from clickstream_assets.stores.hbase.client import ROWS_PER_CALL, RowMutation
from clickstream_assets.stores.kafka.client import TopicClient

_SCANNED_FOR_ONE = 2
"""Scanning so many rows costs HBase about what looking one up does."""
_SCANNED_AT_MOST = 500_000
"""Rows that are held in memory: some 150 bytes each."""
_RUN = DEAD_LETTERS.columns["run_id"].key


@dataclass(slots=True)
class IngestReport:
    """What a run did: counts of messages and offsets, and by Kafka partition what was read and committed."""

    read: int = 0
    kept: int = 0
    new_rows: int = 0
    duplicates: int = 0
    dead_lettered: int = 0
    lost: int = 0
    missing: int = 0
    unavailable: int = 0
    """Offsets booked earlier that Kafka no longer holds: what is stored of them was left alone."""
    cuts: list[Cut] = field(default_factory=list)
    """Where this run noticed that logs were cut back."""
    ranges: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    committed: dict[int, int] = field(default_factory=dict)
    touched: set[int] = field(default_factory=set)
    parts: defaultdict[int, list[HourPart]] = field(default_factory=lambda: defaultdict(list))
    """By hour, what the run booked of it."""

    def add(self, entry: Entry) -> None:
        counts = entry.counts
        self.read += entry.read
        self.kept += counts.kept
        self.duplicates += counts.duplicates
        self.dead_lettered += counts.dead_lettered
        self.missing += entry.end - entry.first - entry.read

    def in_words(self) -> str:
        words = (
            f"read {self.read} messages: kept {self.kept}, {self.duplicates} duplicates, "
            f"{self.dead_lettered} dead-lettered; {self.new_rows} rows written"
        )
        if self.lost:
            words += f"; {self.lost} offsets were lost to retention before they were read"
        if self.missing:
            words += f"; {self.missing} offsets hold no record"
        if self.cuts:
            words += f"; {'; '.join(cut.in_words() for cut in self.cuts)}"
        return words


class Ingestion:
    """One run's reading: rows, dead letters, touched hours, ledger and commit, in that order.

    What is much to read is read on Spark, if there is a ``wide``.
    """

    def __init__(
        self,
        topic: TopicClient,
        books: Books,
        first_hour_ms: int,
        run_id: str,
        wide: Wide | None = None,
        urls: UrlRules = DEFAULT_RULES,
        max_age_ms: int = 0,
    ) -> None:
        self._topic, self._books, self._wide = topic, books, wide
        self._ends = topic.ends(topic.partitions())
        self._log = resumption(topic, books, self._ends)
        self._committed = dict(self._log.committed)
        log_rules = self._log.topic_id, first_hour_ms, run_id, urls, self._log.generations
        self._rules = Rules(topic.topic, *log_rules, max_age_ms)
        self.report = IngestReport()

    def read_until(self, until: Mapping[int, int], hours: Iterable[int], more: int = 0) -> IngestReport:
        """Read what is new, up to ``until`` by partition; entries are cut where ``hours`` begin.

        So many messages behind ``until`` as ``more`` at most are read as well, up to where the hours end.
        """
        if more > 0:
            until = read_on(until, self._topic.offsets_at((max(hours) + 1) * HOUR_MS, self._ends, until), more)
        log = self._log
        spans = {p: (at, min(until[p], self._ends[p])) for p, at in log.begins.items() if p in until}
        commits = {p: to_commit(log.begins[p], first, end) for p, (first, end) in spans.items()}
        return self._run(self._in(spans), (), sorted(hours), commits)

    def read_hours(self, hours: Iterable[int], unbooked: Iterable[OffsetRange] = ()) -> IngestReport:
        """Read again all that is booked for ``hours``, what their record times say belongs to them, and ``unbooked``.

        All the hours are touched, so that the later assets follow, for an hour without a single event too.
        """
        hours = sorted(hours)
        # Hours before the first partition have none: nothing follows them.
        self.report.touched.update(hour for hour in hours if hour >= self._rules.first_hour)
        first, end = (
            self._topic.offsets_at(hour * HOUR_MS, self._ends, self._log.earliest) for hour in (hours[0], hours[-1] + 1)
        )
        spans = {p: (at, max(at, end[p])) for p, at in first.items()}
        commits = {p: to_commit(self._log.begins[p], *span) for p, span in spans.items()}
        return self._run(_joined([*self._in(spans), *unbooked]), self.entries_of(hours), hours, commits)

    def entries_of(self, hours: Iterable[int]) -> list[Entry]:
        """The entries of this topic that hold anything of ``hours``, in order."""
        parts = [part for of_hour in self._books.ledger.parts(hours).values() for part in of_hour]
        ours = [part for part in parts if topic_of(part.topic_id) == self._rules.topic_id]
        entries = (entry for entry in self._books.ledger.entries_of(ours).values() if entry)
        return sorted({entry.offsets: entry for entry in entries}.values(), key=lambda entry: entry.offsets)

    def is_readable(self, offsets: OffsetRange) -> bool:
        """Whether Kafka still holds offsets: retention has not reached them, and none has been given out again."""
        p, earliest = offsets.partition, self._log.earliest
        return (
            p in earliest and earliest[p] <= offsets.first and self._in({p: (offsets.first, offsets.end)}) == [offsets]
        )

    def unbooked(self, offsets: Sequence[OffsetRange]) -> list[OffsetRange]:
        """What no ledger entry covers around some offsets: from the entry before them to the one behind."""
        read = self._in({p: (self._log.earliest[p], at) for p, at in self._log.begins.items()})
        logs = (log for log in read if any(log.overlaps(near) for near in offsets))
        gaps = (gap for log in logs for gap in self._books.ledger.gaps(log))
        return sorted(gap for gap in gaps if any(gap.overlaps(near) for near in offsets))

    def _in(self, spans: Mapping[int, tuple[int, int]]) -> list[OffsetRange]:
        """Spans (first offset, end) of partitions, cut where generations of their logs begin."""
        generations, topic_id = self._rules.generations, self._rules.topic_id
        return [offsets for p, span in spans.items() for offsets in generations.ranges(topic_id, p, *span)]

    def _run(
        self,
        ranges: Sequence[OffsetRange],
        entries: Iterable[Entry],
        hours: Sequence[int],
        commits: Mapping[int, int | None],
    ) -> IngestReport:
        """Read ranges, and ``entries`` again whole."""
        books, report = self._books, self.report
        self._book_cuts()
        plan = self._plan(ranges, entries, hours)
        scanned = self._worth_a_scan(plan, hours)
        tallies, cells = read_ranges(sorted(plan.to_read), self._topic, books, self._rules, self._wide, scanned)
        booked, replaced, ranges_booked = _booked(plan, tallies, self._rules.run_id, report)
        booked = [entry.with_events(cells) for entry in booked]
        mended_letters = [key for offsets in ranges_booked for key in self._letters_of_others(offsets)]
        # Before the ledger: a run killed behind that, of a group that has never committed, is not read again.
        books.hours.touch(report.touched)
        books.ledger.write(booked, replaced)
        books.hours.tell_anew({hour for entry in (*booked, *replaced) for hour in entry.hours})
        for entry in booked:
            for hour, part in entry.parts():
                report.parts[hour].append(part)
        latest: defaultdict[int, int] = defaultdict(lambda: -1)
        for (partition, _), tally in tallies.items():
            latest[partition] = max(latest[partition], tally.latest_ms)
        books.watermarks.advance(self._rules.topic_id, {p: at for p, at in latest.items() if at >= 0})
        # Behind the books: what is left of a letter tells a replay that was killed here to look again.
        books.hbase.mutate(books.tables.dead_letters, (RowMutation(key, {}, (b"letter",)) for key in mended_letters))
        report.committed = self._commit({p: at for p, at in commits.items() if at is not None})
        return report

    def _book_cuts(self) -> None:
        """Book where logs were cut back, then take back the offsets committed of what is cut off."""
        self.report.cuts = [replace(cut, run_id=self._rules.run_id) for cut in self._log.unbooked]
        self._books.cuts.write(self._rules.topic_id, self.report.cuts)
        if self._log.void:
            self._committed |= self._commit({p: self._log.begins[p] for p in self._log.void})

    def _plan(self, ranges: Sequence[OffsetRange], entries: Iterable[Entry], hours: Sequence[int]) -> ReadPlan:
        earliest, plan = self._log.earliest, ReadPlan()
        ends = {offsets.partition: self._ends[offsets.partition] for offsets in ranges}
        begins = {p: earliest[p] for p in ends}
        starts = [self._topic.offsets_at(hour * HOUR_MS, ends, begins) for hour in hours] if ends else []
        for entry in entries:
            plan.read_again(entry, earliest[entry.partition])
        for offsets in ranges:
            p, booked = offsets.partition, self._books.ledger.overlapping(offsets)
            plan.read(offsets, booked, earliest[p], {at[p] for at in starts})
        for offsets, before in list(plan.to_read.items()):
            if before is not None and not self.is_readable(offsets):
                plan.unavailable[offsets] = before
                del plan.to_read[offsets]
        self.report.lost += sum(map(len, plan.lost))
        self.report.unavailable += sum(map(len, plan.unavailable))
        return plan

    def _worth_a_scan(self, plan: ReadPlan, hours: Sequence[int]) -> Sequence[int]:
        """``hours``, or none of them if few of their rows will be asked for, or so few that a request tells of all."""
        offsets = sum(map(len, plan.to_read))
        if offsets <= ROWS_PER_CALL:
            return ()
        return hours if self._books.ledger.rows(hours) <= min(_SCANNED_FOR_ONE * offsets, _SCANNED_AT_MOST) else ()

    def _letters_of_others(self, offsets: OffsetRange) -> Iterator[bytes]:
        """Keys of a range's dead letters that this run, which has read it, did not write: they are refused no more."""
        start, stop = (letter_key(offsets.log_id, offsets.partition, at) for at in (offsets.first, offsets.end))
        letters = self._books.hbase.scan(self._books.tables.dead_letters, start, stop, (_RUN,), large_cells=True)
        return (key for key, cells in letters if cells[_RUN].decode() != self._rules.run_id)

    def _commit(self, commits: Mapping[int, int]) -> dict[int, int]:
        """Commit where the group's offset is still what it was when the run began; returns what was committed."""
        now = self._topic.committed(commits)
        done = {p: at for p, at in commits.items() if now[p] == self._committed[p]}
        self._topic.commit(done)
        return done


def _booked(
    plan: ReadPlan, tallies: Tallies, run_id: str, report: IngestReport
) -> tuple[list[Entry], list[Entry], list[OffsetRange]]:
    """Entries to write, entries that they replace, and the ranges that were read and are booked; adds to ``report``."""
    booked = [_entry(offsets, LOST, run_id=run_id) for offsets in plan.lost]
    replaced: list[Entry] = []
    ranges: list[OffsetRange] = []
    for offsets, of_range in _by_range(plan.to_read, tallies):
        before = plan.to_read[offsets]
        entries = list(_entries(offsets, of_range, run_id))
        for tally in of_range.values():
            report.new_rows += tally.new_rows
            report.touched |= tally.touched
        for entry in entries:
            report.add(entry)
        report.ranges.setdefault(offsets.partition, []).append((offsets.first, offsets.end))
        if before is not None:
            read = sum(entry.read for entry in entries)
            if read < before.read:
                # Compaction or retention took records since: the books keep what was counted when they were there.
                report.unavailable += before.read - read
                continue
            replaced.append(before)
        booked += entries
        ranges.append(offsets)
    return booked, replaced, ranges


def _entry(offsets: OffsetRange, kind: str, run_id: str, tally: Tally | None = None) -> Entry:
    tally = tally or Tally()
    bounds = offsets.log_id, offsets.partition, offsets.first, offsets.end
    return Entry(*bounds, kind, tally.read, dict(tally.hours), run_id)


def _joined(ranges: Iterable[OffsetRange]) -> list[OffsetRange]:
    """Ranges, those that touch or overlap as one: none is read, and booked, twice."""
    spans: defaultdict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
    for offsets in ranges:
        spans[offsets.log_id, offsets.partition].append((offsets.first, offsets.end))
    return [OffsetRange(*log, *span) for log, of_log in spans.items() for span in joined(of_log)]


def _by_range(ranges: Iterable[OffsetRange], tallies: Tallies) -> Iterator[tuple[OffsetRange, dict[int, Tally]]]:
    """Each range in order, with what became of its messages by the first of each run of offsets without a gap."""
    ordered = sorted(ranges, key=lambda offsets: (offsets.partition, offsets.first))
    starts = [(offsets.partition, offsets.first) for offsets in ordered]
    of_ranges: list[dict[int, Tally]] = [{} for _ in ordered]
    for partition, first in sorted(tallies):
        of_ranges[bisect_right(starts, (partition, first)) - 1][first] = tallies[partition, first]
    return zip(ordered, of_ranges, strict=True)


def _entries(offsets: OffsetRange, tallies: Mapping[int, Tally], run_id: str) -> Iterator[Entry]:
    """A range that was read, as entries: of its messages, and of the gaps that Kafka has no record for."""
    at = offsets.first
    for first, tally in tallies.items():
        if first > at:
            yield _entry(replace(offsets, first=at, end=first), GAP, run_id)
        at = first + tally.read
        yield _entry(replace(offsets, first=first, end=at), READ, run_id, tally)
    if at < offsets.end:
        yield _entry(replace(offsets, first=at), GAP, run_id)
