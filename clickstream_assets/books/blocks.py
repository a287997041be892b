"""An hour's events by column, beside its rows: table ``clickstream_blocks`` (docs/decisions/0023-events-by-column.md).

For each hour's part of a ledger entry there is one HBase row. Ingestion puts the part's events there (family ``todo``,
kept as long as request data), enrichment its clicks (family ``block``): what metrics need of an event, a few dozen
bytes. Each lies in numbered cells of a bounded size. The ledger's part names the digest of what it has put there, so a
row counts only if it holds just that; one that does not is made again from the rows of ``clickstream_data``.
"""

import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from clickstream_assets.books.audience import AUDIENCE, DIMENSIONS, grouped
from clickstream_assets.books.ledger_entries import Block, Cells, HourPart
from clickstream_assets.books.row_keys import SALTS, first_key
from clickstream_assets.events.click_event import CLICK_TYPES, LEAVE_TYPES, ClickEvent
from clickstream_assets.events.origins import ORIGINS, origin_of
from clickstream_assets.stores.hbase.client import BYTES_PER_CALL, ROWS_PER_CALL, HBaseClient, RowMutation
from clickstream_assets.stores.spark.tasks import put_together

TODO, BLOCK = "todo", "block"
"""Families: a part's events as ingestion leaves them; its clicks as enrichment does."""
OF_AUDIENCE = f"{BLOCK}:audience"
"""Before the numbers of the cells that hold who these clicks are of (:data:`AUDIENCE`)."""
CLICK, LEAVE, OTHER_KIND = 1, 2, 0
UNKNOWN = -1
"""Instead of a time that the client did not measure."""
CLICKS = pa.schema(
    [
        ("time_ms", pa.int64()),
        ("user_key", pa.string()),
        ("url", pa.string()),
        ("kind", pa.int8()),
        ("engaged_ms", pa.int64()),
        ("country", pa.string()),
        ("bot", pa.bool_()),
    ]
)
"""What metrics need of an event."""
ENRICHED = pa.schema([*CLICKS, *((name, pa.string()) for name in DIMENSIONS)])
"""What enrichment makes of an event."""
EVENTS = pa.schema(
    [
        ("offset", pa.int64()),
        ("row_key", pa.binary()),
        *(CLICKS.field(name) for name in ("time_ms", "user_key", "url", "kind", "engaged_ms")),
        ("ip", pa.string()),
        ("user_agent", pa.string()),
        *(ENRICHED.field(name) for name in ("event_type", *ORIGINS)),
    ]
)
"""What enrichment needs of an event, and what it hands on."""
CELL_BYTES = 4 << 20
"""Of a cell before it is compressed; a single event is always less."""
_FORMAT = 1
_HEAD = struct.Struct(">BI8s")
"""Before each cell's compressed bytes: the format, how many they are otherwise, and their digest."""
_ZSTD = pa.Codec("zstd", 1)
_OPEN_BYTES = 16 << 20
"""Of events that wait to be put, over all parts."""


_K = TypeVar("_K")


class CellsUnfit(Exception):
    """What lies in a row's cells is not what it is to be: cut short, changed, of another format."""


class Place(NamedTuple):
    """An hour's part of the ledger entry that begins at ``first``."""

    log_id: str
    partition: int
    first: int
    hour: int


def row_key(place: Place) -> bytes:
    """Salt, hour and position, so that parts that are written at a time lie in different regions."""
    position = f"{place.log_id}|{place.partition:06d}|{place.first:020d}".encode()
    salt = blake2b(position, digest_size=1).digest()[0] % len(SALTS)
    return first_key(SALTS[salt], place.hour) + b"|" + position


def place_of(part: HourPart, hour: int) -> Place:
    return Place(part.topic_id, part.partition, part.first, hour)


def kind_of(event_type: str) -> int:
    """What an event is to the metrics."""
    return CLICK if event_type in CLICK_TYPES else LEAVE if event_type in LEAVE_TYPES else OTHER_KIND


def columns_of(offset: int, key: bytes, event: ClickEvent) -> tuple[object, ...]:
    """An event as a row of :data:`EVENTS`."""
    engaged = event.engagement_time_ms
    engaged = UNKNOWN if engaged is None else min(engaged, (1 << 63) - 1)
    kind = kind_of(event.event_type)
    origin = (text or "" for text in origin_of(event.referrer, event.url_as_sent))
    click = event.time_ms, event.user_key, event.url, kind, engaged
    return offset, key, *click, event.ip, event.user_agent, event.event_type, *origin


