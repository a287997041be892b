"""What becomes of messages: rows, duplicates, dead letters (design 2 and 3). Plain values; writes nothing.

Two steps, so that they can run in different processes: :func:`decoded` needs the message alone, :func:`settle_decoded`
the rows that there are. Between them messages may be brought together by row key.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from clickstream_assets.clients.hbase import RowMutation
from clickstream_assets.clients.kafka import Message
from clickstream_assets.domain.click_event import CLICK_TYPES, ClickEvent, Refused, decode
from clickstream_assets.domain.hours import HOUR_MS, hour_of_letter
from clickstream_assets.domain.ledger import LATE_AFTER_MS
from clickstream_assets.domain.row_keys import derived_key, event_key
from clickstream_assets.domain.stale_hours import touched_by
from clickstream_assets.domain.table_schemas import CLICKS

SOURCE, DISPLACED = CLICKS.columns["source"].key, CLICKS.columns["displaced"].key
CORRECTED_MS = HOUR_MS
"""A clock that was off by more than that is worth counting."""
_ALL_CELLS = frozenset(column.key for column in CLICKS.columns.values())
_TEXT_CELLS = tuple(
    CLICKS.columns[name].key
    for name in ("url", "event_type", "user_id", "anonymous_id", "event_id", "ip", "user_agent", "referrer")
)

Row = Mapping[bytes, bytes]
"""The cells ``source`` and ``displaced`` of a stored row, perhaps more."""


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
        return hour_of_letter(record_time_ms, self.first_hour)


class Decoded(NamedTuple):
    """A message that was looked at: an event with its row key, or why it is refused and its bytes."""

    partition: int
    offset: int
    record_time_ms: int
    stretch: int
    """The first offset of the stretch without a gap that the message is read in: what is counted, is by stretch."""
    key: bytes
    """Of its row, or of its dead letter."""
    event: ClickEvent | None
    refused: Refused | None = None
    value: bytes | None = None


@dataclass(slots=True)
class Tally:
    """What became of some messages of one partition, in numbers."""

    read: int = 0
    new_rows: int = 0
    """Rows put: not those that were there from these very offsets."""
    duplicates: int = 0
    kept_by_hour: Counter[int] = field(default_factory=Counter)
    dead_lettered_by_hour: Counter[int] = field(default_factory=Counter)
    late_by_hour: Counter[int] = field(default_factory=Counter)
    other_types_by_hour: Counter[int] = field(default_factory=Counter)
    """Kept events of no click type."""
    corrected_by_hour: Counter[int] = field(default_factory=Counter)
    """Kept events whose clock was off by over :data:`CORRECTED_MS`."""
    duplicates_by_hour: Counter[int] = field(default_factory=Counter)
    """By the hour of their Kafka record: that is when a producer sent them once more."""
    touched: set[int] = field(default_factory=set)
    displaced: set[int] = field(default_factory=set)
    """Offsets whose rows now carry an earlier one: the entries that booked them have to be read again."""
    latest_ms: int = -1
    """The latest event time kept; -1 without any."""

    def add(self, other: "Tally") -> None:
        """Add the counts of ``other``."""
        self.read += other.read
        self.new_rows += other.new_rows
        self.duplicates += other.duplicates
        self.kept_by_hour += other.kept_by_hour
        self.dead_lettered_by_hour += other.dead_lettered_by_hour
        self.late_by_hour += other.late_by_hour
        self.other_types_by_hour += other.other_types_by_hour
        self.corrected_by_hour += other.corrected_by_hour
        self.duplicates_by_hour += other.duplicates_by_hour
        self.touched |= other.touched
        self.displaced |= other.displaced
        self.latest_ms = max(self.latest_ms, other.latest_ms)


@dataclass(slots=True)
class Settled(Tally):
    """The same, with what is to be put: rows first, then letters."""

    rows: list[RowMutation] = field(default_factory=list)
    letters: list[RowMutation] = field(default_factory=list)


def letter_key(topic_id: str, partition: int, offset: int) -> bytes:
    """Row key of a dead letter."""
    return f"{topic_id}|{partition:06d}|{offset:020d}".encode()


def settle(
    messages: Sequence[Message],
    rules: Rules,
    stored: Callable[[list[bytes]], Mapping[bytes, Row]],
    makes_way: Callable[[int], bool] = lambda offset: True,
) -> Settled:
    """Decide what becomes of messages of one partition, in order of offset.

    ``stored`` looks up the ``source`` and ``displaced`` cells of the rows that exist. A row that came from this
    very offset is kept. One from a later offset of this partition makes way, so that reading in any order ends
    in the same rows, if ``makes_way`` of that offset; any other makes the message a duplicate.
    """
    found, settled = decoded(messages, rules), Settled()
    there = dict(stored([one.key for one in found if one.event is not None]))
    for one in found:
        change = settle_decoded(one, settled, there, rules, makes_way)
        if change is not None:
            (settled.letters if one.event is None else settled.rows).append(change)
    return settled


def decoded(messages: Iterable[Message], rules: Rules, before: Decoded | None = None) -> list[Decoded]:
    """Messages of one partition, in order, with what is in them; ``before`` is the one read just before the first."""
    found: list[Decoded] = []
    stretch, following = (-1, -1) if before is None else (before.stretch, before.offset + 1)
    for message in messages:
        partition, offset, time_ms, value = message
        if offset != following:
            stretch = offset
        following = offset + 1
        try:
            event = decode(value, time_ms, rules.first_hour_ms)
        except Refused as refused:
            key = letter_key(rules.topic_id, partition, offset)
            # Its traceback leads to this frame, and so to the list that it is put in: a cycle that held all of them.
            without = refused.with_traceback(None)
            found.append(Decoded(partition, offset, time_ms, stretch, key, None, without, value))
            continue
        if event.event_id is not None:
            key = event_key(event.time_ms // HOUR_MS, event.event_id)
        else:
            key = derived_key(event.time_ms // HOUR_MS, rules.topic, partition, offset, time_ms)
        found.append(Decoded(partition, offset, time_ms, stretch, key, event))
    return found


def settle_decoded(
    message: Decoded,
    settled: Tally,
    there: MutableMapping[bytes, Row],
    rules: Rules,
    makes_way: Callable[[int], bool] = lambda offset: True,
) -> RowMutation | None:
    """Count in ``settled`` what becomes of one message; returns the row, or dead letter, to put. See :func:`settle`.

    ``there`` holds the row of its key, if there is one, and gets the one that the message becomes.
    """
    settled.read += 1
    change = None
    event, key = message.event, message.key
    if event is None:
        settled.dead_lettered_by_hour[rules.record_hour(message.record_time_ms)] += 1
        return _letter(message, rules)
    row = there.get(key)
    if row is None:
        cells = _event_cells(message, event, rules)
        there[key] = {SOURCE: cells[SOURCE]}
        change = RowMutation(key, cells)
        settled.new_rows += 1
    elif row[SOURCE] == _source(message, rules):
        settled.displaced.update(displaced_by(row))
    else:
        topic_id, partition, text = row[SOURCE].decode().split("/")
        offset = int(text)
        elsewhere = int(partition) != message.partition or topic_id != rules.topic_id
        if elsewhere or offset < message.offset or not makes_way(offset):
            settled.duplicates += 1
            settled.duplicates_by_hour[rules.record_hour(message.record_time_ms)] += 1
            return None
        displaced = [*displaced_by(row), offset]
        cells = _event_cells(message, event, rules)
        # The row remembers what it displaced until the end, so that a run killed before it has booked this
        # leaves a trace for the next one to make good.
        cells[DISPLACED] = ",".join(map(str, displaced)).encode()
        there[key] = {SOURCE: cells[SOURCE], DISPLACED: cells[DISPLACED]}
        change = RowMutation(key, cells, tuple(_ALL_CELLS - cells.keys()))
        settled.new_rows += 1
        settled.displaced.update(displaced)
    time_ms = event.time_ms
    hour = time_ms // HOUR_MS
    settled.kept_by_hour[hour] += 1
    settled.latest_ms = max(settled.latest_ms, time_ms)
    if message.record_time_ms > (hour + 1) * HOUR_MS + LATE_AFTER_MS:
        settled.late_by_hour[hour] += 1
    if event.event_type not in CLICK_TYPES:
        settled.other_types_by_hour[hour] += 1
    if abs(event.client_time_ms - time_ms) > CORRECTED_MS:
        settled.corrected_by_hour[hour] += 1
    for touched in touched_by(time_ms):
        if touched >= rules.first_hour:
            settled.touched.add(touched)
    return change


def displaced_by(row: Row) -> list[int]:
    """The offsets that a row displaced, in that order."""
    return [int(text) for text in row[DISPLACED].decode().split(",")] if DISPLACED in row else []


def _event_cells(message: Decoded, event: ClickEvent, rules: Rules) -> dict[bytes, bytes]:
    (
        event_id,
        event_type,
        time_ms,
        url,
        user_id,
        anonymous_id,
        engagement_time_ms,
        ip,
        user_agent,
        referrer,
        client_time_ms,
        sent_at_ms,
        url_as_sent,
        properties,
    ) = event
    cells = {
        SOURCE: _source(message, rules),
        b"click_data:record_time": b"%d" % message.record_time_ms,
        b"click_data:timestamp": b"%d" % time_ms,
    }
    texts = url, event_type, user_id, anonymous_id, event_id, ip, user_agent, referrer
    for cell, text in zip(_TEXT_CELLS, texts, strict=True):
        if text is not None:
            cells[cell] = text.encode()
    if engagement_time_ms is not None:
        cells[b"click_data:engagement_time_ms"] = b"%d" % as_long(engagement_time_ms)
    if url_as_sent != url:
        cells[b"click_data:url_as_sent"] = url_as_sent.encode()
    if client_time_ms != time_ms:
        cells[b"click_data:client_timestamp"] = b"%d" % as_long(client_time_ms)
    if sent_at_ms is not None:
        cells[b"click_data:sent_at"] = b"%d" % as_long(sent_at_ms)
    if properties is not None:
        cells[b"click_data:properties"] = properties
    return cells


def _source(message: Decoded, rules: Rules) -> bytes:
    return b"%s%d" % (_source_prefix(rules.topic_id, message.partition), message.offset)


@lru_cache(maxsize=1 << 10)
def _source_prefix(topic_id: str, partition: int) -> bytes:
    return f"{topic_id}/{partition}/".encode()


def as_long(value: int) -> int:
    """The nearest integer of 64 bits: a wild clock's reading is stored, and no reader chokes on it."""
    return max(-(1 << 63), min(value, (1 << 63) - 1))


def _letter(message: Decoded, rules: Rules) -> RowMutation:
    refused = message.refused
    assert refused is not None
    cells = {
        b"letter:record_time": b"%d" % message.record_time_ms,
        b"letter:reason": refused.reason.encode(),
        b"letter:detail": refused.detail.encode("utf-8", "replace"),
        b"letter:run_id": rules.run_id.encode(),
    }
    if message.value is not None:
        cells[b"letter:value"] = message.value
    return RowMutation(message.key, cells)
