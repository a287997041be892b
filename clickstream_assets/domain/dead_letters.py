"""Dead letters looked at, and mended: decoded once more by today's code and settings, under their own coordinates.

A replay takes the bytes that HBase keeps and settles them as ingestion does: same row keys, same look-up, same rule for
duplicates. It reads Kafka only where a row makes way for an earlier offset (decision 4), and produces nothing to it.

For each ledger entry it writes, in this order: rows, and today's reason of what is still refused; entries whose rows
made way; the entry itself; touched hours; and last it deletes the letters it has mended. As the commit is for
ingestion, the letter is what a replay has left to do: killed anywhere, the next one finds it and does the same again.
The entry keeps the offsets it has booked as mended, so that no letter is counted twice.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice

from clickstream_assets.clients.hbase import HBaseClient, RowMutation
from clickstream_assets.clients.kafka import Message, TopicClient
from clickstream_assets.domain.hours import hour_of_letter, key_of_hour
from clickstream_assets.domain.ingestion import Ingestion
from clickstream_assets.domain.ledger import Entry, Ledger
from clickstream_assets.domain.settling import DISPLACED, SOURCE, Rules, Settled, letter_key, settle
from clickstream_assets.domain.stale_hours import HourStates
from clickstream_assets.domain.table_schemas import CLICKS, DEAD_LETTERS, LEDGER

_VALUE, _TIME, _REASON, _DETAIL, _RUN = (
    DEAD_LETTERS.columns[name].key for name in ("value", "record_time", "reason", "detail", "run_id")
)

_LETTERS_AT_ONCE = 50
"""Letters whose bytes are held in memory at a time: each may be as large as a Kafka message."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter without its bytes: where its message lies, when it was recorded, why it was refused."""

    topic_id: str
    partition: int
    offset: int
    record_time_ms: int
    reason: str
    detail: str
    run_id: str

    @property
    def key(self) -> bytes:
        """Its row key."""
        return letter_key(self.topic_id, self.partition, self.offset)

    @property
    def source(self) -> str:
        """Its coordinates, spelled as in the column ``source`` of a row."""
        return f"{self.topic_id}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters: of these reasons (all if none is named), of hours ``first`` (included) to ``end`` (not).

    ``limit`` takes that many at most, in order of topic id, Kafka partition and offset.
    """

    reasons: frozenset[str] = frozenset()
    first: int | None = None
    end: int | None = None
    limit: int | None = None

    def takes(self, letter: Letter, first_hour: int) -> bool:
        """Whether a letter is of these reasons and hours."""
        hour = hour_of_letter(letter.record_time_ms, first_hour)
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (self.first is None or hour >= self.first)
            and (self.end is None or hour < self.end)
        )


class DeadLetters:
    """The letters, in HBase. ``first_hour`` is the first partition, in hours since the epoch."""

    def __init__(self, hbase: HBaseClient, table: str, first_hour: int) -> None:
        self._hbase, self._table, self._first_hour = hbase, table, first_hour

    def select(self, wanted: Selection) -> Iterator[Letter]:
        """The letters wanted, in order of topic id, partition and offset; goes through the table once."""
        found = (letter for letter in self._scan(b"", b"") if wanted.takes(letter, self._first_hour))
        return islice(found, wanted.limit)

    def between(self, topic_id: str, partition: int, first: int, end: int) -> list[Letter]:
        """The letters of offsets ``first`` (included) to ``end`` (not), in order."""
        return list(self._scan(letter_key(topic_id, partition, first), letter_key(topic_id, partition, end)))

    def values(self, letters: Sequence[Letter]) -> Iterator[tuple[Letter, bytes | None]]:
        """Each letter with its message's bytes (None for a tombstone); one deleted meanwhile is left out."""
        for start in range(0, len(letters), _LETTERS_AT_ONCE):
            some = letters[start : start + _LETTERS_AT_ONCE]
            cells = self._hbase.get(self._table, [letter.key for letter in some], (_VALUE, _REASON))
            yield from ((letter, cells[letter.key].get(_VALUE)) for letter in some if letter.key in cells)

    def counts(self, wanted: Selection) -> dict[tuple[int, str], int]:
        """How many of the letters wanted there are, by hour and reason, in that order."""
        found = Counter(
            (hour_of_letter(letter.record_time_ms, self._first_hour), letter.reason) for letter in self.select(wanted)
        )
        return {place: found[place] for place in sorted(found)}

    def _scan(self, start: bytes, stop: bytes) -> Iterator[Letter]:
        for key, cells in self._hbase.scan(self._table, start, stop, (_TIME, _REASON, _DETAIL, _RUN), large_cells=True):
            topic_id, partition, offset = key.decode().split("|")
            texts = (cells[name].decode("utf-8", "replace") for name in (_REASON, _DETAIL, _RUN))
            yield Letter(topic_id, int(partition), int(offset), int(cells[_TIME]), *texts)


