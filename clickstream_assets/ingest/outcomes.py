"""What becomes of messages: rows, duplicates, dead letters (docs/architecture.md). Plain values; writes nothing.

Two steps, so that they can run in different processes: :func:`decoded` needs the message alone, :func:`outcome` the
rows that there are. Between them messages may be brought together by row key.
"""

from collections import defaultdict
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

from clickstream_assets.books.hour_states import touched_by
from clickstream_assets.books.ledger_entries import LATE_AFTER_MS, HourCounts
from clickstream_assets.books.log_cuts import Generations, log_id, named
from clickstream_assets.books.row_keys import derived_key, event_key
from clickstream_assets.books.table_schemas import CLICKS
from clickstream_assets.events.click_event import CLICK_TYPES, ClickEvent, decode
from clickstream_assets.events.hours import HOUR_MS, hour_of_letter
from clickstream_assets.events.origins import ORIGINS, origin_of
from clickstream_assets.events.refusals import Refused
from clickstream_assets.events.urls import DEFAULT_RULES, UrlRules
from clickstream_assets.stores.hbase.client import RowMutation
from clickstream_assets.stores.kafka.client import Record

SOURCE = CLICKS.columns["source"].key
CORRECTED_MS = HOUR_MS
"""A clock that was off by more than that is worth counting."""
_TEXTS = ("url", "event_type", "user_id", "anonymous_id", "event_id", "ip", "user_agent", "referrer")
_TEXT_CELLS, _texts = [CLICKS.columns[name].key for name in _TEXTS], attrgetter(*_TEXTS)
_ORIGIN_CELLS = [CLICKS.columns[name].key for name in ORIGINS]
_USUAL_BYTES, _DETAIL_CHARACTERS = 1_000, 1_000


@dataclass(frozen=True, slots=True)
class Rules:
    """What decoding and booking depend on besides the message."""

    topic: str
    topic_id: str
    first_hour_ms: int
    run_id: str
    urls: UrlRules = DEFAULT_RULES
    generations: Generations = field(default_factory=Generations)
    max_age_ms: int = 0
    """By how much an event may be before its record; 0: by any time."""

    def log_id(self, partition: int, offset: int) -> str:
        """What a message is known by, with its partition and offset: the topic id, unless the log was cut back."""
        if not self.generations.starts:
            return self.topic_id
        return log_id(self.topic_id, self.generations.at(partition, offset))

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
    gapless_from: int
    """The first of the offsets without a gap that the message is the last of: what is counted, is by that."""
    key: bytes
    """Of its row, or of its dead letter."""
    event: ClickEvent | None
    refused: Refused | None = None
    value: bytes | None = None


def size_of(message: Decoded) -> int:
    """About how many bytes putting it sends: what may be large of it, and room for the rest."""
    large = message.value if message.event is None else message.event.properties
    return _USUAL_BYTES + len(large or b"")


@dataclass(slots=True)
class Tally:
    """What became of some messages of one partition, in numbers."""

    read: int = 0
    new_rows: int = 0
    """Rows put: not those that were there from these very offsets."""
    hours: defaultdict[int, HourCounts] = field(default_factory=lambda: defaultdict(HourCounts))
    """By hour, what of them is booked in it."""
    touched: set[int] = field(default_factory=set)
    """Hours whose metrics these rows can change."""
    latest_ms: int = -1
    """The latest event time kept; -1 without any."""

    def add(self, other: "Tally") -> None:
        self.read += other.read
        self.new_rows += other.new_rows
        for hour, counts in other.hours.items():
            self.hours[hour] += counts
        self.touched |= other.touched
        self.latest_ms = max(self.latest_ms, other.latest_ms)


def letter_key(topic_id: str, partition: int, offset: int) -> bytes:
    return f"{topic_id}|{partition:06d}|{offset:020d}".encode()


def decoded(messages: Iterable[Record], rules: Rules, before: Decoded | None = None) -> list[Decoded]:
    """Messages of one partition, in order, with what is in them; ``before`` is the one read just before the first."""
    results: list[Decoded] = []
    gapless_from, following = (-1, -1) if before is None else (before.gapless_from, before.offset + 1)
    for message in messages:
        partition, offset, time_ms, value, refusal = message
        if offset != following:
            gapless_from = offset
        following = offset + 1
        try:
            if refusal is not None:
                raise Refused("too_large", refusal)
            event = decode(value, time_ms, rules.first_hour_ms, rules.urls, rules.max_age_ms)
        except Refused as refused:
            key = letter_key(rules.log_id(partition, offset), partition, offset)
            # Its traceback leads to this frame, and so to the list that it is put in: a cycle that held all of them.
            without = refused.with_traceback(None)
            results.append(Decoded(partition, offset, time_ms, gapless_from, key, None, without, value))
            continue
        if event.event_id is not None:
            key = event_key(event.hour, event.event_id, event.user_key, event.event_type, event.url)
        else:
            log = rules.log_id(partition, offset)
            # Without a time, one topic's message at an offset is told from that of another of its name by the id.
            topic = named(rules.topic, log) if time_ms >= 0 else log
            key = derived_key(event.hour, topic, partition, offset, time_ms)
        results.append(Decoded(partition, offset, time_ms, gapless_from, key, event))
    return results


