"""Pieces of Kafka partitions read, decoded, settled and put: in this process, or on Spark (design 7).

On Spark, slices of offsets are decoded in parallel, brought together by row key and put in order of offset, so that
one task owns a key from look-up to put. What comes back is counts. A task that runs again finds the rows it has put
before, which carry these very offsets, and counts them as it would have: :attr:`Tally.new_rows` alone is of the last
attempt.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING, Any

import orjson

from clickstream_assets.clients.hbase import HBaseClient
from clickstream_assets.clients.kafka import TopicClient
from clickstream_assets.domain.click_event import ClickEvent, Refused
from clickstream_assets.domain.ledger import COUNTED
from clickstream_assets.domain.offset_plan import Piece
from clickstream_assets.domain.settler import Settler, Tallies
from clickstream_assets.domain.settling import Decoded, Rules, Tally, as_long, decoded

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

Pieces = dict[tuple[int, int], Piece]
"""What is to be read, by partition and first offset."""

TASK_OFFSETS = 25_000
"""Offsets that one Spark task reads, and keys that one puts, at most: what is done again when a task is lost."""

Slice = tuple[int, int, int]
"""Partition, first offset (included), end (not)."""


@dataclass(frozen=True, slots=True)
class Tables:
    """Names of the tables for rows and for dead letters."""

    clicks: str
    letters: str


@dataclass(frozen=True, slots=True)
class Wide:
    """Spark, and the offsets up to which a run reads without it."""

    session: "Callable[[], SparkSession]"
    beyond_offsets: int


def read_pieces(
    pieces: Pieces,
    topic: TopicClient,
    hbase: HBaseClient,
    tables: Tables,
    rules: Rules,
    wide: Wide | None,
    scanned: Iterable[int] = (),
) -> Tallies:
    """Read pieces and put what is in them; returns when all is written. ``scanned``: see :meth:`Settler.scan`."""
    slices = [(p, piece.first, piece.end) for (p, _), piece in sorted(pieces.items())]
    if wide is not None and sum(end - first for _, first, end in slices) > wide.beyond_offsets:
        return _read_on_spark(slices, topic, hbase, tables, rules, wide.session())
    with Settler(hbase, tables.clicks, tables.letters, rules) as settler:
        settler.scan(scanned)
        for one in slices:
            for messages in _decoded(topic, rules, one):
                settler.add(messages)
        return settler.finish()


def _decoded(topic: TopicClient, rules: Rules, one: Slice) -> Iterator[list[Decoded]]:
    last = None
    for messages in topic.read(*one):
        found = decoded(messages, rules, last)
        last = found[-1]
        yield found


def _read_on_spark(
    slices: Sequence[Slice],
    topic: TopicClient,
    hbase: HBaseClient,
    tables: Tables,
    rules: Rules,
    session: "SparkSession",
) -> Tallies:
    from pyspark.sql.pandas.types import from_arrow_schema

    tasks = _shared_out(slices)
    kafka, server = (topic.bootstrap_servers, topic.topic, topic.group), (hbase.host, hbase.port)
    messages, counts = map(from_arrow_schema, _schemas())

    def read(batches: "Iterable[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        with TopicClient(*kafka) as reader:
            for batch in batches:
                for number in batch.column(0).to_pylist():
                    for one in tasks[number]:
                        yield from map(_to_arrow, _decoded(reader, rules, one))

    def put(batches: "Iterable[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        with HBaseClient(*server) as client, Settler(client, tables.clicks, tables.letters, rules) as settler:
            for batch in batches:
                settler.add(_from_arrow(batch))
            yield _tallies_to_arrow(settler.finish())

    found = (
        session.range(0, len(tasks), 1, len(tasks))
        .mapInArrow(read, messages)
        .repartition(len(tasks), "key")
        .sortWithinPartitions("key", "partition", "offset")
        .mapInArrow(put, counts)
    )
    tallies: Tallies = {}
    for batch in found.toArrow().to_batches():
        for place, tally in _tallies_from_arrow(batch):
            tallies.setdefault(place, Tally()).add(tally)
    return tallies


def _shared_out(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Slices cut and put together into lists of as many offsets each (the last may have fewer)."""
    offsets = sum(end - first for _, first, end in slices)
    share = ceil(offsets / ceil(offsets / TASK_OFFSETS)) if offsets else 0
    tasks: list[list[Slice]] = []
    room = 0
    for partition, first, end in slices:
        at = first
        while at < end:
            if not room:
                tasks.append([])
                room = share
            stop = min(end, at + room)
            tasks[-1].append((partition, at, stop))
            room -= stop - at
            at = stop
    return tasks


