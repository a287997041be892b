"""From offsets to rows, dead letters and the ledger: the heart of ``raw_clicks`` (design 1 to 4)."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from clickstream_assets.clients.hbase import HBaseClient, RowMutation
from clickstream_assets.clients.kafka import Message, TopicClient
from clickstream_assets.domain.click_event import ClickEvent, Refused, decode
from clickstream_assets.domain.hours import HOUR_MS
from clickstream_assets.domain.ledger import GAP, LATE_AFTER_MS, LOST, READ, Entry, Ledger
from clickstream_assets.domain.offset_plan import Piece, begin, joined, plan_partition, to_commit
from clickstream_assets.domain.row_keys import derived_key, event_key, key_ranges
from clickstream_assets.domain.stale_hours import HourStates, touched_by
from clickstream_assets.domain.table_schemas import CLICKS, DEAD_LETTERS, LEDGER
from clickstream_assets.domain.watermarks import Watermarks

_SOURCE, _DISPLACED = CLICKS.columns["source"].key, CLICKS.columns["displaced"].key
_TIME = CLICKS.columns["timestamp"].key
_ALL_CELLS = frozenset(column.key for column in CLICKS.columns.values())
_EVENT_CELLS = {
    name: CLICKS.columns[name].key
    for name in ("url", "user_id", "anonymous_id", "event_type", "event_id", "ip", "user_agent", "referrer")
}


@dataclass(frozen=True, slots=True)
class Rules:
    """What decoding and booking depend on besides the message."""

    topic: str
    topic_id: str
    first_hour_ms: int
    run_id: str

    @property
    def first_hour(self) -> int:
        """The first partition, in hours since the epoch."""
        return self.first_hour_ms // HOUR_MS

    def record_hour(self, record_time_ms: int) -> int:
        """The hour that a dead letter counts in: its record's, the first partition for older ones."""
        return max(record_time_ms // HOUR_MS, self.first_hour)


@dataclass(slots=True)
class Settled:
    """What became of some messages of one partition."""

    rows: list[RowMutation] = field(default_factory=list)
    letters: list[RowMutation] = field(default_factory=list)
    read: int = 0
    duplicates: int = 0
    kept_by_hour: Counter[int] = field(default_factory=Counter)
    dead_lettered_by_hour: Counter[int] = field(default_factory=Counter)
    late_by_hour: Counter[int] = field(default_factory=Counter)
    touched: set[int] = field(default_factory=set)
    displaced: set[int] = field(default_factory=set)
    """Offsets whose rows now carry an earlier one: the entries that booked them have to be read again."""
    refused_offsets: set[int] = field(default_factory=set)
    latest_ms: int = -1
    """The latest event time kept; -1 without any."""

    def add(self, other: "Settled") -> None:
        """Add the counts of ``other``; its rows and letters are written already."""
        self.read += other.read
        self.duplicates += other.duplicates
        self.kept_by_hour += other.kept_by_hour
        self.dead_lettered_by_hour += other.dead_lettered_by_hour
        self.late_by_hour += other.late_by_hour
        self.touched |= other.touched
        self.displaced |= other.displaced
        self.refused_offsets |= other.refused_offsets
        self.latest_ms = max(self.latest_ms, other.latest_ms)


def letter_key(topic_id: str, partition: int, offset: int) -> bytes:
    """Row key of a dead letter."""
    return f"{topic_id}|{partition:06d}|{offset:020d}".encode()


def settle(
    messages: Sequence[Message],
    rules: Rules,
    stored: Callable[[list[bytes]], Mapping[bytes, Mapping[bytes, bytes]]],
    makes_way: Callable[[int], bool] = lambda offset: True,
) -> Settled:
    """Decide what becomes of messages of one partition, in order of offset; writes nothing.

    ``stored`` looks up the ``source`` and ``displaced`` cells of the rows that exist. A row that came from this
    very offset is kept. One from a later offset of this partition makes way, so that reading in any order ends
    in the same rows, if ``makes_way`` of that offset; any other makes the message a duplicate.
    """
    settled = Settled(read=len(messages))
    events: list[tuple[Message, ClickEvent, bytes]] = []
    for message in messages:
        try:
            event = decode(message.value, message.timestamp_ms, rules.first_hour_ms)
        except Refused as refused:
            settled.letters.append(_letter(message, refused, rules))
            settled.dead_lettered_by_hour[rules.record_hour(message.timestamp_ms)] += 1
            settled.refused_offsets.add(message.offset)
            continue
        events.append((message, event, _row_key(message, event, rules)))
    there = stored([key for _, _, key in events])
    seen: set[bytes] = set()
    for message, event, key in events:
        if key in seen:
            settled.duplicates += 1
            continue
        seen.add(key)
        _settle_event(settled, message, event, key, there.get(key), rules, makes_way)
    return settled


def _settle_event(
    settled: Settled,
    message: Message,
    event: ClickEvent,
    key: bytes,
    row: Mapping[bytes, bytes] | None,
    rules: Rules,
    makes_way: Callable[[int], bool],
) -> None:
    if row is None:
        settled.rows.append(RowMutation(key, _event_cells(message, event, rules)))
    else:
        topic_id, partition, text = row[_SOURCE].decode().split("/")
        offset, displaced = int(text), _displaced(row)
        elsewhere = (topic_id, int(partition)) != (rules.topic_id, message.partition)
        if elsewhere or offset < message.offset or (offset > message.offset and not makes_way(offset)):
            settled.duplicates += 1
            return
        if offset > message.offset:
            displaced.append(offset)
            cells = _event_cells(message, event, rules)
            # The row remembers what it displaced until the end, so that a run killed before it has booked this
            # leaves a trace for the next one to make good.
            cells[_DISPLACED] = ",".join(map(str, displaced)).encode()
            settled.rows.append(RowMutation(key, cells, tuple(_ALL_CELLS - cells.keys())))
        settled.displaced.update(displaced)
    settled.kept_by_hour[event.hour] += 1
    settled.latest_ms = max(settled.latest_ms, event.time_ms)
    if message.timestamp_ms > (event.hour + 1) * HOUR_MS + LATE_AFTER_MS:
        settled.late_by_hour[event.hour] += 1
    settled.touched.update(hour for hour in touched_by(event.time_ms) if hour >= rules.first_hour)


def _displaced(row: Mapping[bytes, bytes]) -> list[int]:
    """The offsets that a row displaced, in that order."""
    return [int(text) for text in row[_DISPLACED].decode().split(",")] if _DISPLACED in row else []


def _row_key(message: Message, event: ClickEvent, rules: Rules) -> bytes:
    if event.event_id is not None:
        return event_key(event.hour, event.event_id)
    return derived_key(event.hour, rules.topic, message.partition, message.offset, message.timestamp_ms)


def _event_cells(message: Message, event: ClickEvent, rules: Rules) -> dict[bytes, bytes]:
    cells = {
        _SOURCE: f"{rules.topic_id}/{message.partition}/{message.offset}".encode(),
        b"click_data:record_time": b"%d" % message.timestamp_ms,
        b"click_data:timestamp": b"%d" % event.time_ms,
    }
    for name, cell in _EVENT_CELLS.items():
        value = getattr(event, name)
        if value is not None:
            cells[cell] = value.encode()
    if event.engagement_time_ms is not None:
        cells[b"click_data:engagement_time_ms"] = b"%d" % _as_long(event.engagement_time_ms)
    if event.url_as_sent != event.url:
        cells[b"click_data:url_as_sent"] = event.url_as_sent.encode()
    if event.client_time_ms != event.time_ms:
        cells[b"click_data:client_timestamp"] = b"%d" % _as_long(event.client_time_ms)
    if event.sent_at_ms is not None:
        cells[b"click_data:sent_at"] = b"%d" % _as_long(event.sent_at_ms)
    if event.properties is not None:
        cells[b"click_data:properties"] = event.properties
    return cells


def _as_long(value: int) -> int:
    """The nearest integer of 64 bits: a wild clock's reading is stored, and no reader chokes on it."""
    return max(-(1 << 63), min(value, (1 << 63) - 1))


def _letter(message: Message, refused: Refused, rules: Rules) -> RowMutation:
    cells = {
        b"letter:record_time": b"%d" % message.timestamp_ms,
        b"letter:reason": refused.reason.encode(),
        b"letter:detail": refused.detail.encode("utf-8", "replace"),
        b"letter:run_id": rules.run_id.encode(),
    }
    if message.value is not None:
        cells[b"letter:value"] = message.value
    return RowMutation(letter_key(rules.topic_id, message.partition, message.offset), cells)


@dataclass(slots=True)
class Report:
    """What a run's ingestion did, for its metadata."""

    read: int = 0
    kept: int = 0
    new_rows: int = 0
    duplicates: int = 0
    dead_lettered: int = 0
    lost: int = 0
    missing: int = 0
    unavailable: int = 0
    """Offsets booked earlier that Kafka no longer holds: what is stored of them was left alone."""
    refused_rows: int = 0
    """Rows deleted because their messages, stored by an earlier reading, are refused now."""
    ranges: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    committed: dict[int, int] = field(default_factory=dict)
    touched: set[int] = field(default_factory=set)

    def in_words(self) -> str:
        """One line for the log."""
        words = (
            f"read {self.read} messages: kept {self.kept}, {self.duplicates} duplicates, "
            f"{self.dead_lettered} dead-lettered; {self.new_rows} rows written"
        )
        if self.lost:
            words += f"; {self.lost} offsets were lost to retention before they were read"
        if self.missing:
            words += f"; {self.missing} offsets hold no record"
        if self.refused_rows:
            words += f"; {self.refused_rows} rows of messages that are refused now were deleted"
        return words

    def metadata(self) -> dict[str, int | dict[str, list[tuple[int, int]]] | dict[str, int]]:
        """For the UI: the counts, the exact offset ranges read, and what was committed, by Kafka partition."""
        return {
            "read": self.read,
            "kept": self.kept,
            "new_rows": self.new_rows,
            "duplicates": self.duplicates,
            "dead_lettered": self.dead_lettered,
            "lost_to_retention": self.lost,
            "offsets_without_record": self.missing,
            "no_longer_in_kafka": self.unavailable,
            "rows_refused_now": self.refused_rows,
            "offset_ranges": {str(partition): joined(ranges) for partition, ranges in self.ranges.items()},
            "committed": {str(partition): at for partition, at in self.committed.items()},
        }


@dataclass(frozen=True, slots=True)
class Window:
    """Offsets of one partition that a run is to read: ``first`` (included) to ``end`` (not), and more entries whole.

    ``lost`` are entries that are gone from the ledger, as their shares tell of them.
    """

    first: int
    end: int
    entries: tuple[Entry, ...] = ()
    lost: tuple[Entry, ...] = ()


def begins(topic: TopicClient, ledger: Ledger, ends: Mapping[int, int]) -> dict[int, int]:
    """By partition, the offset at which reading goes on."""
    earliest, committed, topic_id = topic.earliest(ends), topic.committed(ends), topic.topic_id()
    found = {}
    for p, end in ends.items():
        at = committed[p]
        ledger_end = ledger.end(topic_id, p) if at is None or at > end else None
        found[p] = begin(at, ledger_end, earliest[p], end)
    return found


class Ingestion:
    """One run's reading: rows, dead letters, ledger, touched hours and commit, in that order."""

    def __init__(
        self, topic: TopicClient, hbase: HBaseClient, table: Callable[[str], str], first_hour_ms: int, run_id: str
    ) -> None:
        self._topic, self._hbase = topic, hbase
        self._clicks, self._letters = table(CLICKS.name), table(DEAD_LETTERS.name)
        ledger_table = table(LEDGER.name)
        self._ledger, self._states = Ledger(hbase, ledger_table), HourStates(hbase, ledger_table)
        self._rules = Rules(topic.topic, topic.topic_id(), first_hour_ms, run_id)
        self._partitions = topic.partitions()
        self._earliest, self._ends = topic.earliest(self._partitions), topic.ends(self._partitions)
        self._committed = topic.committed(self._partitions)
        self._begins = begins(topic, self._ledger, self._ends)
        self._watermarks, self._latest = Watermarks(hbase, ledger_table), dict[int, int]()
        self._written: list[Entry] = []
        self._replaced: list[Entry] = []
        self._orphans: list[int] = []
        self._stale_letters: list[bytes] = []
        self.report = Report()

    def read_until(self, until: Mapping[int, int], hours: Iterable[int]) -> Report:
        """Read what is new, up to ``until`` by partition; entries are cut where ``hours`` begin."""
        windows = {p: Window(at, min(until[p], self._ends[p])) for p, at in self._begins.items() if p in until}
        return self._run(windows, hours)

    def read_hours(self, hours: Iterable[int]) -> Report:
        """Read again all that is known to belong to ``hours``, and what their record times say belongs to them.

        Entries that are gone from the ledger are written anew: from Kafka, or as their shares tell of them. All the
        hours are touched, so that the later assets follow, for an hour without a single event too.
        """
        hours = sorted(hours)
        self.report.touched.update(hours)
        entries: dict[int, dict[int, Entry]] = defaultdict(dict)
        for hour in hours:
            for share in self._ledger.shares(hour):
                if share.topic_id != self._rules.topic_id:
                    continue
                for entry in self._ledger.overlapping(share.topic_id, share.partition, share.first, share.first + 1):
                    entries[share.partition][entry.first] = entry
        lost = self._ledger.lost(self._rules.topic_id, self._begins, self._rules.run_id)
        for p, gone in lost.items():
            entries[p] |= {entry.first: entry for entry in gone if entry.hours & set(hours)}
        first = self._topic.offsets_at(hours[0] * HOUR_MS, self._ends)
        end = self._topic.offsets_at((hours[-1] + 1) * HOUR_MS, self._ends)
        windows = {}
        for p in self._partitions:
            again = tuple(entries[p][at] for at in sorted(entries[p]))
            windows[p] = Window(first[p], max(first[p], end[p]), again, tuple(lost.get(p, ())))
        self._orphans = hours
        return self._run(windows, hours)

    def read_again(self, partition: int, offsets: Iterable[int]) -> Report:
        """Read the entries of some offsets of a partition again; commits nothing."""
        entries = {
            entry.first: entry
            for offset in offsets
            for entry in self._ledger.overlapping(self._rules.topic_id, partition, offset, offset + 1)
        }
        return self._run({partition: Window(0, 0, tuple(entries[first] for first in sorted(entries)))}, ())

    def is_readable(self, partition: int, offset: int) -> bool:
        """Whether Kafka still holds the whole entry of an offset, so that it can be read again."""
        entries = self._ledger.overlapping(self._rules.topic_id, partition, offset, offset + 1)
        return bool(entries) and entries[0].first >= self._earliest[partition]

    def _run(self, windows: Mapping[int, Window], hours: Iterable[int]) -> Report:
        starts = [self._topic.offsets_at(hour * HOUR_MS, self._ends) for hour in sorted(hours)] if windows else []
        commits = {}
        for partition, window in sorted(windows.items()):
            self._read_window(partition, window, {at[partition] for at in starts})
            commit = to_commit(self._begins[partition], window.first, window.end)
            if commit is not None:
                commits[partition] = commit
        self._ledger.write(self._written, self._replaced)
        self._written, self._replaced = [], []
        self._ledger.forget_orphans(self._orphans)
        self._states.touch(self.report.touched)
        self._watermarks.advance(self._rules.topic_id, {p: at for p, at in self._latest.items() if at >= 0})
        # Behind the books: what is left of a letter tells a replay that was killed here to look again.
        self._hbase.mutate(self._letters, (RowMutation(key, {}, (b"letter",)) for key in self._stale_letters))
        self._stale_letters = []
        self._commit(commits)
        return self.report

    def _read_window(self, partition: int, window: Window, cuts: set[int]) -> None:
        known = self._ledger.overlapping(self._rules.topic_id, partition, window.first, window.end)
        known += [entry for entry in window.lost if entry.first < window.end and entry.end > window.first]
        known.sort(key=lambda entry: entry.first)
        plan = plan_partition(window.first, window.end, known, self._earliest[partition], cuts)
        pieces = {piece.first: piece for piece in plan.pieces}
        unavailable = {entry.first: entry for entry in plan.unavailable}
        self._queue_again(partition, window.entries, pieces, unavailable)
        for lost in plan.lost:
            self._written.append(self._entry(partition, lost.first, lost.end, LOST))
            self.report.lost += lost.end - lost.first
        done: set[int] = set()
        while pieces:
            piece = pieces.pop(min(pieces))
            done.add(piece.first)
            displaced = self._read_piece(partition, piece)
            again = [
                entry
                for offset in sorted(displaced)
                for entry in self._ledger.overlapping(self._rules.topic_id, partition, offset, offset + 1)
                if entry.first not in done
            ]
            self._queue_again(partition, again, pieces, unavailable)
        self._written += [entry for entry in window.lost if entry.first in unavailable]
        self.report.unavailable += sum(entry.end - entry.first for entry in unavailable.values())

    def _queue_again(
        self, partition: int, entries: Iterable[Entry], pieces: dict[int, Piece], unavailable: dict[int, Entry]
    ) -> None:
        for entry in entries:
            if entry.kind != READ or entry.first in pieces:
                continue
            if entry.first < self._earliest[partition]:
                unavailable[entry.first] = entry
            else:
                pieces[entry.first] = Piece(entry.first, entry.end, entry)

    def _read_piece(self, partition: int, piece: Piece) -> set[int]:
        """Read, settle and write one piece; returns the offsets whose rows it displaced."""
        runs: list[tuple[int, Settled]] = []  # stretches of offsets without a gap: first offset, what became of them
        at = piece.first
        for messages in self._topic.read(partition, piece.first, piece.end):
            for stretch in _stretches(messages):
                if not runs or stretch[0].offset != at:
                    runs.append((stretch[0].offset, Settled()))
                settled = settle(stretch, self._rules, self._stored)
                self._hbase.mutate(self._clicks, settled.rows)
                self._hbase.mutate(self._letters, settled.letters)
                self.report.new_rows += len(settled.rows)
                runs[-1][1].add(settled)
                at = stretch[-1].offset + 1
        if (deleted := self._delete_refused_rows(partition, piece, runs)) is not None:
            # A message that was a duplicate of a row just deleted may be kept now.
            return deleted | self._read_piece(partition, piece)
        self._book(partition, piece, runs)
        return {offset for _, settled in runs for offset in settled.displaced}

    def _delete_refused_rows(self, partition: int, piece: Piece, runs: list[tuple[int, Settled]]) -> set[int] | None:
        """Delete rows of an entry whose messages are refused now; returns the offsets that they had displaced.

        None if there is no such row. Only hours that lost rows since the entry was written are looked through.
        """
        if piece.entry is None or sum(settled.read for _, settled in runs) < piece.entry.read:
            return None
        refused = {
            f"{self._rules.topic_id}/{partition}/{offset}".encode()
            for _, settled in runs
            for offset in settled.refused_offsets
        }
        kept = sum((settled.kept_by_hour for _, settled in runs), Counter[int]())
        fewer = [hour for hour, count in piece.entry.kept_by_hour.items() if count > kept[hour]]
        rows = {
            key: cells
            for ranges in key_ranges(fewer if refused else ())
            for start, stop in ranges
            for key, cells in self._hbase.scan(self._clicks, start, stop, (_SOURCE, _DISPLACED, _TIME))
            if cells[_SOURCE] in refused
        }
        if not rows:
            return None
        # Touched before they go: a run killed in between finds no trace of them.
        self._states.touch(
            hour for cells in rows.values() for hour in touched_by(int(cells[_TIME])) if hour >= self._rules.first_hour
        )
        families = tuple(family.encode() for family in CLICKS.families)
        self._hbase.mutate(self._clicks, (RowMutation(key, {}, families) for key in rows))
        self.report.refused_rows += len(rows)
        return {offset for cells in rows.values() for offset in _displaced(cells)}

    def _book(self, partition: int, piece: Piece, runs: list[tuple[int, Settled]]) -> None:
        read = sum(settled.read for _, settled in runs)
        for _, settled in runs:
            self.report.read += settled.read
            self.report.kept += settled.kept_by_hour.total()
            self.report.duplicates += settled.duplicates
            self.report.dead_lettered += settled.dead_lettered_by_hour.total()
            self.report.touched |= settled.touched
            self._latest[partition] = max(self._latest.get(partition, -1), settled.latest_ms)
        self.report.ranges.setdefault(partition, []).append((piece.first, piece.end))
        if piece.entry is not None:
            is_lost = piece.entry.run_id == self._rules.run_id  # put together by this run: its count is a guess
            if read < piece.entry.read and not is_lost:
                # Compaction or retention took records since: the books keep what was counted when they were there.
                self.report.unavailable += piece.entry.read - read
                return
            self._replaced.append(piece.entry)
        self._stale_letters += self._no_letters_now(
            partition, piece, {o for _, settled in runs for o in settled.refused_offsets}
        )
        at = piece.first
        for first, settled in runs:
            if first > at:
                self._book_gap(partition, at, first)
            at = first + settled.read
            entry = self._entry(partition, first, at, READ)
            self._written.append(
                replace(
                    entry,
                    read=settled.read,
                    duplicates=settled.duplicates,
                    kept_by_hour=dict(settled.kept_by_hour),
                    dead_lettered_by_hour=dict(settled.dead_lettered_by_hour),
                    late_by_hour=dict(settled.late_by_hour),
                )
            )
        if at < piece.end:
            self._book_gap(partition, at, piece.end)

    def _book_gap(self, partition: int, first: int, end: int) -> None:
        self._written.append(self._entry(partition, first, end, GAP))
        self.report.missing += end - first

    def _entry(self, partition: int, first: int, end: int, kind: str) -> Entry:
        return Entry(self._rules.topic_id, partition, first, end, kind, run_id=self._rules.run_id)

    def _stored(self, keys: list[bytes]) -> Mapping[bytes, Mapping[bytes, bytes]]:
        return self._hbase.get(self._clicks, keys, (_SOURCE, _DISPLACED))

    def _no_letters_now(self, partition: int, piece: Piece, refused: set[int]) -> list[bytes]:
        """Keys of dead letters of a range that an earlier reading left and that are refused no more."""
        bounds = [letter_key(self._rules.topic_id, partition, at) for at in (piece.first, piece.end)]
        letters = self._hbase.scan(self._letters, bounds[0], bounds[1], (b"letter:reason",))
        return [key for key, _ in letters if int(key.rsplit(b"|", 1)[1]) not in refused]

    def _commit(self, commits: Mapping[int, int]) -> None:
        """Commit where the group's offset is still what it was when the run began."""
        now = self._topic.committed(commits)
        self.report.committed = {p: at for p, at in commits.items() if now[p] == self._committed[p]}
        self._topic.commit(self.report.committed)


def _stretches(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Cut messages where an offset is missing between two of them."""
    start = 0
    for at in range(1, len(messages)):
        if messages[at].offset != messages[at - 1].offset + 1:
            yield messages[start:at]
            start = at
    yield messages[start:]
