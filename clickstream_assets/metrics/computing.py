"""Hours' metrics brought up to date, on Spark: what new events change is added to what was computed before.

An hour's *checkpoint* says what its metrics count, and of which blocks. If these are still there and the same, a run
takes the users of the new blocks, all that they did in the hour, and adds what that comes to now, less what it came to
before. Else, or if told to, the hour is computed whole by the same functions, and compared row by row with what is
stored. Order of writes: the list of rows that change, rows, totals, checkpoint (docs/decisions/0023).

Rows have the run's own time. So what a task of a run that was killed still writes, late, is hidden by what was written
since; and what it writes first, the list, tells the next run to look at all.
"""

import pickle
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from functools import partial
from itertools import chain
from math import ceil
from time import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from datasketches import tgt_hll_type

from clickstream_assets.books import blocks
from clickstream_assets.books.blocks import BLOCK, Place, place_of
from clickstream_assets.books.books import Books, TableNames
from clickstream_assets.books.ledger import Cells
from clickstream_assets.books.row_keys import SALTS, first_key
from clickstream_assets.books.table_schemas import METRICS
from clickstream_assets.events.hours import HOUR_MS
from clickstream_assets.metrics.hourly_metrics import (
    CHANGES,
    COUNTED,
    DIGESTS,
    changes,
    document_id,
    estimate_of,
    metrics_key,
    metrics_key_range,
    pages_of,
    slice_key_range,
    union_of,
)
from clickstream_assets.metrics.time_spent import TIMEOUT_MS
from clickstream_assets.stores.hbase.client import ROWS_PER_CALL, HBaseClient, RowMutation, rows_per_call
from clickstream_assets.stores.hbase.thrift_rows import Cell
from clickstream_assets.stores.spark.tasks import ANSWER, NAMED, answer, answers_of, in_tasks, put_together

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

LARGE_BYTES = 128 << 20
"""Of an hour's blocks in memory: beyond that its users are shared out to several tasks."""
_WORKERS = 16
"""Hours are dealt to so many tasks at most: each costs some 70 ms of processor time, whatever it does."""
ID_BYTES = 32
"""Of a document's id on a list of changed rows."""
_IDS_PER_CELL = 4_096
"""What one task of the index does at least."""
_HOUR, CHANGED = "hour", "changed"
_CHECKPOINT, _FENCE = b"hour:checkpoint", b"hour:fence"
_COMPUTED_AT, _RUN, _SKETCH = (METRICS.columns[name].key for name in ("computed_at", "run_id", "users_sketch"))
_BATCH_ROWS = rows_per_call(METRICS.row_bytes())
_FAMILY = b"metrics"


@dataclass(slots=True)
class Sums:
    """What an hour's metrics come to, as they were computed."""

    rows: int = 0
    clicks: int = 0
    urls: int = 0
    """Distinct ones."""
    by_country: dict[str, list[int]] = field(default_factory=dict)
    """Rows, clicks, unique users (of hourly counts added up), measured views and milliseconds."""


@dataclass(slots=True)
class Computed(Sums):
    """What became of one hour's metrics."""

    written: int = 0
    """Rows that are new or changed."""
    deleted: int = 0
    """Rows that the result lacks."""
    named: list[str] = field(default_factory=list)
    """Ids of some of these rows, where they were compared one by one."""


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


def _hour_key(hour: int) -> bytes:
    return first_key(SALTS[hour % len(SALTS)], hour) + b"!"


def _slice_key(hour: int, number: int) -> bytes:
    return _hour_key(hour) + f"{number:03d}".encode()


def _to_checkpoint(stored: bytes) -> Checkpoint:
    stamp_ms, slices, covered, sums = orjson.loads(zlib.decompress(stored))
    places = {Place(*place): digest for *place, digest in covered}
    return Checkpoint(int(stamp_ms), tuple(Cells(**of_slice) for of_slice in slices), places, Sums(**sums))


