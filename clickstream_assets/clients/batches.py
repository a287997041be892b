"""Kafka's batches of records, opened as a stream: what is held is a part of a batch, not what all of it grows to.

kafka-python hands out records, and opens their batch at once for it. :class:`WholeBatches`, put in the place of its own
class, hands out batches (those that are committed, whose checksum is right) as they lie in Kafka, and
:func:`messages_of` opens them one record at a time. A batch may open to :data:`MOST_OPENED_BYTES`; what lies behind,
and what cannot be opened at all, is known by the batch's header alone: its offsets are given with why they were not
read. The same bytes give the same, whenever they are read.
"""

from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

from kafka.consumer.fetcher import Fetcher
from kafka.errors import UnsupportedCodecError
from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import decode_varint

from clickstream_assets.clients.decompression import GZIP, LZ4, SNAPPY, ZSTD, Beyond, Unopenable, opened

MOST_OPENED_BYTES = 256 << 20
"""What a compressed batch may open to: as much again is refused by its header."""
MOST_KEPT_BYTES = 4 << 20
"""Of a record's value. The contract takes 1 MiB; a larger one is refused, and its bytes are kept up to this."""
_NAMES = {GZIP: "gzip", SNAPPY: "snappy", LZ4: "lz4", ZSTD: "zstd"}
_SMALL_BYTES = 64 << 10
"""A record up to this is taken apart in one piece."""
_REACH = _SMALL_BYTES + 10
"""A small record with its length before it."""


class Message(NamedTuple):
    """A Kafka record: where it lies, its timestamp in epoch milliseconds, its bytes (None for a tombstone).

    ``refusal`` says in words why the bytes of a record that is too large are not there.
    """

    partition: int
    offset: int
    timestamp_ms: int
    value: bytes | None
    refusal: str | None = None


class Batch(DefaultRecordBatch):
    """A batch that gives itself for a record, unopened; it lies at its last offset, so that reading goes on behind."""

    __slots__ = ()

    def __iter__(self) -> "Iterator[_Unopened]":
        yield _Unopened(self)

    def __len__(self) -> int:
        """Its bytes in Kafka."""
        return int(self.size_in_bytes)

    @property
    def body(self) -> memoryview:
        """Its records as they lie in Kafka."""
        return memoryview(self._buffer)[self.HEADER_STRUCT.size :]


class _Unopened:
    """What kafka-python wants to know of a record, answered for a batch."""

    key, checksum = None, None
    headers: ClassVar[list[Any]] = []
    __slots__ = ("offset", "size_in_bytes", "timestamp", "timestamp_type", "value")

    def __init__(self, batch: Batch) -> None:
        self.value, self.offset, self.size_in_bytes = batch, batch.last_offset, len(batch)
        self.timestamp, self.timestamp_type = batch.max_timestamp, batch.timestamp_type

    def validate_crc(self) -> bool:
        return True  # the batch's was


class _Batches(MemoryRecords):
    """The batches of a fetch. Markers of transactions, which are for kafka-python, and the formats of before Kafka
    0.11, whose batches it opens at once, stay its own."""

    __slots__ = ()

    def next_batch(self, *arguments: Any) -> Any:
        batch = super().next_batch(*arguments)
        if isinstance(batch, DefaultRecordBatch) and not batch.is_control_batch:
            batch.__class__ = Batch
        return batch


class WholeBatches(Fetcher.PartitionRecords):
    """In the place of ``Fetcher.PartitionRecords``: records whose value is a :class:`Batch`."""

    def _unpack_records(self, tp: Any, records: MemoryRecords, *deserializers: Any) -> Iterator[Any]:
        return super()._unpack_records(tp, _Batches(records._buffer), *deserializers)


def messages_of(batch: Batch, partition: int, first: int, most_kept: int = MOST_KEPT_BYTES) -> Iterator[Message]:
    """The records of a batch from offset ``first`` on, in order. Values beyond ``most_kept`` bytes are not kept."""
    codec, following, count = batch.compression_type, batch.base_offset, 0
    if codec and codec not in _NAMES:
        raise UnsupportedCodecError(f"batch at offset {batch.base_offset}: unknown compression {codec}")
    try:
        for message in _records(batch, partition, most_kept):
            count += 1
            following = message.offset + 1
            if message.offset >= first:
                yield message
        return
    except Beyond:
        why = f"opens to more than {MOST_OPENED_BYTES} bytes"
    except (Unopenable, IndexError, ValueError) as error:
        why = f"can't be opened: {error}"
    records, offsets = batch.records_count - count, batch.next_offset - following
    refusal = f"not read: its {_NAMES.get(codec, 'uncompressed')} batch of {len(batch)} bytes {why}"
    if records != offsets:  # compacted
        refusal += f"; of offsets {following} to {batch.last_offset} {records} hold a record"
    for offset in range(max(first, following), batch.next_offset):
        yield Message(partition, offset, batch.max_timestamp, None, refusal)


