"""Kafka's batches of records, decompressed as a stream, so that only a part of a batch is in memory.

kafka-python decompresses a whole batch before it gives the first record. :class:`WholeBatches`, put in the place of its
own class, gives the batches as they lie in Kafka instead (committed ones with a right checksum), and
:func:`messages_of` opens them record by record. A batch may grow to :data:`MOST_OPENED_BYTES`. Records beyond, and
batches that cannot be opened, are given as messages without bytes that say why; the header tells their offsets. The
result depends on the bytes alone, so a second reading gives the same.
"""

from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

from kafka.consumer.fetcher import Fetcher
from kafka.errors import UnsupportedCodecError
from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import decode_varint

from clickstream_assets.stores.kafka.decompression import GZIP, LZ4, SNAPPY, ZSTD, Beyond, Unopenable, opened

MOST_OPENED_BYTES = 256 << 20
"""Of a compressed batch that grows beyond, the records that lie behind are refused."""
MOST_KEPT_BYTES = 4 << 20
"""Largest value that is kept. Beyond 1 MiB a message is refused, and its bytes go to the dead letters up to this."""
_NAMES = {GZIP: "gzip", SNAPPY: "snappy", LZ4: "lz4", ZSTD: "zstd"}
_SMALL_BYTES = 64 << 10
"""A record up to this size is parsed in one piece."""
_REACH = _SMALL_BYTES + 10
"""A small record with its length before it."""


class Record(NamedTuple):
    """A Kafka record: where it lies, its timestamp in epoch milliseconds, its bytes (None for a tombstone).

    ``refusal`` says why a record has no bytes: it is too large, or its batch cannot be opened.
    """

    partition: int
    offset: int
    timestamp_ms: int
    value: bytes | None
    refusal: str | None = None


class Batch(DefaultRecordBatch):
    """A batch that pretends to be one record, at its last offset, so that kafka-python goes on reading behind it."""

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
    """The attributes that kafka-python reads of a record, answered for a batch."""

    key, checksum = None, None
    headers: ClassVar[list[Any]] = []
    __slots__ = ("offset", "size_in_bytes", "timestamp", "timestamp_type", "value")

    def __init__(self, batch: Batch) -> None:
        self.value, self.offset, self.size_in_bytes = batch, batch.last_offset, len(batch)
        self.timestamp, self.timestamp_type = batch.max_timestamp, batch.timestamp_type

    def validate_crc(self) -> bool:
        return True  # the batch's was


class _Batches(MemoryRecords):
    """The batches of a fetch. Markers of transactions and batches in formats from before Kafka 0.11 are left to
    kafka-python."""

    __slots__ = ()

    def next_batch(self, *arguments: Any) -> Any:
        batch = super().next_batch(*arguments)
        if isinstance(batch, DefaultRecordBatch) and not batch.is_control_batch:
            batch.__class__ = Batch
        return batch


class WholeBatches(Fetcher.PartitionRecords):
    """``Fetcher.PartitionRecords`` with records whose value is a :class:`Batch`."""

    def _unpack_records(self, tp: Any, records: MemoryRecords, *deserializers: Any) -> Iterator[Any]:
        return super()._unpack_records(tp, _Batches(records._buffer), *deserializers)


def messages_of(batch: Batch, partition: int, first: int, most_kept: int = MOST_KEPT_BYTES) -> Iterator[Record]:
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
        yield Record(partition, offset, batch.max_timestamp, None, refusal)


def _records(batch: Batch, partition: int, most_kept: int) -> Iterator[Record]:
    """The records of a batch; raises Beyond, Unopenable, IndexError or ValueError where it cannot be read further."""
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
        yield Record(partition, base + delta, time_ms if is_append_time else first_ms + delta_ms, value, refusal)


def _too_large(size: int, most_kept: int) -> str:
    return f"{size} bytes, which are not kept beyond {most_kept}"


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of variable length, and the place behind it. Most have one or two bytes, decoded here for speed."""
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
    """The decompressed part of a batch that is being parsed."""

    def __init__(self, batch: Batch) -> None:
        codec, body = batch.compression_type, batch.body
        self._parts = opened(codec, body, MOST_OPENED_BYTES) if codec else iter((bytes(body),))
        self.data, self.ended = b"", False
        self.fault: Exception | None = None
        """Why decompression stopped early; None if it reached the batch's end."""

    def reach(self, at: int, size: int) -> tuple[bytes, int]:
        """Make ``size`` bytes from ``at`` on available, or all that are left: the data, and where they begin in it."""
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
        """A large record, parsed piece by piece. Raises IndexError where the batch ends within it.

        Returns its time and offset relative to the batch's first, its value, why there is none, the place behind it.
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
        """Skip ``size`` bytes from ``at`` on and free them; returns the place. IndexError if the batch ends before."""
        at += size
        while at > len(self.data):
            part = self._next()
            if not part:
                raise IndexError("the batch ends within a record")
            at -= len(self.data)
            self.data = part
        return at