class Checkpoints:
    """The checkpoints of hours, their fences, and the lists of what changed, in ``clickstream_blocks``."""

    def __init__(self, books: Books) -> None:
        self._hbase, self._table = books.hbase, books.tables.blocks

    def read(self, hours: Iterable[int]) -> dict[int, Checkpoint]:
        """Those that there are; one that cannot be read counts as none."""
        keys = {_hour_key(hour): hour for hour in hours}
        found = {}
        for key, cells in self._hbase.get(self._table, list(keys), [_CHECKPOINT], batch_rows=1).items():
            with suppress(TypeError, ValueError, zlib.error):
                found[keys[key]] = _to_checkpoint(cells[_CHECKPOINT])
        return found

    def write(self, hour: int, checkpoint: Checkpoint) -> None:
        covered = [(*place, digest) for place, digest in checkpoint.covered.items()]
        sums = {of.name: getattr(checkpoint.sums, of.name) for of in fields(Sums)}
        content = orjson.dumps([checkpoint.stamp_ms, checkpoint.slices, covered, sums])
        row = RowMutation(_hour_key(hour), {_CHECKPOINT: zlib.compress(content, 1)})
        self._hbase.mutate(self._table, [row], checkpoint.stamp_ms)

    def drop(self, hours: Iterable[int]) -> None:
        """Have hours computed whole."""
        for hour, checkpoint in self.read(hours).items():
            # By its own time: the server's clock may be ahead of the next run's, whose checkpoint would not be seen.
            row = RowMutation(_hour_key(hour), {}, (_CHECKPOINT,))
            self._hbase.mutate(self._table, [row], checkpoint.stamp_ms)

    def fence(self, hours: Iterable[int], checkpoints: Mapping[int, Checkpoint]) -> dict[int, int]:
        """A new time for the rows of each hour, behind all earlier ones; who has an earlier one writes no more."""
        keys = {_hour_key(hour): hour for hour in hours}
        fences = self._hbase.get(self._table, list(keys), [_FENCE])
        now, stamps = int(time() * 1000), {}
        for key, hour in keys.items():
            before = int(fences.get(key, {}).get(_FENCE, b"0"))
            known = checkpoints[hour].stamp_ms if hour in checkpoints else 0
            stamps[hour] = max(now, before + 1, known + 1)
        self._hbase.mutate(self._table, (RowMutation(key, {_FENCE: b"%d" % stamps[keys[key]]}) for key in keys))
        return stamps

    def lists(self, hour: int) -> dict[bytes, list[bytes]]:
        """The lists of changed rows that are not yet indexed: columns by row key."""
        start, stop = _hour_key(hour), _hour_key(hour)[:-1] + b'"'
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
    yield from (keys[at : at + _BATCH_ROWS] for at in range(0, len(keys), _BATCH_ROWS))


def stamp_of(column: bytes) -> int:
    """The time of the run that wrote a list."""
    return int(column.partition(b":")[2].partition(b".")[0])


@dataclass(frozen=True, slots=True)
class _Task:
    """One hour to compute, as a worker needs it."""

    hour: int
    blocks: Mapping[Place, Cells]
    new: frozenset[Place]
    """Of the blocks, those that the totals do not count: all of them if the hour is computed whole."""
    totals: tuple[Cells, ...]
    """By slice; none if the hour is computed whole."""
    unfinished: Sequence[tuple[bytes, bytes]]
    """Lists of runs that came to no checkpoint, by row key and column: what they name is written whatever it is."""
    slices: int
    stamp_ms: int
    run_id: str
    dry_run: bool = False

    @property
    def is_whole(self) -> bool:
        return not self.totals

    @property
    def digests(self) -> dict[Place, str]:
        return {place: cells.digest for place, cells in self.blocks.items()}


class Unfit(Exception):
    """Blocks, or totals, that are not what the books say."""

    def __init__(self, places: Iterable[Place] = ()) -> None:
        super().__init__()
        self.places = tuple(places)


