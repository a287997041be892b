"""A replay: dead letters decoded again with the code and settings of today.

It takes the bytes that HBase keeps and decides on them as ingestion does: same row keys, same look-up, same rule
for duplicates. It neither reads Kafka nor produces to it.

For each ledger entry it writes, in this order: rows, and the new reason of what is still refused; the entry; touched
hours. Last it deletes the letters that it has mended: a letter in the table is what a replay has left to do. If it is
killed at any point, the next one does the same again. The entry keeps the offsets that were mended, so that no letter
is counted twice.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from time import monotonic

from clickstream_assets.books.books import Books
from clickstream_assets.books.ledger_entries import Entry, HourCounts, sum_of
from clickstream_assets.books.log_cuts import Generations
from clickstream_assets.books.offsets import OffsetRange
from clickstream_assets.events.hours import key_of_hour
from clickstream_assets.events.urls import DEFAULT_RULES, UrlRules
from clickstream_assets.ingest.dead_letters import REASON, DeadLetters, Letter, Selection, record_of
from clickstream_assets.ingest.outcomes import SOURCE, Rules, Tally, decoded, outcome
from clickstream_assets.stores.hbase.client import RowMutation

_TELL_SECONDS = 5


@dataclass(slots=True)
class ReplayReport:
    """What became of the letters that a replay looked at; of a dry run, what would become of them."""

    dry_run: bool = field(default=False, compare=False)
    letters: int = 0
    rows: int = 0
    duplicates: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Still refused, by today's reason."""
    finished: int = 0
    """Letters that an earlier replay had mended, but not deleted, for it was killed."""
    unbooked: int = 0
    """Letters that no ledger entry counts, so they are left alone: their offsets are unread, or the ledger is wrong."""
    mended_by_reason: Counter[str] = field(default_factory=Counter)
    mended_by_hour: Counter[int] = field(default_factory=Counter)
    """By the hour of the Kafka record."""
    touched: set[int] = field(default_factory=set)

    @property
    def mended(self) -> int:
        """Letters that became a row or a duplicate."""
        return self.rows + self.duplicates

    def in_words(self) -> str:
        verb = "would mend" if self.dry_run else "mended"
        words = (
            f"{verb} {self.mended} of {self.letters} dead letters: {self.rows} rows, {self.duplicates} duplicates; "
            f"{self.refused.total()} still refused"
        )
        if self.refused:
            words += f" ({', '.join(f'{reason} {count}' for reason, count in self.refused.most_common())})"
        if self.finished:
            words += f"; {self.finished} more had been mended by a replay that was cut short"
        if self.unbooked:
            words += f"; {self.unbooked} left alone, for no ledger entry counts them"
        if self.touched:
            words += f"; {len(self.touched)} hours {'would be' if self.dry_run else 'wait to be'} computed again"
        return words

    def metadata(self) -> dict[str, int | dict[str, int] | list[str]]:
        return {
            "letters": self.letters,
            "mended": self.mended,
            "rows": self.rows,
            "duplicates": self.duplicates,
            "refused": dict(self.refused),
            "finished": self.finished,
            "unbooked": self.unbooked,
            "mended_by_reason": dict(self.mended_by_reason),
            "mended_by_hour": {key_of_hour(hour): count for hour, count in sorted(self.mended_by_hour.items())},
            "touched_hours": [key_of_hour(hour) for hour in sorted(self.touched)],
        }