@dataclass(slots=True)
class ReplayReport:
    """What became of the letters that a replay looked at, or would become of them."""

    letters: int = 0
    rows: int = 0
    duplicates: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Still refused, by today's reason."""
    finished: int = 0
    """Letters that a replay had mended already and, killed, had not deleted."""
    unbooked: int = 0
    """Letters that no ledger entry counts: their offsets are still to be read, or the books are wrong. Left alone."""
    mended_by_reason: Counter[str] = field(default_factory=Counter)
    mended_by_hour: Counter[int] = field(default_factory=Counter)
    """By the hour of the Kafka record."""
    touched: set[int] = field(default_factory=set)

    @property
    def mended(self) -> int:
        """Letters that became a row or a duplicate."""
        return self.rows + self.duplicates

    def in_words(self, *, dry_run: bool = False) -> str:
        """One line for the log."""
        verb = "would mend" if dry_run else "mended"
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
            words += f"; {len(self.touched)} hours {'would be' if dry_run else 'wait to be'} computed again"
        return words

    def metadata(self) -> dict[str, int | dict[str, int] | list[str]]:
        """For the UI and for ``--json``."""
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
    """One replay: the letters it is given, entry by entry, into rows, books and touched hours."""

    def __init__(
        self,
        topic: TopicClient,
        hbase: HBaseClient,
        table: Callable[[str], str],
        first_hour_ms: int,
        run_id: str,
        *,
        dry_run: bool = False,
    ) -> None:
        self._topic, self._hbase, self._table, self._dry_run = topic, hbase, table, dry_run
        self._clicks, self._letters_table = table(CLICKS.name), table(DEAD_LETTERS.name)
        self._ledger = Ledger(hbase, table(LEDGER.name))
        self._states = HourStates(hbase, table(LEDGER.name))
        self._rules = Rules(topic.topic, topic.topic_id(), first_hour_ms, run_id)
        self.letters = DeadLetters(hbase, self._letters_table, self._rules.first_hour)
        self._reader: Ingestion | None = None
        self._planned: dict[bytes, Mapping[bytes, bytes]] = {}
        self.report = ReplayReport()

    def run(self, wanted: Selection, progress: Callable[[ReplayReport], None] = lambda report: None) -> ReplayReport:
        """Mend what is wanted and can be; ``progress`` is told of the report after each entry."""
        letters = list(self.letters.select(wanted))
        for (topic_id, partition), some in groupby(letters, lambda letter: (letter.topic_id, letter.partition)):
            for entry, chosen in self._by_entry(topic_id, partition, list(some)):
                self.report.letters += len(chosen)
                if entry is None:
                    self.report.unbooked += len(chosen)
                else:
                    self._mend(entry, chosen)
                progress(self.report)
        return self.report

    def _by_entry(
        self, topic_id: str, partition: int, letters: Sequence[Letter]
    ) -> Iterator[tuple[Entry | None, list[Letter]]]:
        """Letters of one partition, in order, with the entry that booked them; None for those in no entry."""
        at = 0
        while at < len(letters):
            offset = letters[at].offset
            entries = self._ledger.overlapping(topic_id, partition, offset, offset + 1)
            entry, end = (entries[0], entries[0].end) if entries else (None, offset + 1)
            stop = bisect_left(letters, end, lo=at, key=lambda letter: letter.offset)
            yield entry, list(letters[at:stop])
            at = stop

    def _mend(self, entry: Entry, chosen: Sequence[Letter]) -> None:
        before = {offset for offsets in entry.mended_offsets.values() for offset in offsets}
        there = self.letters.between(entry.topic_id, entry.partition, entry.first, entry.end)
        unfinished = [letter for letter in there if letter.offset in before]
        tried = [letter for letter in chosen if letter.offset not in before]
        if len(there) - len(unfinished) != entry.dead_lettered and not self._dry_run:
            self._read_instead(entry, chosen)
            return
        settled, mended = self._settle(entry, tried)
        if unfinished:
            # A replay was killed behind its entry: whether it touched the hours cannot be seen.
            settled.touched |= {
                hour for kept in entry.kept_by_hour for hour in (kept, kept - 1) if hour >= self._rules.first_hour
            }
        self._count(settled, mended, unfinished)
        if self._dry_run:
            return
        if settled.displaced:
            self._ingestion.read_again(entry.partition, settled.displaced)
        booked = self._booked(entry, settled, there, mended)
        known = self._ledger.overlapping(entry.topic_id, entry.partition, entry.first, entry.end)
        if known == [entry] and booked != entry:
            # If it is not as it was, it has itself been read again just now, and these letters with it.
            self._ledger.write([booked], [entry])
        self._states.touch(settled.touched)
        done = (RowMutation(letter.key, {}, (b"letter",)) for letter in (*mended, *unfinished))
        self._hbase.mutate(self._letters_table, done)

    def _read_instead(self, entry: Entry, chosen: Sequence[Letter]) -> None:
        """Have an entry read again that does not count the letters there are, for none can be moved in its count.

        A run that was killed while it read the entry again leaves it so, or someone who deleted a letter.
        """
        if entry.topic_id != self._rules.topic_id or not self._ingestion.is_readable(entry.partition, entry.first):
            self.report.unbooked += len(chosen)
            return
        self.report.touched |= self._ingestion.read_again(entry.partition, [entry.first]).touched
        left = self.letters.between(entry.topic_id, entry.partition, entry.first, entry.end)
        refused = {letter.offset: letter.reason for letter in left}
        self.report.refused.update(refused[letter.offset] for letter in chosen if letter.offset in refused)
        self.report.finished += sum(letter.offset not in refused for letter in chosen)

    def _settle(self, entry: Entry, letters: Sequence[Letter]) -> tuple[Settled, list[Letter]]:
        """Decode letters of one entry and, unless it is a dry run, write rows and today's reasons.

        Returns what became of them, and those that are refused no more.
        """
        rules = replace(self._rules, topic_id=entry.topic_id)

        def makes_way(offset: int) -> bool:
            """A later offset's row may be taken over only if its entry can be read again, and balance."""
            return entry.topic_id == self._rules.topic_id and self._ingestion.is_readable(entry.partition, offset)

        whole, mended = Settled(), []
        for start in range(0, len(letters), _LETTERS_AT_ONCE):
            found = list(self.letters.values(letters[start : start + _LETTERS_AT_ONCE]))
            messages = [Message(entry.partition, one.offset, one.record_time_ms, value) for one, value in found]
            settled = settle(messages, rules, self._stored, makes_way)
            self.report.refused.update(letter.puts[_REASON].decode() for letter in settled.letters)
            if self._dry_run:
                self._planned |= {row.key: row.puts for row in settled.rows}
            else:
                self._hbase.mutate(self._clicks, settled.rows)
                self._hbase.mutate(self._letters_table, settled.letters)
            whole.add(settled)
            refused = {letter.key for letter in settled.letters}
            mended += [letter for letter, _ in found if letter.key not in refused]
        return whole, mended

    def _booked(self, entry: Entry, settled: Settled, there: Iterable[Letter], mended: Iterable[Letter]) -> Entry:
        """The entry with the count of mended letters moved.

        Its dead letters are counted anew from those that stay, by hours as they are now: the first partition may have
        been another one when they were refused.
        """
        offsets = defaultdict(list, {hour: list(known) for hour, known in entry.mended_offsets.items()})
        for letter in mended:
            offsets[self._rules.record_hour(letter.record_time_ms)].append(letter.offset)
        gone = {offset for known in offsets.values() for offset in known}
        return replace(
            entry,
            duplicates=entry.duplicates + settled.duplicates,
            kept_by_hour=Counter(entry.kept_by_hour) + settled.kept_by_hour,
            late_by_hour=Counter(entry.late_by_hour) + settled.late_by_hour,
            other_types_by_hour=Counter(entry.other_types_by_hour) + settled.other_types_by_hour,
            corrected_by_hour=Counter(entry.corrected_by_hour) + settled.corrected_by_hour,
            duplicates_by_hour=Counter(entry.duplicates_by_hour) + settled.duplicates_by_hour,
            dead_lettered_by_hour=Counter(
                self._rules.record_hour(letter.record_time_ms) for letter in there if letter.offset not in gone
            ),
            mended_offsets=offsets,
        )

    def _count(self, settled: Settled, mended: Iterable[Letter], unfinished: Sequence[Letter]) -> None:
        self.report.rows += settled.kept_by_hour.total()
        self.report.duplicates += settled.duplicates
        self.report.finished += len(unfinished)
        self.report.touched |= settled.touched
        for letter in mended:
            self.report.mended_by_reason[letter.reason] += 1
            self.report.mended_by_hour[self._rules.record_hour(letter.record_time_ms)] += 1

    @property
    def _ingestion(self) -> Ingestion:
        """Reads entries of the topic as it is now again."""
        if self._reader is None:
            rules = self._rules
            self._reader = Ingestion(self._topic, self._hbase, self._table, rules.first_hour_ms, rules.run_id)
        return self._reader

    def _stored(self, keys: list[bytes]) -> Mapping[bytes, Mapping[bytes, bytes]]:
        found: dict[bytes, Mapping[bytes, bytes]] = dict(self._hbase.get(self._clicks, keys, (SOURCE, DISPLACED)))
        return found | {key: self._planned[key] for key in keys if key in self._planned}