def compute(
    spark: "SparkSession",
    books: Books,
    hours: Iterable[int],
    run_id: str,
    whole: Iterable[int] = (),
    *,
    dry_run: bool = False,
) -> tuple[dict[int, Computed], set[Place]]:
    """Bring the metrics of hours up to date; those in ``whole`` without their checkpoint.

    Returns what became of each hour, and the places whose blocks were not what the ledger says: the hours that need
    those are left as they are. With ``dry_run`` nothing changes: what would be written is what differs.
    """
    checkpoints = Checkpoints(books)
    tasks = _tasks(books, checkpoints, sorted(set(hours)), set(whole), run_id, dry_run=dry_run)
    done, unfit = _run(spark, books, list(tasks.values()))
    if again := [hour for hour in tasks if hour not in done and not tasks[hour].is_whole and not unfit.get(hour)]:
        # Totals that are not what their checkpoint says.
        tasks |= {hour: replace(tasks[hour], totals=(), new=frozenset(tasks[hour].blocks)) for hour in again}
        more, of_these = _run(spark, books, [tasks[hour] for hour in again])
        done, unfit = done | more, unfit | of_these
    for hour, (computed, slices) in done.items() if not dry_run else ():
        task = tasks[hour]
        checkpoints.write(hour, Checkpoint(task.stamp_ms, slices, task.digests, computed))
        # What enrichment worked from is of no use any more, and tells of persons.
        blocks.drop(books.hbase, books.tables.blocks, (p for p in task.new if p.hour == hour), blocks.TODO)
    results = {hour: computed for hour, (computed, _) in done.items()}
    return results, {place for places in unfit.values() for place in places}


def _tasks(
    books: Books, checkpoints: Checkpoints, hours: Sequence[int], whole: set[int], run_id: str, *, dry_run: bool
) -> dict[int, _Task]:
    """What there is to do in each hour."""
    before = checkpoints.read(hours)
    parts = books.ledger.parts({at for hour in hours for at in (hour, hour + 1)})
    stamps = dict.fromkeys(hours, 0) if dry_run else checkpoints.fence(hours, before)
    tasks = {}
    for hour in hours:
        end_ms = (hour + 1) * HOUR_MS + TIMEOUT_MS
        cells = {
            place_of(part, at): part.block.cells
            for at in (hour, hour + 1)
            for part in parts[at]
            if part.block is not None and part.counts.kept and part.block.first_ms < end_ms
        }
        checkpoint = before.get(hour)
        done_up_to = checkpoint.stamp_ms if checkpoint else 0
        lists = ((key, column) for key, columns in checkpoints.lists(hour).items() for column in columns)
        unfinished = [(key, column) for key, column in lists if stamp_of(column) > done_up_to]
        tasks[hour] = _task(hour, cells, None if hour in whole or unfinished else checkpoint, stamps[hour], run_id)
        tasks[hour] = replace(tasks[hour], unfinished=() if dry_run else unfinished, dry_run=dry_run)
    return tasks


def _task(hour: int, cells: Mapping[Place, Cells], checkpoint: Checkpoint | None, stamp_ms: int, run_id: str) -> _Task:
    """An hour to add to its checkpoint, if that is there and all that it counts is; else to compute whole."""
    task = _Task(hour, dict(sorted(cells.items())), frozenset(cells), (), (), 0, stamp_ms, run_id)
    if checkpoint and checkpoint.covered.items() <= task.digests.items():
        new = task.new - checkpoint.covered.keys()
        return replace(task, new=new, totals=checkpoint.slices, slices=len(checkpoint.slices))
    raw_bytes = sum(of_place.raw_bytes for of_place in cells.values())
    return replace(task, slices=min(DIGESTS, max(1, ceil(raw_bytes / LARGE_BYTES))))


_Done = tuple[Computed, tuple[Cells, ...]]


