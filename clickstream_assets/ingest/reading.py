"""Offset ranges read, decoded, decided and put: in this process, or on Spark (docs/decisions/0009).

On Spark, ranges are decoded in parallel, their messages brought together by row key and put in order of offset, so that
one task owns a key from look-up to put. What comes back is counts. A task that runs again finds the rows it has put
before, which carry these very offsets, and counts them as it would have: :attr:`Tally.new_rows` alone is of the last
attempt.
"""

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from clickstream_assets.books.blocks import EventsWriter, Place, columns_of
from clickstream_assets.books.books import Books
from clickstream_assets.books.ledger_entries import Cells
from clickstream_assets.books.offsets import OffsetRange
from clickstream_assets.ingest.outcomes import Decoded, Rules, Tally, decoded
from clickstream_assets.ingest.row_writer import RowWriter, Tallies
from clickstream_assets.stores.kafka.client import TopicClient
from clickstream_assets.stores.spark.tasks import ANSWER, answer, answers_of, in_tasks, put_together

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TASK_OFFSETS = 25_000
"""Offsets that one Spark task reads, about: what is done again when it is lost."""


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
) -> tuple[Tallies, dict[Place, Cells]]:
    """Read ranges and put what is in them, rows and events by column; returns when all is written.

    ``scanned``: see :meth:`RowWriter.scan`.
    """
    if wide is not None and sum(map(len, ranges)) > wide.beyond_offsets:
        return _read_on_spark(ranges, topic, books, rules, wide.session())
    events = EventsWriter(lambda row: books.hbase.mutate(books.tables.blocks, [row]))
    with RowWriter(books.hbase, books.tables, rules, lambda message: events.add(*_kept(message, rules))) as writer:
        writer.scan(scanned)
        for offsets in ranges:
            for messages in _decoded(topic, rules, offsets):
                writer.add(messages)
        return writer.finish(), events.finish()


def _kept(message: Decoded, rules: Rules) -> tuple[Place, tuple[object, ...]]:
    """Where an event lies by column, and as what."""
    assert message.event is not None
    log_id = rules.log_id(message.partition, message.gapless_from)
    place = Place(log_id, message.partition, message.gapless_from, message.event.hour)
    return place, columns_of(message.offset, message.key, message.event)


def _decoded(topic: TopicClient, rules: Rules, offsets: OffsetRange) -> Iterator[list[Decoded]]:
    last = None
    for messages in topic.read(offsets.partition, offsets.first, offsets.end):
        batch = decoded(messages, rules, last)
        last = batch[-1]
        yield batch


def _read_on_spark(
    ranges: Sequence[OffsetRange], topic: TopicClient, books: Books, rules: Rules, session: "SparkSession"
) -> tuple[Tallies, dict[Place, Cells]]:
    """In three stages: read and decode; by row key, decide and put rows; by ledger part, put events by column."""
    # A range stays whole, as the ledger has it.
    tasks, kafka = put_together(ranges, len, TASK_OFFSETS), (topic.bootstrap_servers, topic.topic, topic.group)
    answers = (
        in_tasks(session, tasks, partial(_read, kafka, rules), "key binary, partition int, offset long, message binary")
        .repartition(len(tasks), "key")
        .sortWithinPartitions("key", "partition", "offset")
        .mapInArrow(partial(_put, books, rules), "place binary, event binary, answer binary, offset long")
        .repartition(len(tasks), "place")
        .sortWithinPartitions("place", "offset")
        .mapInArrow(partial(_put_events, books), ANSWER)
    )
    tallies: Tallies = {}
    cells: dict[Place, Cells] = {}
    for counted in answers_of(answers):
        for key, value in counted.items():
            if isinstance(value, Cells):
                cells[key] = value
            else:
                tallies.setdefault(key, Tally()).add(value)
    return tallies, cells


def _read(kafka: tuple[str, str, str], rules: Rules, ranges: Iterable[OffsetRange]) -> Iterator[pa.RecordBatch]:
    with TopicClient(*kafka) as reader:
        for offsets in ranges:
            yield from map(_packed, _decoded(reader, rules, offsets))


def _put(books: Books, rules: Rules, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    kept: list[Decoded] = []
    with RowWriter(books.hbase, books.tables, rules, kept.append) as writer:
        for batch in batches:
            writer.add([pickle.loads(message) for message in batch.column("message").to_pylist()])  # noqa: S301 - ours
            yield _packed_events(kept, rules)
            kept.clear()
        tallies = writer.finish()
        yield _packed_events(kept, rules, [tallies])


def _put_events(books: Books, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    with books.hbase.another() as client:
        events = EventsWriter(lambda row: client.mutate(books.tables.blocks, [row]))
        for batch in batches:
            for place, event, packed in zip(*(batch.column(name).to_pylist() for name in _KEPT), strict=True):
                if packed is not None:
                    yield pa.record_batch({"answer": [packed]})
                else:
                    events.add(Place(*pickle.loads(place)), pickle.loads(event))  # noqa: S301 - packed above
        yield answer(events.finish())


_KEPT = "place", "event", "answer"


def _packed_events(messages: Sequence[Decoded], rules: Rules, answers: Sequence[Tallies] = ()) -> pa.RecordBatch:
    """Kept messages as Spark carries them to the task that has their part; behind them what is for the run."""
    kept = [_kept(message, rules) for message in messages]
    nothing = [None] * len(answers)
    return pa.record_batch(
        {
            "place": pa.array([*(pickle.dumps(tuple(place)) for place, _ in kept), *nothing], pa.binary()),
            "event": pa.array([*(pickle.dumps(event) for _, event in kept), *nothing], pa.binary()),
            "answer": pa.array([*([None] * len(kept)), *map(pickle.dumps, answers)], pa.binary()),
            "offset": pa.array([*(message.offset for message in messages), *nothing], pa.int64()),
        }
    )


def _packed(messages: Sequence[Decoded]) -> pa.RecordBatch:
    """Messages as Spark carries them: what it sorts by, and each as bytes."""
    return pa.record_batch(
        {
            "key": pa.array([message.key for message in messages], pa.binary()),
            "partition": pa.array([message.partition for message in messages], pa.int32()),
            "offset": pa.array([message.offset for message in messages], pa.int64()),
            "message": pa.array([pickle.dumps(message) for message in messages], pa.binary()),
        }
    )
