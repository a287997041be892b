"""Offset ranges read, decoded, decided and put: in this process, or on Spark (docs/decisions/0009).

On Spark, ranges are decoded in parallel, their messages brought together by row key and put in order of offset, so that
one task owns a key from look-up to put. What comes back is counts. A task that runs again finds the rows it has put
before, which carry these very offsets, and counts them as it would have: :attr:`Tally.new_rows` alone is of the last
attempt.
"""

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING

from clickstream_assets.clients.hbase import HBaseClient
from clickstream_assets.clients.kafka import TopicClient
from clickstream_assets.domain.books import Books
from clickstream_assets.domain.click_event import ClickEvent, Refused
from clickstream_assets.domain.offsets import OffsetRange
from clickstream_assets.domain.outcomes import Decoded, Rules, Tally, decoded
from clickstream_assets.domain.row_writer import RowWriter, Tallies

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

TASK_OFFSETS = 25_000
"""Offsets that one Spark task reads, and keys that one puts, at most: what is done again when a task is lost."""


@dataclass(frozen=True, slots=True)
class Wide:
    """Spark, and the offsets up to which a run reads without it."""

    session: "Callable[[], SparkSession]"
    beyond_offsets: int


def read_ranges(
    ranges: Sequence[OffsetRange],
    topic: TopicClient,
    books: Books,
    rules: Rules,
    wide: Wide | None,
    scanned: Iterable[int] = (),
) -> Tallies:
    """Read ranges and put what is in them; returns when all is written. ``scanned``: see :meth:`RowWriter.scan`."""
    if wide is not None and sum(map(len, ranges)) > wide.beyond_offsets:
        return _read_on_spark(ranges, topic, books, rules, wide.session())
    with RowWriter(books.hbase, books.tables, rules) as writer:
        writer.scan(scanned)
        for offsets in ranges:
            for messages in _decoded(topic, rules, offsets):
                writer.add(messages)
        return writer.finish()


def _decoded(topic: TopicClient, rules: Rules, offsets: OffsetRange) -> Iterator[list[Decoded]]:
    last = None
    for messages in topic.read(offsets.partition, offsets.first, offsets.end):
        batch = decoded(messages, rules, last)
        last = batch[-1]
        yield batch


def _read_on_spark(
    ranges: Sequence[OffsetRange], topic: TopicClient, books: Books, rules: Rules, session: "SparkSession"
) -> Tallies:
    tasks = _tasks(ranges)
    kafka, server = (topic.bootstrap_servers, topic.topic, topic.group), (books.hbase.host, books.hbase.port)
    tables = books.tables

    def read(batches: "Iterable[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        with TopicClient(*kafka) as reader:
            for batch in batches:
                for number in batch.column(0).to_pylist():
                    for offsets in tasks[number]:
                        yield from map(_packed, _decoded(reader, rules, offsets))

    def put(batches: "Iterable[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        import pyarrow as pa

        with HBaseClient(*server) as client, RowWriter(client, tables, rules) as writer:
            for batch in batches:
                writer.add([_unpacked(message) for message in batch.column("message").to_pylist()])
            yield pa.record_batch({"tallies": [pickle.dumps(writer.finish())]})

    counts = (
        session.range(0, len(tasks), 1, len(tasks))
        .mapInArrow(read, "key binary, partition int, offset long, message binary")
        .repartition(len(tasks), "key")
        .sortWithinPartitions("key", "partition", "offset")
        .mapInArrow(put, "tallies binary")
    )
    tallies: Tallies = {}
    for of_task in counts.toArrow().column("tallies").to_pylist():
        for counted_by, tally in pickle.loads(of_task).items():  # noqa: S301 - what the tasks above have packed
            tallies.setdefault(counted_by, Tally()).add(tally)
    return tallies


def _tasks(ranges: Sequence[OffsetRange]) -> list[list[OffsetRange]]:
    """Ranges cut and put together into lists of as many offsets each (the last may have fewer)."""
    offsets = sum(map(len, ranges))
    size = ceil(offsets / ceil(offsets / TASK_OFFSETS)) if offsets else 0
    tasks: list[list[OffsetRange]] = []
    room = 0
    for whole in ranges:
        at = whole.first
        while at < whole.end:
            if not room:
                tasks.append([])
                room = size
            stop = min(whole.end, at + room)
            tasks[-1].append(replace(whole, first=at, end=stop))
            room -= stop - at
            at = stop
    return tasks


def _packed(messages: Sequence[Decoded]) -> "pa.RecordBatch":
    """Messages as Spark carries them: what it sorts by, and each as bytes."""
    import pyarrow as pa

    return pa.record_batch(
        {
            "key": pa.array([message.key for message in messages], pa.binary()),
            "partition": pa.array([message.partition for message in messages], pa.int32()),
            "offset": pa.array([message.offset for message in messages], pa.int64()),
            "message": pa.array([_to_bytes(message) for message in messages], pa.binary()),
        }
    )


def _to_bytes(message: Decoded) -> bytes:
    event, refused = message.event, message.refused
    plain = message._replace(event=event and tuple(event), refused=refused and (refused.reason, refused.detail))  # type: ignore[arg-type]
    return pickle.dumps(tuple(plain))


def _unpacked(packed: bytes) -> Decoded:
    message = Decoded._make(pickle.loads(packed))  # noqa: S301 - what a task of the same run has packed
    if message.event is not None:
        return message._replace(event=ClickEvent._make(message.event))
    return message._replace(refused=Refused(*message.refused))  # type: ignore[misc]