def _run(spark: "SparkSession", books: Books, tasks: Sequence[_Task]) -> tuple[dict[int, _Done], dict[int, set[Place]]]:
    """Each hour's result and where its totals lie; of hours without one, the places that were unfit."""
    answers: list[Any] = []
    if small := [task for task in tasks if task.slices == 1]:
        dealt = [small[number::_WORKERS] for number in range(min(_WORKERS, len(small)))]
        answers += answers_of(in_tasks(spark, dealt, partial(_compute_hours, books)))
    for task in tasks:
        if task.slices > 1:
            answers += answers_of(_hour_in_slices(spark, task, books))
    of_slices: defaultdict[int, dict[int, tuple[_Slice, Cells]]] = defaultdict(dict)
    unfit: defaultdict[int, set[Place]] = defaultdict(set)
    for hour, said in answers:
        if isinstance(said, Unfit):
            unfit[hour].update(said.places)
        else:
            number, result, cells = said
            of_slices[hour][number] = result, cells
    done = {}
    for task in tasks:
        if task.hour not in unfit and len(of_slices[task.hour]) == task.slices:
            in_order = [of_slices[task.hour][number] for number in range(task.slices)]
            done[task.hour] = _sum([result for result, _ in in_order]), tuple(cells for _, cells in in_order)
    return done, dict(unfit)


@dataclass(slots=True)
class _Slice(Computed):
    hashed_urls: Any = None


def _sum(slices: Sequence[_Slice]) -> Computed:
    whole = Computed(urls=len(np.unique(np.concatenate([of_slice.hashed_urls for of_slice in slices]))))
    for of_slice in slices:
        whole.rows += of_slice.rows
        whole.clicks += of_slice.clicks
        whole.written += of_slice.written
        whole.deleted += of_slice.deleted
        whole.named = (whole.named + of_slice.named)[:NAMED]
        for country, sums in of_slice.by_country.items():
            total = whole.by_country.get(country, [0] * len(sums))
            whole.by_country[country] = [a + b for a, b in zip(total, sums, strict=True)]
    return whole


# The work on an hour, in three steps that go on in one task or, for large hours, in several


def _compute_hours(books: Books, tasks: Iterable[_Task]) -> Iterator[pa.RecordBatch]:
    with books.hbase.another() as hbase:
        for task in tasks:
            try:
                changed = _changes(_events(hbase, books.tables.blocks, task, task.blocks), task.hour)
                yield answer((task.hour, (0, *_write(hbase, books.tables, task, 0, changed))))
            except Unfit as unfit:
                yield answer((task.hour, unfit))


_EVENTS = blocks.CLICKS.append(pa.field("is_new", pa.bool_()))


def _events(hbase: HBaseClient, table: str, task: _Task, of: Iterable[Place]) -> pa.Table:
    """What is in some of the task's blocks and matters to it: all, or what the users of its new ones did."""
    if task.is_whole:
        return _read(hbase, table, task, of)
    new = _read(hbase, table, task, (place for place in task.blocks if place in task.new))
    return _read(hbase, table, task, of, new.column("user_key").unique())


def _read(hbase: HBaseClient, table: str, task: _Task, of: Iterable[Place], users: pa.Array | None = None) -> pa.Table:
    kept, unfit = [], []
    for place, clicks in blocks.read(hbase, table, BLOCK, {place: task.blocks[place] for place in of}, blocks.CLICKS):
        if clicks is None:
            unfit.append(place)
            continue
        is_new = pa.repeat(pa.scalar(place in task.new), clicks.num_rows)
        marked = pa.RecordBatch.from_arrays([*clicks.columns, is_new], schema=_EVENTS)
        kept.append(marked if users is None else marked.filter(pc.is_in(clicks.column("user_key"), value_set=users)))
    if unfit:
        raise Unfit(unfit)
    return pa.Table.from_batches(kept, _EVENTS)


def _changes(events: pa.Table, hour: int) -> pa.Table:
    return changes(events.select(blocks.CLICKS.names), events.column("is_new").to_numpy(), hour)