def outcome(
    message: Decoded, tally: Tally, sources: MutableMapping[bytes, bytes], rules: Rules
) -> tuple[RowMutation | None, bool]:
    """Count in ``tally`` what becomes of one message; messages of a partition come in order of offset.

    Returns the row, or dead letter, to put, and whether the message is kept: its row is there, and comes from it.

    ``sources`` has the cell ``source`` of the row of its key, if there is one, or gets that of the row it becomes. The
    row that is there stays: one that came from this very offset is kept, any other makes the message a duplicate.
    """
    tally.read += 1
    event, key = message.event, message.key
    if event is None:
        tally.hours[rules.record_hour(message.record_time_ms)].dead_lettered += 1
        return _letter(message, rules), False
    change = None
    stored, own = sources.get(key), _source(message, rules)
    if stored is None:
        sources[key] = own
        change = RowMutation(key, _event_cells(message, event, own))
        tally.new_rows += 1
    elif stored != own:
        tally.hours[rules.record_hour(message.record_time_ms)].duplicates += 1
        return None, False
    time_ms = event.time_ms
    hour = time_ms // HOUR_MS
    counts = tally.hours[hour]
    counts.kept += 1
    if message.record_time_ms > (hour + 1) * HOUR_MS + LATE_AFTER_MS:
        counts.late += 1
    if event.event_type not in CLICK_TYPES:
        counts.other_types += 1
    if abs(event.client_time_ms - time_ms) > CORRECTED_MS:
        counts.corrected += 1
    tally.latest_ms = max(tally.latest_ms, time_ms)
    for touched in touched_by(time_ms):
        if touched >= rules.first_hour:
            tally.touched.add(touched)
    return change, True


def _event_cells(message: Decoded, event: ClickEvent, source: bytes) -> dict[bytes, bytes]:
    cells = {
        SOURCE: source,
        b"click_data:record_time": b"%d" % message.record_time_ms,
        b"click_data:timestamp": b"%d" % event.time_ms,
    }
    for cell, text in zip(_TEXT_CELLS, _texts(event), strict=True):
        if text is not None:
            cells[cell] = text.encode()
    if event.url_as_sent != event.url:
        cells[b"request_data:url_as_sent"] = event.url_as_sent.encode()
    for cell, text in zip(_ORIGIN_CELLS, origin_of(event.referrer, event.url_as_sent), strict=True):
        if text is not None:
            cells[cell] = text.encode()
    numbers = (
        (b"click_data:engagement_time_ms", event.engagement_time_ms),
        (b"click_data:client_timestamp", None if event.client_time_ms == event.time_ms else event.client_time_ms),
        (b"click_data:sent_at", event.sent_at_ms),
        (b"click_data:received_at", event.received_at_ms),
    )
    for cell, number in numbers:
        if number is not None:
            cells[cell] = b"%d" % as_long(number)
    if event.properties is not None:
        cells[b"click_data:properties"] = event.properties
    return cells


def _source(message: Decoded, rules: Rules) -> bytes:
    return f"{rules.log_id(message.partition, message.offset)}/{message.partition}/{message.offset}".encode()


def as_long(value: int) -> int:
    """The nearest integer of 64 bits: a wild clock's reading is stored, and no reader chokes on it."""
    return max(-(1 << 63), min(value, (1 << 63) - 1))


def _letter(message: Decoded, rules: Rules) -> RowMutation:
    refused = message.refused
    assert refused is not None
    cells = {
        b"letter:record_time": b"%d" % message.record_time_ms,
        b"letter:reason": refused.reason.encode(),
        b"letter:detail": refused.detail[:_DETAIL_CHARACTERS].encode("utf-8", "replace"),
        b"letter:run_id": rules.run_id.encode(),
    }
    if message.value is not None:
        cells[b"letter:value"] = message.value
    return RowMutation(message.key, cells)
