"""What an hour's metrics count, and of which blocks: its checkpoint, its fence, and the lists of rows that changed."""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from time import time

import orjson

from clickstream_assets.books.blocks import Place
from clickstream_assets.books.books import Books
from clickstream_assets.books.ledger_entries import Cells
from clickstream_assets.books.row_keys import SALTS, first_key, metrics_key_range
from clickstream_assets.books.table_schemas import METRICS
from clickstream_assets.stores.hbase.client import HBaseClient, RowMutation, rows_per_call

ID_BYTES = 32
"""Of a document's id on a list of changed rows."""
CHANGED = "changed"
_CHECKPOINT, FENCE = b"hour:checkpoint", b"hour:fence"
BATCH_ROWS = rows_per_call(METRICS.row_bytes())


@dataclass(slots=True)
class Sums:
    """What an hour's metrics come to, as they were computed."""

    rows: int = 0
    clicks: int = 0
    urls: int = 0
    """Distinct ones."""
    by_country: dict[str, list[int]] = field(default_factory=dict)
    """Rows, clicks, unique users (of hourly counts added up), measured views and milliseconds."""
    other_clicks: int = 0
    """Of the clicks, those on urls that do not count by name."""
    is_bounded: bool = False
    """Whether the hour has more urls than count by name: what new events change takes all of it to tell."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What an hour's metrics count, and of what."""

    stamp_ms: int
    """The time that the run gave its rows; later for each run."""
    slices: tuple[Cells, ...]
    """Where the totals lie, by the first digits of the document's id."""
    covered: Mapping[Place, str]
    """Blocks, by their digests."""
    sums: Sums
    limits: str
    """On urls, that it was computed under; empty for none."""


def hour_key(hour: int) -> bytes:
    return first_key(SALTS[hour % len(SALTS)], hour) + b"!"


def _to_checkpoint(stored: bytes) -> Checkpoint:
    stamp_ms, slices, covered, sums, *limits = orjson.loads(zlib.decompress(stored))
    places = {Place(*place): digest for *place, digest in covered}
    of_slices = tuple(Cells(**of_slice) for of_slice in slices)
    return Checkpoint(int(stamp_ms), of_slices, places, Sums(**sums), "".join(limits))


class Checkpoints:
    """The checkpoints of hours, their fences, and the lists of what changed, in ``clickstream_blocks``."""

    def __init__(self, books: Books) -> None:
        self._hbase, self._table = books.hbase, books.tables.blocks

    def read(self, hours: Iterable[int]) -> dict[int, Checkpoint]:
        """Those that there are; one that cannot be read counts as none."""
        keys = {hour_key(hour): hour for hour in hours}
        found = {}
        for key, cells in self._hbase.get(self._table, list(keys), [_CHECKPOINT], batch_rows=1).items():
            with suppress(TypeError, ValueError, zlib.error):
                found[keys[key]] = _to_checkpoint(cells[_CHECKPOINT])
        return found

    def write(self, hour: int, checkpoint: Checkpoint) -> None:
        covered = [(*place, digest) for place, digest in checkpoint.covered.items()]
        sums = {of.name: getattr(checkpoint.sums, of.name) for of in fields(Sums)}
        limits = [checkpoint.limits] if checkpoint.limits else []
        content = orjson.dumps([checkpoint.stamp_ms, checkpoint.slices, covered, sums, *limits])
        row = RowMutation(hour_key(hour), {_CHECKPOINT: zlib.compress(content, 1)})
        self._hbase.mutate(self._table, [row], checkpoint.stamp_ms)

    def drop(self, hours: Iterable[int]) -> None:
        """Have hours computed whole."""
        for hour, checkpoint in self.read(hours).items():
            # By its own time: the server's clock may be ahead of the next run's, whose checkpoint would not be seen.
            row = RowMutation(hour_key(hour), {}, (_CHECKPOINT,))
            self._hbase.mutate(self._table, [row], checkpoint.stamp_ms)

    def fence(self, hours: Iterable[int], checkpoints: Mapping[int, Checkpoint]) -> dict[int, int]:
        """A new time for the rows of each hour, behind all earlier ones; who has an earlier one writes no more."""
        keys = {hour_key(hour): hour for hour in hours}
        fences = self._hbase.get(self._table, list(keys), [FENCE])
        now, stamps = int(time() * 1000), {}
        for key, hour in keys.items():
            before = int(fences.get(key, {}).get(FENCE, b"0"))
            known = checkpoints[hour].stamp_ms if hour in checkpoints else 0
            stamps[hour] = max(now, before + 1, known + 1)
        self._hbase.mutate(self._table, (RowMutation(key, {FENCE: b"%d" % stamps[keys[key]]}) for key in keys))
        return stamps

    def lists(self, hour: int) -> dict[bytes, list[bytes]]:
        """The lists of changed rows that are not yet indexed: columns by row key."""
        start, stop = hour_key(hour), hour_key(hour)[:-1] + b'"'
        pages = self._hbase.scan_batches(
            self._table, start, stop, [CHANGED.encode()], filter_string=b"KeyOnlyFilter()", large_cells=True
        )
        return {row.row: sorted(row.columns) for page in pages for row in page}

    def changed(self, hour: int) -> Iterator[list[bytes]]:
        """Row keys on these lists, a few at a time; of a row that is deleted too."""
        for key, columns in self.lists(hour).items():
            for column in columns:
                yield from keys_on(self._hbase, self._table, hour, key, column)

    def forget(self, lists: Mapping[bytes, Sequence[bytes]]) -> None:
        """Delete lists that are indexed."""
        rows = (RowMutation(key, {}, tuple(columns)) for key, columns in lists.items())
        self._hbase.mutate(self._table, rows)


def keys_on(hbase: HBaseClient, table: str, hour: int, key: bytes, column: bytes) -> Iterator[list[bytes]]:
    """Row keys of ``clickstream_metrics`` on a list, a few at a time; none if the list is gone."""
    ids = hbase.get(table, [key], [column]).get(key, {}).get(column, b"")
    prefix, _ = metrics_key_range(hour, hour)
    keys = [prefix + ids[at : at + ID_BYTES].hex().encode() for at in range(0, len(ids), ID_BYTES)]
    yield from (keys[at : at + BATCH_ROWS] for at in range(0, len(keys), BATCH_ROWS))


def stamp_of(column: bytes) -> int:
    """The time of the run that wrote a list."""
    return int(column.partition(b":")[2].partition(b".")[0])
