"""At which offset the records of a time begin, by looks at single batches (docs/decisions/0015-bounded-by-bytes.md).

Kafka's own search by time (ListOffsets) decompresses a whole batch in the broker's heap, however large it gets. Here a
*look* fetches one batch, whose header tells its offsets and times. Only a batch in which the searched offset lies is
opened, as a stream.
"""

from bisect import bisect_right
from collections.abc import Callable, Generator, Iterator, Mapping
from itertools import islice
from time import monotonic
from typing import Any, NamedTuple

from kafka import TopicPartition
from kafka.errors import OffsetOutOfRangeError

from clickstream_assets.stores.kafka.batches import Batch, Record, messages_of

LOOK_BYTES = 64 << 10
"""Fetched of a partition: a few batches, or a larger one. With less, Kafka answers for one partition at a time."""
MOST_ROUNDS = 64
"""Looks at a partition for one search. Halving its offsets takes fewer."""
_LOOK_SECONDS = 1
_POLL_MS = 20
_OPENED_RECORDS = 20_000
"""At most so many records of a batch are read to find a boundary; then the boundary is put behind them."""
_OPENING_SECONDS = 10
"""At most so long a client reads within batches; after that, a boundary within a batch is put at the batch's begin."""


class Span(NamedTuple):
    """Offsets of one batch, ``first`` (included) to ``end`` (not), and its times, epoch milliseconds.

    From ``since`` to ``first`` there are no records. If ``first`` is ``end``, there is no batch either.
    """

    since: int
    first: int
    end: int
    first_ms: int = -1
    last_ms: int = -1


Look = Callable[[Mapping[int, int], Mapping[int, int]], Mapping[int, Span]]
"""By partition, the span of the first batch at or behind an offset; without partitions that gave nothing in time."""
Within = Callable[[int, Span, int, int], int]
"""In a partition's span, the first offset whose record is as late as a time, searched from an offset on."""


def boundaries(
    time_ms: int, begins: Mapping[int, int], ends: Mapping[int, int], look: Look, within: Within
) -> dict[int, int]:
    """By partition, the offset at which records of ``time_ms`` or later begin.

    ``begins`` if the first record is as late or nothing is known; ``ends`` if no record is. All partitions are searched
    side by side, in :data:`MOST_ROUNDS` rounds at most.
    """
    searches = {p: _search(time_ms, p, min(begins[p], end), end, within) for p, end in ends.items()}
    answers: dict[int, int] = {}
    spans: Mapping[int, Span | None] = dict.fromkeys(searches)
    while searches:
        asked: dict[int, int] = {}
        for p in list(searches):
            try:
                asked[p] = searches[p].send(spans[p])
            except StopIteration as stop:
                answers[p] = stop.value
                del searches[p]
        seen = look(asked, {p: ends[p] for p in asked}) if asked else {}
        spans = {p: seen.get(p) for p in searches}
    return answers


def _search(time_ms: int, partition: int, begin: int, end: int, within: Within) -> Generator[int, Span | None, int]:
    """Yields an offset to look at and is sent the span seen; returns the boundary.

    Where it looks next depends on what it has seen and on nothing else. So a later time never has an earlier boundary,
    even where record times do not rise.
    """
    low, high, answer, at = begin, end, end, begin
    for _ in range(MOST_ROUNDS):
        if low >= high:
            return answer
        span = yield at
        if span is None:
            return low
        if span.first >= high:
            if at == begin:
                return begin
            high = at
        elif span.first_ms >= time_ms:
            if at == begin:
                return begin
            answer = max(low, span.first)
            high = min(at, answer)
        elif span.last_ms < time_ms:
            low = span.end
        else:
            return min(within(partition, span, time_ms, low), end)
        # After the first record the last: most times searched for lie before the first record or behind the last.
        at = high - 1 if at == begin else (low + high) // 2
    return low