def cell(number: int, family: str) -> bytes:
    return f"{family}:{number}".encode()


def ddl(schema: pa.Schema) -> str:
    """A schema as Spark wants it."""
    kinds = {
        pa.string(): "string",
        pa.int64(): "long",
        pa.int32(): "int",
        pa.int8(): "byte",
        pa.bool_(): "boolean",
        pa.binary(): "binary",
    }
    return ", ".join(f"{name} {kinds[schema.field(name).type]}" for name in schema.names)


def packed(batch: pa.RecordBatch) -> tuple[bytes, bytes]:
    """A cell's bytes, and the digest of what is in it: the same for the same content, wherever that was computed."""
    raw = _exact(batch).serialize()
    digest = _digest(raw, batch.schema)
    return _HEAD.pack(_FORMAT, len(raw), digest) + _ZSTD.compress(raw, asbytes=True), digest


def _digest(raw: pa.Buffer | bytes, schema: pa.Schema) -> bytes:
    """Of bytes and of the columns that they are: taken for others, they could be read as anything."""
    return blake2b(raw, digest_size=8, person=_fingerprint(schema)).digest()


@lru_cache
def _fingerprint(schema: pa.Schema) -> bytes:
    columns = [(of.name, str(of.type)) for of in schema]
    return blake2b(repr(columns).encode(), digest_size=16).digest()