def _hour_in_slices(spark: "SparkSession", task: _Task, books: Books) -> "DataFrame":
    """The same for an hour of many events: by block, then by user, then by the first digits of the document's id."""
    readers = put_together(task.blocks, lambda place: task.blocks[place].raw_bytes, LARGE_BYTES // 4)
    of_event = f"{blocks.ddl(_EVENTS)}, answer binary"
    events = in_tasks(spark, readers, partial(_read_events, books, task), of_event)
    of_change = f"slice int, {blocks.ddl(CHANGES)}, answer binary"
    counted = events.repartition(task.slices, "user_key").mapInArrow(partial(_count_changes, task), of_change)
    every = spark.range(0, task.slices).selectExpr("cast(id as int) as slice")
    by_slice = counted.unionByName(every, allowMissingColumns=True).repartition(task.slices, "slice")
    return by_slice.sortWithinPartitions("slice").mapInArrow(partial(_write_slices, books, task), ANSWER)


_ANSWER = pa.field("answer", pa.binary())
_OF_EVENTS = _EVENTS.append(_ANSWER)
_OF_SLICES = pa.schema([pa.field("slice", pa.int32()), *CHANGES, _ANSWER])


def _without_answer(table: pa.Table) -> Iterator[pa.RecordBatch]:
    yield from table.append_column(_ANSWER, pa.nulls(len(table), pa.binary())).to_batches()


def _read_events(books: Books, task: _Task, of: Iterable[Place]) -> Iterator[pa.RecordBatch]:
    with books.hbase.another() as hbase:
        try:
            yield from _without_answer(_events(hbase, books.tables.blocks, task, of))
        except Unfit as unfit:
            yield from pa.Table.from_pylist([{"answer": pickle.dumps(unfit.places)}], _OF_EVENTS).to_batches()


def _count_changes(task: _Task, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    arrived = pa.Table.from_batches(list(batches), _OF_EVENTS)
    if answers := pc.drop_null(arrived.column("answer")).to_pylist():
        # To every slice: none is to be written of what other tasks count without these blocks.
        told = [{"slice": number, "answer": packed} for number in range(task.slices) for packed in answers]
        yield from pa.Table.from_pylist(told, _OF_SLICES).to_batches()
        return
    changed = _changes(arrived, task.hour)
    pages = zip(changed.column("url").to_pylist(), changed.column("country").to_pylist(), strict=True)
    ids = (document_id(task.hour, *page) for page in pages)
    numbers = pa.array((int(of_page[:2], 16) * task.slices // DIGESTS for of_page in ids), pa.int32())
    yield from _without_answer(changed.add_column(0, "slice", numbers))


def _write_slices(books: Books, task: _Task, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    arrived = pa.Table.from_batches(list(batches), _OF_SLICES)
    with books.hbase.another() as hbase:
        for number in pc.unique(arrived.column("slice")).to_pylist():
            of_slice = arrived.filter(pc.equal(arrived.column("slice"), number))
            if answers := pc.drop_null(of_slice.column("answer")).to_pylist():
                places = {place for packed in answers for place in pickle.loads(packed)}  # noqa: S301 - packed above
                yield answer((task.hour, Unfit(places)))
                continue
            changed = _together(of_slice.filter(pc.is_valid(of_slice.column("url"))))
            try:
                yield answer((task.hour, (number, *_write(hbase, books.tables, task, number, changed))))
            except Unfit as unfit:
                yield answer((task.hour, unfit))


_COUNTS = COUNTED.names[2:]


def _by_page(counts: pa.Table, *more: tuple[str, str]) -> pa.Table:
    """Counts added up as one row for each url and country, in order of their first; and what ``more`` asks for."""
    sums = counts.group_by(["url", "country"], use_threads=False)
    added = sums.aggregate([*((name, "sum") for name in _COUNTS), *more])
    return added.rename_columns([name.removesuffix("_sum") for name in added.column_names])


def _together(changed: pa.Table) -> pa.Table:
    """What events of different users change, as one row for each url and country."""
    sums = _by_page(changed, ("users_sketch", "list"))
    sketches = [_union(list(filter(None, of_page))) for of_page in sums.column("users_sketch_list").to_pylist()]
    return sums.select(COUNTED.names).append_column("users_sketch", pa.array(sketches, pa.binary()))


def _union(sketches: Sequence[bytes]) -> bytes | None:
    if len(sketches) <= 1:
        return sketches[0] if sketches else None
    return bytes(union_of(sketches).get_result(tgt_hll_type.HLL_8).serialize_updatable())


def _write(hbase: HBaseClient, tables: TableNames, task: _Task, number: int, changed: pa.Table) -> tuple[_Slice, Cells]:
    """Add changes to a slice's totals, and write rows and totals; raises :class:`Unfit` if totals are not theirs."""
    put, key = partial(_put, hbase, tables.blocks, task), _slice_key(task.hour, number)
    before = _totals(hbase, tables.blocks, task, number)
    after = _by_page(pa.concat_tables([before, changed.select(COUNTED.names)])).select(COUNTED.names)
    result = _sums_of(after)
    if task.is_whole:
        rows, result.named = _differing(hbase, tables, task, number, changed)
    else:
        rows = _changed_rows(hbase, tables.metrics, task, before, after, changed)
    result.written, result.deleted = sum(1 for row in rows if row.puts), sum(1 for row in rows if not row.puts)
    totals = blocks.CellWriter(lambda row: put(tables.blocks, [row]), key, _HOUR)
    if task.dry_run:
        return result, totals.written
    ids, attempt = [bytes.fromhex(row.key.partition(b"|")[2].decode()) for row in rows], uuid4().hex[:8]
    for at in range(0, len(ids), _IDS_PER_CELL):
        # A task that runs again finds some rows written: what it lists must not take the place of what named them.
        column = f"{CHANGED}:{task.stamp_ms}.{attempt}.{at // _IDS_PER_CELL:03d}".encode()
        put(tables.blocks, [RowMutation(key, {column: b"".join(ids[at : at + _IDS_PER_CELL])})])
    for at in range(0, len(rows), ROWS_PER_CALL):
        put(tables.metrics, rows[at : at + ROWS_PER_CALL])
    for batch in after.combine_chunks().to_batches():
        totals.write(batch)
    return result, totals.written


class Superseded(Exception):
    """Another run computes the hour by now."""


def _put(hbase: HBaseClient, fences: str, task: _Task, table: str, rows: Sequence[RowMutation]) -> None:
    """Write with the run's time, unless another run has begun since."""
    key = _hour_key(task.hour)
    if hbase.get(fences, [key], [_FENCE])[key][_FENCE] != b"%d" % task.stamp_ms:
        raise Superseded(f"another run computes hour {task.hour}")
    hbase.mutate(table, rows, task.stamp_ms)


def _totals(hbase: HBaseClient, table: str, task: _Task, number: int) -> pa.Table:
    wanted = {} if task.is_whole else {number: task.totals[number]}
    content = list(blocks.read(hbase, table, _HOUR, wanted, COUNTED, lambda at: _slice_key(task.hour, at)))
    if any(batch is None for _, batch in content):
        raise Unfit
    return pa.Table.from_batches([batch for _, batch in content], COUNTED)


def _sums_of(totals: pa.Table) -> _Slice:
    sums = totals.group_by("country").aggregate([([], "count_all"), *((name, "sum") for name in _COUNTS)])
    by_country = {
        row["country"]: [row["count_all"], *(row[f"{name}_sum"] for name in _COUNTS)] for row in sums.to_pylist()
    }
    urls = pd.util.hash_array(totals.column("url").unique().to_numpy(zero_copy_only=False))
    return _Slice(len(totals), pc.sum(totals.column("clicks")).as_py() or 0, 0, by_country, hashed_urls=urls)


def _row(task: _Task, counted: Mapping[str, Any], sketch: bytes | None) -> RowMutation:
    """A row of ``clickstream_metrics``; without a sketch, the one that it has stays."""
    values = {name: counted[name] for name in COUNTED.names if name != "spent_ms"}
    views, seconds = counted["measured_views"], counted["spent_ms"] / 1000
    cells = METRICS.encode(
        hour=task.hour,
        **values,
        time_spent_seconds=seconds,
        average_time_spent=seconds / views if views else None,
        users_sketch=sketch,
        computed_at=task.stamp_ms,
        run_id=task.run_id,
    )
    return RowMutation(metrics_key(task.hour, counted["url"], counted["country"]), cells)


def _changed_rows(
    hbase: HBaseClient, table: str, task: _Task, before: pa.Table, after: pa.Table, changed: pa.Table
) -> list[RowMutation]:
    """The rows of what changed; raises :class:`Unfit` where a sketch to be added to is not there."""
    pages = pages_of(changed)
    counted = after.take(pc.index_in(pages, value_set=pages_of(after))).to_pylist()
    is_known = pc.is_in(pages, value_set=pages_of(before)).to_pylist()
    keys = [metrics_key(task.hour, of_page["url"], of_page["country"]) for of_page in counted]
    new = list(zip(keys, changed.column("users_sketch").to_pylist(), is_known, strict=True))
    grown = [key for key, sketch, known in new if known and sketch is not None]
    stored = hbase.get(table, grown, [_SKETCH], batch_rows=rows_per_call(METRICS.row_bytes("users_sketch")))
    try:
        sketches = [
            _union([stored[key][_SKETCH], sketch]) if known and sketch is not None else sketch
            for key, sketch, known in new
        ]
    except (KeyError, ValueError) as error:
        raise Unfit from error  # a hand was at the row
    return [_row(task, of_page, sketch) for of_page, sketch in zip(counted, sketches, strict=True)]


def _differing(
    hbase: HBaseClient, tables: TableNames, task: _Task, number: int, computed: pa.Table
) -> tuple[list[RowMutation], list[str]]:
    """Rows that differ from those that are stored, and deletions of what the result lacks; the keys of some of these.

    What a run that came to no checkpoint has on its list is written whatever is stored: it may still be at it.
    """
    rows_by_key = {row.key: row for row in (_row(task, page, page["users_sketch"]) for page in computed.to_pylist())}
    start, stop = slice_key_range(task.hour, number, task.slices)
    lists = chain.from_iterable(keys_on(hbase, tables.blocks, task.hour, *at) for at in task.unfinished)
    doubted = {key for key in chain.from_iterable(lists) if start <= key < stop}
    rows, named = [], []
    for stored in chain.from_iterable(
        hbase.scan_batches(tables.metrics, start, stop, (_FAMILY,), batch_rows=_BATCH_ROWS)
    ):
        row = rows_by_key.pop(stored.row, None)
        if row is None:
            doubted.add(stored.row)
            named.append(stored.row)
        elif not is_same(row.puts, stored.columns):
            rows.append(row._replace(deletes=tuple(stored.columns.keys() - row.puts.keys())))
            named.append(row.key)
        elif row.key in doubted:
            rows.append(row)
    rows += rows_by_key.values()
    gone = doubted - {row.key for row in rows}
    rows += [RowMutation(key, {}, (_FAMILY,)) for key in sorted(gone)]
    return rows, [key.decode() for key in [*named, *rows_by_key][:NAMED]]


def is_same(computed: Mapping[bytes, bytes], stored: Mapping[bytes, Cell]) -> bool:
    """Whether a stored row holds what was computed, whoever computed it and when."""
    return computed.keys() == stored.keys() and all(
        value == (other := stored[cell].value)
        or cell == _RUN
        or (cell == _COMPUTED_AT and other.isdigit())
        or (cell == _SKETCH and same_users(value, other))
        for cell, value in computed.items()
    )


def same_users(sketch: bytes, other: bytes) -> bool:
    """Whether two HLL sketches say the same of their users: their bytes depend on the order in which those came too.

    A union estimates by what it holds alone. If neither sketch adds anything to the other, they hold the same.
    """
    try:
        return estimate_of(sketch, other) == estimate_of(sketch, sketch) == estimate_of(other, other)
    except ValueError:
        return False  # changed by hand, and none any more
