"""Offset ranges read, decoded, decided and put: in this process, or on Spark (docs/decisions/0009).

On Spark, ranges are decoded in parallel, their messages brought together by row key and put in order of offset, so that
one task owns a key from look-up to put. What comes back is counts. A task that runs again finds the rows it has put
before, which carry these very offsets, and counts them as it would have: :attr:`Tally.new_rows` alone is of the last
attempt.
"""

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clickstream_assets.clients.hbase import HBaseClient
from clickstream_assets.clients.kafka import TopicClient
from clickstream_assets.domain.blocks import EventsWriter, Place, columns_of
from clickstream_assets.domain.books import Books, TableNames
from clickstream_assets.domain.click_event import ClickEvent, Refused
from clickstream_assets.domain.ledger import Cells
from clickstream_assets.domain.offsets import OffsetRange
from clickstream_assets.domain.outcomes import Decoded, Rules, Tally, decoded
from clickstream_assets.domain.row_writer import RowWriter, Tallies
from clickstream_assets.domain.spark_tasks import ANSWER, Stage, answer, answers_of, numbered, numbers_in, put_together

if TYPE_CHECKING:
    import pyarrow as pa
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

    def keep(message: Decoded) -> None:
        events.add(_place(message, rules), _columns(message))

    with RowWriter(books.hbase, books.tables, rules, keep) as writer:
        writer.scan(scanned)
        for offsets in ranges:
            for messages in _decoded(topic, rules, offsets):
                writer.add(messages)
        return writer.finish(), events.finish()


def _place(message: Decoded, rules: Rules) -> Place:
    assert message.event is not None
    log_id = rules.log_id(message.partition, message.gapless_from)
    return Place(log_id, message.partition, message.gapless_from, message.event.hour)


def _columns(message: Decoded) -> tuple[object, ...]:
    assert message.event is not None
    return columns_of(message.offset, message.key, message.event)


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
    tasks, server = _tasks(ranges), (books.hbase.host, books.hbase.port)
    answers = (
        numbered(session, len(tasks))
        .mapInArrow(
            _reading(tasks, (topic.bootstrap_servers, topic.topic, topic.group), rules),
            "key binary, partition int, offset long, message binary",
        )
        .repartition(len(tasks), "key")
        .sortWithinPartitions("key", "partition", "offset")
        .mapInArrow(_putting(server, books.tables, rules), "place binary, event binary, answer binary, offset long")
        .repartition(len(tasks), "place")
        .sortWithinPartitions("place", "offset")
        .mapInArrow(_putting_events(server, books.tables.blocks), ANSWER)
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


def _reading(tasks: Sequence[Sequence[OffsetRange]], kafka: tuple[str, str, str], rules: Rules) -> Stage:
    def read(batches: "Iterable[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        with TopicClient(*kafka) as reader:
            for number in numbers_in(batches):
                for offsets in tasks[number]:
                    yield from map(_packed, _decoded(reader, rules, offsets))

    return read


def _putting(server: tuple[str, int], tables: TableNames, rules: Rules) -> Stage:
    def put(batches: "Iterable[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        kept: list[Decoded] = []
        with HBaseClient(*server) as client, RowWriter(client, tables, rules, kept.append) as writer:
            for batch in batches:
                writer.add([_unpacked(message) for message in batch.column("message").to_pylist()])
                yield _packed_events(kept, rules)
                kept.clear()
            tallies = writer.finish()
            yield _packed_events(kept, rules, pickle.dumps(tallies))

    return put


def _putting_events(server: tuple[str, int], table: str) -> Stage:
    def put(batches: "Iterable[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        import pyarrow as pa

        with HBaseClient(*server) as client:
            events = EventsWriter(lambda row: client.mutate(table, [row]))
            for batch in batches:
                for place, event, packed in zip(*(batch.column(name).to_pylist() for name in _KEPT), strict=True):
                    if packed is not None:
                        yield pa.record_batch({"answer": [packed]})
                    else:
                        events.add(Place(*pickle.loads(place)), pickle.loads(event))  # noqa: S301 - packed above
            yield answer(events.finish())

    return put


_KEPT = "place", "event", "answer"


def _packed_events(messages: Sequence[Decoded], rules: Rules, packed: bytes | None = None) -> "pa.RecordBatch":
    """Kept messages as Spark carries them to the task that has their part; behind them what is for the run."""
    import pyarrow as pa

    places = [pickle.dumps(tuple(_place(message, rules))) for message in messages]
    columns = [pickle.dumps(_columns(message)) for message in messages]
    nothing = [None] * len(messages)
    last = [] if packed is None else [None]
    return pa.record_batch(
        {
            "place": pa.array(places + last, pa.binary()),
            "event": pa.array(columns + last, pa.binary()),
            "answer": pa.array([*nothing, *([] if packed is None else [packed])], pa.binary()),
            "offset": pa.array([message.offset for message in messages] + last, pa.int64()),
        }
    )


def _tasks(ranges: Sequence[OffsetRange]) -> list[list[OffsetRange]]:
    """Ranges put together into lists of about :data:`TASK_OFFSETS`; each stays whole, as the ledger has it."""
    return put_together(ranges, len, TASK_OFFSETS)


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