@lru_cache(maxsize=1)
def _schemas() -> "tuple[pa.Schema, pa.Schema]":
    """Of decoded messages, and of tallies."""
    import pyarrow as pa

    number, many, by_hour = pa.int64(), pa.list_(pa.int64()), pa.map_(pa.int64(), pa.int64())
    place = [("partition", number), ("offset", number), ("record_time", number), ("stretch", number)]
    event = [("key", pa.binary()), ("event", pa.binary()), ("properties", pa.binary())]
    refused = [("reason", pa.string()), ("detail", pa.string()), ("value", pa.binary())]
    counts = [(name, number) for name in ("partition", "stretch", "read", "new_rows", "duplicates", "latest_ms")]
    # Under names of their own: duplicates are counted as such, and by hour.
    hours = [(f"{name}_by_hour", by_hour) for name in ("kept", "dead_lettered", *COUNTED)]
    return (
        pa.schema([*place, *event, *refused]),
        pa.schema([*counts, *hours, ("touched", many), ("displaced", many)]),
    )


def _batch(schema: "pa.Schema", columns: Iterable[Iterable[Any]]) -> "pa.RecordBatch":
    import pyarrow as pa

    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _to_arrow(messages: Sequence[Decoded]) -> "pa.RecordBatch":
    partitions, offsets, times, stretches, keys, events, refusals, values = zip(*messages, strict=True)
    return _batch(
        _schemas()[0],
        (
            partitions,
            offsets,
            times,
            stretches,
            keys,
            [None if event is None else _to_json(event) for event in events],
            [None if event is None else event.properties for event in events],
            [None if refused is None else refused.reason for refused in refusals],
            [None if refused is None else refused.detail for refused in refusals],
            values,
        ),
    )


def _to_json(event: ClickEvent) -> bytes:
    """All but the properties, which are bytes."""
    try:
        return orjson.dumps(event[:-1])
    except TypeError:  # a wild clock's integers beyond 64 bits: they are stored as the nearest there is
        return orjson.dumps([as_long(value) if isinstance(value, int) else value for value in event[:-1]])


def _from_arrow(batch: "pa.RecordBatch") -> list[Decoded]:
    rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
    return [
        Decoded(partition, offset, time_ms, stretch, key, ClickEvent._make([*orjson.loads(event), properties]))
        if event is not None
        else Decoded(partition, offset, time_ms, stretch, key, None, Refused(reason, detail), value)
        for partition, offset, time_ms, stretch, key, event, properties, reason, detail, value in rows
    ]


def _tallies_to_arrow(tallies: Mapping[tuple[int, int], Tally]) -> "pa.RecordBatch":
    rows = [
        (
            partition,
            stretch,
            tally.read,
            tally.new_rows,
            tally.duplicates,
            tally.latest_ms,
            list(tally.kept_by_hour.items()),
            list(tally.dead_lettered_by_hour.items()),
            *(list(getattr(tally, f"{name}_by_hour").items()) for name in COUNTED),
            list(tally.touched),
            list(tally.displaced),
        )
        for (partition, stretch), tally in tallies.items()
    ]
    schema = _schemas()[1]
    return _batch(schema, zip(*rows, strict=True) if rows else [[]] * len(schema))


def _tallies_from_arrow(batch: "pa.RecordBatch") -> Iterator[tuple[tuple[int, int], Tally]]:
    for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
        partition, stretch, read, new_rows, duplicates, latest_ms, kept, dead_lettered, *counted, touched, displaced = (
            row
        )
        tally = Tally(read, new_rows, duplicates, latest_ms=latest_ms, touched=set(touched), displaced=set(displaced))
        tally.kept_by_hour.update(dict(kept))
        tally.dead_lettered_by_hour.update(dict(dead_lettered))
        for name, by_hour in zip(COUNTED, counted, strict=True):
            getattr(tally, f"{name}_by_hour").update(dict(by_hour))
        yield (partition, stretch), tally
