"""Hours made anew from Kafka (docs/runbook.md, "An hour that a hand has changed").

What only a hand in the database makes (rows, letters or lines of the ledger that are gone or too many, a first
partition that was moved) no run repairs in passing: checks find it, and this heals it. The hours' rows are dropped with
the parts of the ledger that contradict it; then all that is booked for them, and what no entry covers, is read again.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from clickstream_assets.books.blocks import BLOCK, TODO, drop, place_of
from clickstream_assets.books.books import Books
from clickstream_assets.books.checkpoints import Checkpoints
from clickstream_assets.books.ledger_entries import READ, Entry, HourPart
from clickstream_assets.books.offsets import OffsetRange, joined
from clickstream_assets.books.row_keys import key_ranges
from clickstream_assets.books.table_schemas import CLICKS
from clickstream_assets.events.hours import key_of_hour
from clickstream_assets.ingest.ingestion import Ingestion, IngestReport
from clickstream_assets.ingest.outcomes import SOURCE, letter_key
from clickstream_assets.stores.hbase.client import RowMutation
from clickstream_assets.stores.kafka.client import TopicClient

_SOURCE = re.compile(rb"([^/]+)/(\d+)/(\d+)")
_EVERY_ROW = (b"click_data",)
"""The family that each event has: a row that a hand has put may lack the cell ``source``."""


class NotInKafka(Exception):
    """What an hour holds is not all in Kafka any more: dropped, it could not be read again."""


@dataclass(slots=True)
class HourPlan:
    """What a rebuild of one hour drops, and what it reads."""

    hour: int
    rows: list[bytes] = field(default_factory=list)
    """Keys."""
    parts: list[HourPart] = field(default_factory=list)
    """Of the ledger, those without a matching entry."""
    entries: list[Entry] = field(default_factory=list)
    unbooked: list[OffsetRange] = field(default_factory=list)
    """Ranges that hold some of it though no part of the hour says so: that no entry covers, or whose part is gone."""

    @property
    def offsets(self) -> int:
        return sum(len(entry.offsets) for entry in self.entries) + sum(map(len, self.unbooked))


class Rebuild:
    """Drops hours and reads them again, one after the other. ``ingestion`` makes a new reading for each."""

    def __init__(self, topic: TopicClient, books: Books, ingestion: Callable[[], Ingestion]) -> None:
        self._topic, self._books, self._ingestion = topic, books, ingestion

    def plan(self, hour: int) -> HourPlan:
        """What there is to do for an hour. Raises :class:`NotInKafka` with the offsets that are gone."""
        plan, reading = HourPlan(hour), self._ingestion()
        plan.entries = reading.entries_of([hour])
        sources = self._sources(plan)
        for part, entry in self._books.ledger.entries_of(self._books.ledger.parts([hour])[hour]).items():
            if entry is None or hour not in entry.hours:
                plan.parts.append(part)
                sources.append(OffsetRange(part.topic_id, part.partition, part.first, part.first + 1))
            elif entry not in plan.entries:
                raise NotInKafka(_gone(hour, [entry.offsets], "are of another topic that had this name"))
        booked = [entry.offsets for entry in plan.entries]
        not_booked = [source for source in sources if not any(offsets.covers(source) for offsets in booked)]
        if gone := [offsets for offsets in (*booked, *not_booked) if not reading.is_readable(offsets)]:
            raise NotInKafka(_gone(hour, gone, "are no longer in Kafka"))
        others = {entry.offsets: entry for source in not_booked for entry in self._books.ledger.overlapping(source)}
        for offsets in (unbooked := reading.unbooked(not_booked)):
            records = set(self._records(offsets))
            if without := [at for at in self._stored(offsets, not_booked) if at not in records]:
                gone = [replace(offsets, first=first, end=end) for first, end in joined((at, at + 1) for at in without)]
                raise NotInKafka(_gone(hour, gone, "are no longer in Kafka"))
        again = [entry for entry in others.values() if entry.kind == READ and entry not in plan.entries]
        plan.unbooked = sorted([*unbooked, *(entry.offsets for entry in again)])
        for entry in (*plan.entries, *again):
            if entry.kind == READ and (held := sum(1 for _ in self._records(entry.offsets))) < entry.read:
                words = f"held {entry.read} messages when they were read, and hold {held} now"
                raise NotInKafka(_gone(hour, [entry.offsets], words))
        return plan

    def run(self, hour: int) -> IngestReport:
        """Drop what :meth:`plan` says of an hour now, and read it again. Killed, it is made good by running it again.

        What no part of the hour leads to is booked before the rows are dropped that lead to it.
        """
        books = self._books
        plan = self.plan(hour)
        if plan.unbooked:
            self._ingestion().read_hours([hour], plan.unbooked)
            plan = self.plan(hour)
        places = [place_of(part, hour) for part in books.ledger.parts([hour])[hour]]
        drop(books.hbase, books.tables.blocks, places, TODO, BLOCK)
        Checkpoints(books).drop([hour])
        families = tuple(family.encode() for family in CLICKS.families)
        books.hbase.mutate(books.tables.clicks, (RowMutation(key, {}, families) for key in plan.rows))
        books.ledger.forget({hour: plan.parts})
        report = self._ingestion().read_hours([hour])
        books.hours.doubt(report.touched)
        return report

    def _sources(self, plan: HourPlan) -> list[OffsetRange]:
        """Where the hour's rows come from; notes their keys."""
        hbase, table = self._books.hbase, self._books.tables.clicks
        spans: dict[tuple[str, int], list[tuple[int, int]]] = {}
        for start, stop in chain.from_iterable(key_ranges([plan.hour])):
            plan.rows += [key.row for keys in hbase.scan_keys(table, start, stop, _EVERY_ROW) for key in keys]
            for _, cells in hbase.scan(table, start, stop, (SOURCE,)):
                if match := _SOURCE.fullmatch(cells[SOURCE]):
                    log_id, partition, offset = match.groups()
                    spans.setdefault((log_id.decode(), int(partition)), []).append((int(offset), int(offset) + 1))
        return [OffsetRange(*log, *span) for log, of_log in spans.items() for span in joined(of_log)]

    def _records(self, offsets: OffsetRange) -> Iterator[int]:
        """The offsets that Kafka has a record for."""
        batches = self._topic.read(offsets.partition, offsets.first, offsets.end)
        return (message.offset for batch in batches for message in batch)

    def _stored(self, offsets: OffsetRange, sources: Iterable[OffsetRange]) -> Iterator[int]:
        """Offsets of a range that there is a row of, among ``sources``, or a dead letter."""
        log_id, partition, first, end = offsets.log_id, offsets.partition, offsets.first, offsets.end
        for source in sources:
            if (source.log_id, source.partition) == (log_id, partition):
                yield from range(max(first, source.first), min(end, source.end))
        keys = letter_key(log_id, partition, first), letter_key(log_id, partition, end)
        for letters in self._books.hbase.scan_keys(self._books.tables.dead_letters, *keys):
            yield from (int(letter.row.rsplit(b"|", 1)[1]) for letter in letters)


def _gone(hour: int, ranges: Sequence[OffsetRange], words: str) -> str:
    bounds = ", ".join(
        f"{offsets.first} to {offsets.end - 1} of partition {offsets.partition}" for offsets in ranges[:5]
    )
    more = f" and {len(ranges) - 5} more ranges" if len(ranges) > 5 else ""
    return f"{key_of_hour(hour)} cannot be read again: offsets {bounds}{more} {words}. It was left as it is."


def totals(plans: Iterable[HourPlan]) -> dict[str, int]:
    """What plans come to together. One is held at a time: each has the keys of its rows."""
    sums = Counter[str]()
    for plan in plans:
        sums["hours"] += 1
        sums["rows"] += len(plan.rows)
        sums["offsets"] += plan.offsets
        sums["contradicting parts of the ledger"] += len(plan.parts)
    return dict(sums)