def _exact(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same values in buffers of just their size: of a slice, Arrow would store what it was cut from too."""
    columns = [pa.concat_arrays([column.slice(0, 0), column]) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def unpacked(stored: bytes, schema: pa.Schema) -> tuple[pa.RecordBatch, bytes]:
    """What is in a cell, and its digest; raises :class:`CellsUnfit`."""
    try:
        form, size, digest = _HEAD.unpack_from(stored)
        if form != _FORMAT or size > 4 * CELL_BYTES:
            raise CellsUnfit("of another format")
        raw = _ZSTD.decompress(stored[_HEAD.size :], size, asbytes=True)
    except (OSError, ValueError, struct.error) as error:
        raise CellsUnfit(str(error)) from error
    if _digest(raw, schema) != digest:
        raise CellsUnfit("changed since it was written")
    return pa.ipc.read_record_batch(pa.py_buffer(raw), schema), digest


class CellWriter:
    """Puts what is in one row and family, batch by batch, as numbered cells."""

    def __init__(self, put: Callable[[RowMutation], object], key: bytes, family: str) -> None:
        self._put, self._key, self._family = put, key, family
        self._digest = blake2b(digest_size=8)
        self._cells = self._bytes = self._raw_bytes = self._rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Put a batch, cut in halves as long as it is too large for a cell."""
        batch = _exact(batch)
        if batch.nbytes > CELL_BYTES and batch.num_rows > 1:
            half = batch.num_rows // 2
            self.write(batch.slice(0, half))
            self.write(batch.slice(half))
            return
        value, digest = packed(batch)
        self._put(RowMutation(self._key, {cell(self._cells, self._family): value}))
        self._digest.update(digest)
        self._cells += 1
        self._bytes += len(value)
        self._raw_bytes += batch.nbytes
        self._rows += batch.num_rows

    def write_table(self, table: pa.Table) -> Cells:
        """Put a whole table; returns :attr:`written`."""
        for batch in table.combine_chunks().to_batches():
            self.write(batch)
        return self.written

    @property
    def written(self) -> Cells:
        return Cells(self._digest.hexdigest(), self._cells, self._bytes, self._raw_bytes, self._rows)


def put_block(hbase: HBaseClient, table: str, place: Place, enriched: pa.Table, *, dry_run: bool = False) -> Block:
    """Put all that is in a place (:data:`ENRICHED`): its digests do not depend on how it came here.

    Returns the block but for the versions of its part and of what enriched it.
    """
    bot, is_click = enriched.column("bot"), pc.equal(enriched.column("kind"), CLICK)
    counts = [pa.repeat(pa.scalar(1, pa.int64()), len(enriched)), pc.cast(is_click, pa.int64())]
    traits = [enriched.column(name) for name in AUDIENCE.names[: -len(counts)]]
    contents = {
        BLOCK: enriched.select(CLICKS.names),
        OF_AUDIENCE: grouped(pa.Table.from_arrays([*traits, *counts], schema=AUDIENCE)),
    }
    written = {}
    for name, content in contents.items():
        writer = CellWriter(lambda row: dry_run or hbase.mutate(table, [row]), row_key(place), name)
        written[name] = writer.write_table(content)
    human = pc.sum(pc.and_(is_click, pc.invert(bot))).as_py() or 0
    first_ms = pc.min(enriched.column("time_ms")).as_py()
    return Block("", "", human, first_ms, written[BLOCK], pc.sum(bot).as_py() or 0, written[OF_AUDIENCE])


class EventsWriter:
    """Puts events that come in order of offset into the rows of their parts; holds no more than a few megabytes."""

    def __init__(self, put: Callable[[RowMutation], object]) -> None:
        self._put, self._bytes = put, 0
        self._waiting: defaultdict[Place, list[tuple[object, ...]]] = defaultdict(list)
        self._writers: dict[Place, CellWriter] = {}

    def add(self, place: Place, event: tuple[object, ...]) -> None:
        """``event`` as :func:`columns_of` has it."""
        self._waiting[place].append(event)
        self._bytes += 100 + sum(len(value) for value in event if isinstance(value, str))
        if self._bytes > _OPEN_BYTES:
            self.finish()

    def finish(self) -> dict[Place, Cells]:
        """Put what waits; returns what lies where now."""
        for place, events in self._waiting.items():
            writer = self._writers.setdefault(place, CellWriter(self._put, row_key(place), TODO))
            columns = zip(EVENTS, zip(*events, strict=True), strict=True)
            arrays = [pa.array(values, of.type) for of, values in columns]
            writer.write(pa.RecordBatch.from_arrays(arrays, schema=EVENTS))
        self._waiting.clear()
        self._bytes = 0
        return {place: writer.written for place, writer in self._writers.items()}


def read(
    hbase: HBaseClient,
    table: str,
    family: str,
    wanted: Mapping[_K, Cells],
    schema: pa.Schema,
    key_of: Callable[[_K], bytes] = row_key,  # type: ignore[assignment]
) -> Iterator[tuple[_K, pa.RecordBatch | None]]:
    """What lies in the cells of places, cell by cell; None behind those of a place that does not hold what is wanted.

    Places of a single small cell are asked for together.
    """
    for batch in _calls(wanted):
        keys = {place: key_of(place) for place in batch}
        digests = {place: blake2b(digest_size=8) for place in batch}
        for number in range(max(wanted[place].cells for place in batch)):
            rows = hbase.get(table, list(keys.values()), [cell(number, family)])
            for place, key in keys.items():
                if number >= wanted[place].cells:
                    continue  # what may lie there was put before, as one of more cells
                try:
                    content, digest = unpacked(rows.get(key, {}).get(cell(number, family), b""), schema)
                except CellsUnfit:
                    continue
                digests[place].update(digest)
                yield place, content
        yield from ((place, None) for place in batch if digests[place].hexdigest() != wanted[place].digest)


def read_one(hbase: HBaseClient, table: str, family: str, key: bytes, cells: Cells, schema: pa.Schema) -> pa.Table:
    """What lies in the cells of one row; raises :class:`CellsUnfit` if that is not what is wanted."""
    batches = [batch for _, batch in read(hbase, table, family, {key: cells}, schema, lambda of: of)]
    if any(batch is None for batch in batches):
        raise CellsUnfit("not as they were put")
    return pa.Table.from_batches(batches, schema)


def _calls(wanted: Mapping[_K, Cells]) -> list[list[_K]]:
    """Places whose cells fit into one answer; one of several cells alone."""

    def size_of(place: _K) -> int:
        return BYTES_PER_CALL if wanted[place].cells > 1 else max(wanted[place].bytes, BYTES_PER_CALL // ROWS_PER_CALL)

    return put_together(wanted, size_of, BYTES_PER_CALL)


def drop(hbase: HBaseClient, table: str, places: Iterable[Place], *families: str) -> None:
    """Delete families of rows."""
    names = tuple(name.encode() for name in families)
    hbase.mutate(table, (RowMutation(row_key(place), {}, names) for place in places))