class Looks:
    """Looks at the partitions of a topic, with a consumer of its own, and remembers what it has seen.

    A partition that gave nothing for a second is not looked at again.
    """

    def __init__(self, topic: str, consumer: Callable[[], Any]) -> None:
        self._topic, self._new_consumer = topic, consumer
        self._spans: dict[int, list[Span]] = {}
        self._silent: set[int] = set()
        self._kept: dict[int, list[Any]] = {}
        self._opened: dict[tuple[int, int, int, int], int] = {}
        self._opening_seconds = 0.0

    def look(self, offsets: Mapping[int, int], ends: Mapping[int, int]) -> dict[int, Span]:
        """By partition, the first batch at or behind an offset and before the end; an empty span if there is none.

        Partitions that give nothing in time are left out.
        """
        unseen = {p: at for p, at in offsets.items() if self._seen(p, at, ends[p]) is None}
        unseen = {p: self._past_gaps(p, at) for p, at in unseen.items() if p not in self._silent}
        for p, records in self._fetched(unseen, ends):
            self._kept[p] = [record for record in records if len(record.value or b"") <= LOOK_BYTES]
            at = unseen[p]
            for record in records:
                span = _span(record, at)
                self._remember(p, span)
                at = span.end
        spans = {p: self._seen(p, at, ends[p]) for p, at in offsets.items()}
        self._silent.update(p for p in unseen if spans[p] is None)
        return {p: span for p, span in spans.items() if span is not None}

    def within(self, partition: int, span: Span, time_ms: int, first: int) -> int:
        """The first offset of a batch, from ``first`` on, whose record is as late as ``time_ms``; its end if none is.

        Opens the batch and reads up to :data:`_OPENED_RECORDS` of it.
        """
        question = (partition, span.end, time_ms, first)
        if question not in self._opened:
            at = max(first, span.first)
            for message in self._records(partition, span, at):
                if message.timestamp_ms >= time_ms:
                    at = message.offset
                    break
                at = message.offset + 1
            self._opened[question] = at
        return self._opened[question]

    def times(self, offsets: Mapping[int, int], ends: Mapping[int, int]) -> dict[int, int]:
        """By partition, the time of the first record at or behind an offset, where there is one before the end."""
        times = {}
        for p, span in self.look(offsets, ends).items():
            if span.first >= ends[p]:
                continue
            if offsets[p] <= span.first:
                times[p] = span.first_ms
            else:
                record = next(self._records(p, span, offsets[p]), None)
                times[p] = span.last_ms if record is None else record.timestamp_ms
        return times

    def _records(self, partition: int, span: Span, first: int) -> Iterator[Record]:
        """Records of a batch from ``first`` on; none if Kafka does not give it, or the time for opening is used up."""
        if self._opening_seconds >= _OPENING_SECONDS:
            return
        batch = self._batch(partition, span, first)
        if batch is None:
            return
        began = monotonic()
        try:
            yield from islice(messages_of(batch, partition, first, most_kept=0), _OPENED_RECORDS)
        finally:
            self._opening_seconds += monotonic() - began

    def _batch(self, partition: int, span: Span, first: int) -> Batch | None:
        """The batch of a span: kept from the latest look, or fetched again."""
        kept = [record for record in self._kept.get(partition, []) if span.first <= record.offset < span.end]
        if not kept:
            kept = next((records for _, records in self._fetched({partition: first}, {partition: span.end})), [])
        batch = kept[0].value if kept else None
        return batch if isinstance(batch, Batch) else None

    def _seen(self, partition: int, at: int, end: int) -> Span | None:
        past = self._past_gaps(partition, at)
        return Span(at, past, past) if past >= end else self._covering(partition, past)

    def _past_gaps(self, partition: int, at: int) -> int:
        """The first offset from ``at`` on, without stretches that are known to have no records."""
        while (span := self._covering(partition, at)) is not None and span.first == span.end:
            at = span.end
        return at

    def _covering(self, partition: int, at: int) -> Span | None:
        spans = self._spans.get(partition, [])
        index = bisect_right(spans, at, key=lambda span: span.end)
        return spans[index] if index < len(spans) and spans[index].since <= at else None

    def _remember(self, partition: int, span: Span) -> None:
        spans = self._spans.setdefault(partition, [])
        index = bisect_right(spans, span.end - 1, key=lambda seen: seen.end)
        if index < len(spans) and spans[index].end == span.end:
            spans[index] = spans[index]._replace(since=min(span.since, spans[index].since))
        else:
            spans.insert(index, span)

    def _fetched(self, offsets: Mapping[int, int], ends: Mapping[int, int]) -> Iterator[tuple[int, list[Any]]]:
        """By partition, what Kafka gives at or behind an offset: at least one batch.

        Ends after a second, and for a partition without a record before its end at once.
        """
        waiting = {TopicPartition(self._topic, p): at for p, at in offsets.items()}
        if not waiting:
            return
        consumer = self._new_consumer()
        consumer.assign(list(waiting))
        consumer.resume(*waiting)  # assigned as before, they are still paused
        for tp, at in waiting.items():
            consumer.seek(tp, at)
        deadline = monotonic() + _LOOK_SECONDS
        while waiting and monotonic() < deadline:
            try:
                polled = consumer.poll(timeout_ms=_POLL_MS)
            except OffsetOutOfRangeError:
                continue  # retention, or a log cut back, was faster
            for tp, at in list(waiting.items()):
                if records := polled.get(tp):
                    yield tp.partition, records
                elif (position := consumer.position(tp)) >= ends[tp.partition]:
                    self._remember(tp.partition, Span(at, position, position))
                else:
                    continue
                consumer.pause(tp)
                del waiting[tp]


def _span(record: Any, at: int) -> Span:
    """The span of a batch, or of a single record in a format from before Kafka 0.11, seen by a look at an offset."""
    batch = record.value
    if not isinstance(batch, Batch):
        return Span(min(at, record.offset), record.offset, record.offset + 1, record.timestamp, record.timestamp)
    last_ms = batch.max_timestamp
    # Where the broker sets the time, all records of a batch have the same.
    first_ms = last_ms if batch.timestamp_type == batch.LOG_APPEND_TIME else batch.first_timestamp
    return Span(min(at, batch.base_offset), batch.base_offset, batch.next_offset, first_ms, last_ms)
