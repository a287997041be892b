"""What an hour's metrics count, and of which blocks: its checkpoint, its fence, and the lists of rows that changed."""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from time import time
from typing import NamedTuple

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
_CHECKPOINT, _COLUMNS, FENCE = b"hour:checkpoint", b"hour:columns", b"hour:fence"
_FORMAT = 3
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


class People(NamedTuple):
    """Where a run has put rows that tell of an hour's users."""

    stamp_ms: int
    number: int
    """Of the slice."""
    cells: Cells

    @classmethod
    def of(cls, stamp_ms: int, number: int) -> "People":
        """Where a run is about to put some."""
        return cls(stamp_ms, number, Cells("", 0, 0, 0, 0))


@dataclass(frozen=True, slots=True)
class HourColumns:
    """Where an hour's metrics lie by column."""

    stamp_ms: int
    """The time that the run gave its rows; later for each run."""
    slices: tuple[Cells, ...]
    """The totals, by the first digits of the document's id."""
    people: tuple[People, ...]
    """Who clicked what: no user stands twice beside a url and country."""
    audience: tuple[People, ...]
    """Who came with what and from where (:mod:`clickstream_assets.books.audience`)."""


@dataclass(frozen=True, slots=True)
class Checkpoint(HourColumns):
    """What an hour's metrics count, and of what."""

    covered: Mapping[Place, str]
    """Blocks, by their digests."""
    sums: Sums
    limits: str
    """On urls, that it was computed under; empty for none."""


def hour_key(hour: int) -> bytes:
    return first_key(SALTS[hour % len(SALTS)], hour) + b"!"


def slice_key(hour: int, number: int) -> bytes:
    """Where the totals of one of an hour's slices lie."""
    return hour_key(hour) + f"{number:03d}".encode()


def people_key(hour: int, people: People, kind: str = "p") -> bytes:
    """Where rows lie that a run has put: ``p`` of who clicked what, ``a`` of the audience."""
    return hour_key(hour) + f"{kind}{people.number:03d}.{people.stamp_ms}".encode()


def _to_columns(stored: bytes) -> HourColumns:
    stamp_ms, slices, *of_users = orjson.loads(stored)
    people, audience = (tuple(People(at, number, Cells(**cells)) for at, number, cells in of) for of in of_users)
    return HourColumns(stamp_ms, tuple(Cells(**of_slice) for of_slice in slices), people, audience)


def _to_checkpoint(stored: bytes, columns: HourColumns) -> Checkpoint:
    form, stamp_ms, covered, sums, limits = orjson.loads(zlib.decompress(stored))
    if form != _FORMAT or stamp_ms != columns.stamp_ms:
        raise ValueError("of another format, or of another run")
    places = {Place(*place): digest for *place, digest in covered}
    return Checkpoint(stamp_ms, columns.slices, columns.people, columns.audience, places, Sums(**sums), limits)


class Checkpoints:
    """The checkpoints of hours, their fences, and the lists of what changed, in ``clickstream_blocks``."""

    def __init__(self, books: Books) -> None:
        self._hbase, self._table = books.hbase, books.tables.blocks

    def read(self, hours: Iterable[int]) -> dict[int, Checkpoint]:
        """Those that there are; one that cannot be read counts as none."""
        keys = {hour_key(hour): hour for hour in hours}
        found = {}
        wanted = [_CHECKPOINT, _COLUMNS]
        for key, cells in self._hbase.get(self._table, list(keys), wanted, batch_rows=1).items():
            with suppress(KeyError, TypeError, ValueError, zlib.error):
                found[keys[key]] = _to_checkpoint(cells[_CHECKPOINT], _to_columns(cells[_COLUMNS]))
        return found

    def columns(self, hours: Iterable[int]) -> dict[int, HourColumns]:
        """Where the columns of hours lie, of those that have any."""
        keys = {hour_key(hour): hour for hour in hours}
        found = {}
        for key, cells in self._hbase.get(self._table, list(keys), [_COLUMNS]).items():
            with suppress(KeyError, TypeError, ValueError):
                found[keys[key]] = _to_columns(cells[_COLUMNS])
        return found

    def write(self, hour: int, checkpoint: Checkpoint) -> None:
        covered = [(*place, digest) for place, digest in checkpoint.covered.items()]
        sums = {of.name: getattr(checkpoint.sums, of.name) for of in fields(Sums)}
        content = orjson.dumps([_FORMAT, checkpoint.stamp_ms, covered, sums, checkpoint.limits])
        of_users = [[tuple(place) for place in places] for places in (checkpoint.people, checkpoint.audience)]
        columns = orjson.dumps([checkpoint.stamp_ms, checkpoint.slices, *of_users])
        row = RowMutation(hour_key(hour), {_CHECKPOINT: zlib.compress(content, 1), _COLUMNS: columns})
        self._hbase.mutate(self._table, [row], checkpoint.stamp_ms)
        of_hour = HourColumns(*(getattr(checkpoint, of.name) for of in fields(HourColumns)))
        if self.columns([hour]) == {hour: of_hour}:  # else another run has overtaken this one, and counts on the rest
            self._forget_people(hour, of_hour)

    def _forget_people(self, hour: int, checkpoint: HourColumns) -> None:
        """Delete users that the checkpoint does not name: put together with later ones, or of a run without one."""
        named = {people_key(hour, people) for people in checkpoint.people}
        named |= {people_key(hour, people, "a") for people in checkpoint.audience}
        start, stop = hour_key(hour) + b"a", hour_key(hour) + b"q"
        stored = [row.row for page in self._hbase.scan_keys(self._table, start, stop) for row in page]
        for key in stored:
            stamp_ms = int(key.rpartition(b".")[2])
            if key not in named and stamp_ms <= checkpoint.stamp_ms:  # a later run may be about to name its own
                self._hbase.mutate(self._table, [RowMutation(key, {}, (b"hour",))], stamp_ms)  # its own time: see drop

    def drop(self, hours: Iterable[int]) -> None:
        """Have hours computed whole."""
        for hour, checkpoint in self.read(hours).items():
            # By its own time: the server's clock may be ahead of the next run's, whose checkpoint would not be seen.
            row = RowMutation(hour_key(hour), {}, (_CHECKPOINT, _COLUMNS))
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