def _records(batch: Batch, partition: int, most_kept: int) -> Iterator[Message]:
    """All records of a batch that can be opened; raises what ends the opening before its last record."""
    base, time_ms, first_ms = batch.base_offset, batch.max_timestamp, batch.first_timestamp
    is_append_time = batch.timestamp_type == batch.LOG_APPEND_TIME
    opened_bytes = _OpenedBytes(batch)
    data, at = opened_bytes.data, 0
    for _ in range(batch.records_count):
        if len(data) - at < _REACH and not opened_bytes.ended:
            data, at = opened_bytes.reach(at, _REACH)
        try:
            length, at = _varint(data, at)
            if length > _SMALL_BYTES:
                delta_ms, delta, value, refusal, at = opened_bytes.large_record(at, length, most_kept)
                data = opened_bytes.data
            else:
                stop = at + length
                delta_ms, at = _varint(data, at + 1)  # behind the record's attributes, which say nothing
                delta, at = _varint(data, at)
                key_bytes, at = _varint(data, at)
                size, at = _varint(data, at + key_bytes if key_bytes > 0 else at)
                value, refusal = (None, None) if size < 0 else (data[at : at + size], None)
                if size > most_kept:
                    value, refusal = None, _too_large(size, most_kept)
                if not at + max(size, 0) <= stop <= len(data):
                    raise IndexError("a record ends outside of itself")
                at = stop  # behind headers, which nobody asks for
        except IndexError as error:
            raise opened_bytes.fault or Unopenable(f"{error}") from error
        yield Message(partition, base + delta, time_ms if is_append_time else first_ms + delta_ms, value, refusal)


def _too_large(size: int, most_kept: int) -> str:
    return f"{size} bytes, which are not kept beyond {most_kept}"


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number, and the place behind it. Most are of one or two bytes."""
    low = data[at]
    if low < 0x80:
        return (low >> 1) ^ -(low & 1), at + 1
    high = data[at + 1]
    if high < 0x80:
        low += (high - 1) << 7
        return (low >> 1) ^ -(low & 1), at + 2
    number, at = decode_varint(data, at)
    return int(number), at


class _OpenedBytes:
    """The opened part of a batch that is being looked at."""

    def __init__(self, batch: Batch) -> None:
        codec, body = batch.compression_type, batch.body
        self._parts = opened(codec, body, MOST_OPENED_BYTES) if codec else iter((bytes(body),))
        self.data, self.ended = b"", False
        self.fault: Exception | None = None
        """Why there is no more; None at the batch's end."""

    def reach(self, at: int, size: int) -> tuple[bytes, int]:
        """``size`` bytes from ``at`` on, or as many as there are: the data that has them, and where they begin."""
        if len(self.data) - at >= size:
            return self.data, at
        parts = [self.data[at:]]
        reached = len(parts[0])
        while reached < size and (part := self._next()):
            parts.append(part)
            reached += len(part)
        self.data = b"".join(parts)
        return self.data, 0

    def _next(self) -> bytes:
        try:
            part = next(self._parts, b"")
        except (Beyond, Unopenable) as error:
            self.fault, part = error, b""
        self.ended = not part
        return part

    def large_record(self, at: int, length: int, most_kept: int) -> tuple[int, int, bytes | None, str | None, int]:
        """A record by parts: its time and offset behind the batch's first, value or why not, the place behind it.

        Raises IndexError where the batch ends within.
        """
        data, at = self.reach(at, _REACH)
        begin = at
        delta_ms, at = _varint(data, at + 1)
        delta, at = _varint(data, at)
        key_bytes, at = _varint(data, at)
        passed = at - begin + max(key_bytes, 0)
        data, at = self.reach(self._pass(at, max(key_bytes, 0)), _REACH)
        begin = at
        size, at = _varint(data, at)
        passed += at - begin + max(size, 0)
        if passed > length:
            raise IndexError("a record ends outside of itself")
        value, refusal = None, None
        if size > most_kept:
            at, refusal = self._pass(at, size), _too_large(size, most_kept)
        elif size >= 0:
            data, at = self.reach(at, size)
            value = data[at : at + size]
            at = self._pass(at, size)
        return delta_ms, delta, value, refusal, self._pass(at, length - passed)

    def _pass(self, at: int, size: int) -> int:
        """The place ``size`` bytes behind ``at``, what lies between let go of; raises IndexError if it ends before."""
        at += size
        while at > len(self.data):
            part = self._next()
            if not part:
                raise IndexError("the batch ends within a record")
            at -= len(self.data)
            self.data = part
        return at