class Replay:
    """One replay: decodes letters again, ledger entry by ledger entry, and writes rows, ledger and touched hours."""

    def __init__(
        self,
        topic: str,
        topic_id: str,
        books: Books,
        first_hour_ms: int,
        run_id: str,
        urls: UrlRules = DEFAULT_RULES,
        max_age_ms: int = 0,
        *,
        dry_run: bool = False,
    ) -> None:
        self._books, self._dry_run = books, dry_run
        generations = Generations.of(books.cuts.read(topic_id))
        self._rules = Rules(topic, topic_id, first_hour_ms, run_id, urls, generations, max_age_ms)
        self.letters = DeadLetters(books.hbase, books.tables.dead_letters, self._rules.first_hour)
        self._planned: dict[bytes, bytes] = {}
        """By key, the source of each row that a dry run would have put."""
        self.report = ReplayReport(dry_run)

    def run(self, wanted: Selection, tell: Callable[[str], None] = lambda words: None) -> ReplayReport:
        """Mend what is wanted and can be mended; ``tell`` is given the report so far every few seconds."""
        letters, told = list(self.letters.select(wanted)), monotonic()
        for (topic_id, partition), of_partition in groupby(letters, lambda letter: (letter.topic_id, letter.partition)):
            for entry, chosen in self._by_entry(topic_id, partition, list(of_partition)):
                self.report.letters += len(chosen)
                if entry is None:
                    self.report.unbooked += len(chosen)
                else:
                    self._mend(entry, chosen)
                if monotonic() - told > _TELL_SECONDS:
                    tell(f"So far: {self.report.in_words()}")
                    told = monotonic()
        return self.report

    def _by_entry(
        self, topic_id: str, partition: int, letters: Sequence[Letter]
    ) -> Iterator[tuple[Entry | None, list[Letter]]]:
        """Letters of one partition, in order, with the entry that booked them; None for those in no entry."""
        at = 0
        while at < len(letters):
            offset = letters[at].offset
            entries = self._books.ledger.overlapping(OffsetRange(topic_id, partition, offset, offset + 1))
            entry, end = (entries[0], entries[0].end) if entries else (None, offset + 1)
            stop = bisect_left(letters, end, lo=at, key=lambda letter: letter.offset)
            yield entry, list(letters[at:stop])
            at = stop

    def _mend(self, entry: Entry, chosen: Sequence[Letter]) -> None:
        before = {offset for offsets in entry.mended_offsets.values() for offset in offsets}
        letters = self.letters.between(entry.topic_id, entry.partition, entry.first, entry.end)
        unfinished = [letter for letter in letters if letter.offset in before]
        tried = [letter for letter in chosen if letter.offset not in before]
        if len(letters) - len(unfinished) != entry.counts.dead_lettered:
            # Letters were deleted by hand, or a run that read the entry was killed: its counts cannot be corrected.
            self.report.unbooked += len(chosen)
            return
        tally, mended = self._decided(entry, tried)
        if unfinished:
            # A replay was killed after it wrote the entry; it may not have touched the hours.
            kept = [hour for hour, counts in entry.hours.items() if counts.kept]
            tally.touched |= {at for hour in kept for at in (hour, hour - 1) if at >= self._rules.first_hour}
        self._count(tally, mended, unfinished)
        if self._dry_run:
            return
        if mended:
            self._books.ledger.write([self._booked(entry, tally, letters, mended)], [entry])
        self._books.hours.tell_anew(entry.hours)
        self._books.hours.touch(tally.touched)
        done = (RowMutation(letter.key, {}, (b"letter",)) for letter in (*mended, *unfinished))
        self._books.hbase.mutate(self._books.tables.dead_letters, done)

    def _decided(self, entry: Entry, letters: Sequence[Letter]) -> tuple[Tally, list[Letter]]:
        """Decode letters of one entry and, unless it is a dry run, write rows and the new reasons.

        Returns what became of the letters, and those that are no longer refused.
        """
        books, rules = self._books, replace(self._rules, topic_id=entry.topic_id, generations=Generations())
        tally, mended = Tally(), list[Letter]()
        for batch in self.letters.values(letters):
            messages = decoded((record_of(letter, value) for letter, value in batch), rules)
            sources = self._stored([message.key for message in messages if message.event is not None])
            rows: list[RowMutation] = []
            refused: list[RowMutation] = []
            for (letter, _), message in zip(batch, messages, strict=True):
                change, _ = outcome(message, tally, sources, rules)
                if message.event is not None:
                    mended.append(letter)
                if change is not None:
                    (refused if message.event is None else rows).append(change)
            self.report.refused.update(letter.puts[REASON].decode() for letter in refused)
            if self._dry_run:
                self._planned |= {row.key: row.puts[SOURCE] for row in rows}
            else:
                books.hbase.mutate(books.tables.clicks, rows)
                books.hbase.mutate(books.tables.dead_letters, refused)
        return tally, mended

    def _booked(self, entry: Entry, tally: Tally, letters: Iterable[Letter], mended: Iterable[Letter]) -> Entry:
        """The entry with ``mended`` letters counted as rows or duplicates.

        The letters that stay are counted again by hour, for the first partition may have changed since they were
        refused, and with it the hour that a letter counts in.
        """
        offsets = defaultdict(list, {hour: list(at) for hour, at in entry.mended_offsets.items()})
        for letter in mended:
            offsets[self._rules.record_hour(letter.record_time_ms)].append(letter.offset)
        gone = {at for of_hour in offsets.values() for at in of_hour}
        stay = Counter(
            self._rules.record_hour(letter.record_time_ms) for letter in letters if letter.offset not in gone
        )
        hours = {}
        for hour in {*entry.hours, *tally.hours, *stay, *offsets}:
            counts = entry.hours.get(hour, HourCounts()) + tally.hours[hour]
            hours[hour] = replace(counts, dead_lettered=stay[hour], mended=len(offsets.get(hour, ())))
        return replace(entry, hours={hour: counts for hour, counts in hours.items() if counts}, mended_offsets=offsets)

    def _count(self, tally: Tally, mended: Iterable[Letter], unfinished: Sequence[Letter]) -> None:
        counts = sum_of(tally.hours.values())
        self.report.rows += counts.kept
        self.report.duplicates += counts.duplicates
        self.report.finished += len(unfinished)
        self.report.touched |= tally.touched
        for letter in mended:
            self.report.mended_by_reason[letter.reason] += 1
            self.report.mended_by_hour[self._rules.record_hour(letter.record_time_ms)] += 1

    def _stored(self, keys: list[bytes]) -> dict[bytes, bytes]:
        rows = self._books.hbase.get(self._books.tables.clicks, keys, (SOURCE,))
        planned = {key: self._planned[key] for key in keys if key in self._planned}
        return {key: cells[SOURCE] for key, cells in rows.items()} | planned
