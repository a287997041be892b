"""Rows of ``clickstream_metrics``: what a slice of an hour comes to, which rows change, how they are written."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any
from uuid import uuid4

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from datasketches import tgt_hll_type

from clickstream_assets.books import blocks
from clickstream_assets.books.blocks import CellsUnfit
from clickstream_assets.books.books import TableNames
from clickstream_assets.books.checkpoints import (
    BATCH_ROWS,
    CHANGED,
    FENCE,
    hour_key,
    keys_on,
    slice_key,
)
from clickstream_assets.books.ledger_entries import Cells
from clickstream_assets.books.row_keys import metrics_key, slice_key_range
from clickstream_assets.books.table_schemas import METRICS
from clickstream_assets.events.url_limits import OTHER
from clickstream_assets.metrics.hour_tasks import HourTask, Slice, Unfit
from clickstream_assets.metrics.hourly_metrics import COUNTED, COUNTS, Changes, estimate_of, in_row, pages_of, union_of
from clickstream_assets.metrics.people_columns import put_users
from clickstream_assets.metrics.url_bound import is_beyond
from clickstream_assets.stores.hbase.client import ROWS_PER_CALL, HBaseClient, RowMutation, rows_per_call
from clickstream_assets.stores.hbase.thrift_rows import Cell
from clickstream_assets.stores.spark.tasks import NAMED

_IDS_PER_CELL = 4_096
"""What one task of the index does at least."""
_HOUR = "hour"
_COMPUTED_AT, _RUN, _SKETCH = (METRICS.columns[name].key for name in ("computed_at", "run_id", "users_sketch"))
_FAMILY = b"metrics"


def by_page(counts: pa.Table, *more: tuple[str, str]) -> pa.Table:
    """Counts added up as one row for each url and country, in order of their first; and what ``more`` asks for."""
    sums = counts.group_by(["url", "country"], use_threads=False)
    added = sums.aggregate([*((name, "sum") for name in COUNTS), *more])
    return added.rename_columns([name.removesuffix("_sum") for name in added.column_names])


def union(sketches: Sequence[bytes]) -> bytes | None:
    if len(sketches) <= 1:
        return sketches[0] if sketches else None
    return bytes(union_of(sketches).get_result(tgt_hll_type.HLL_8).serialize_updatable())


def write(hbase: HBaseClient, tables: TableNames, task: HourTask, number: int, changes: Changes) -> tuple[Slice, Cells]:
    """Add changes to a slice's totals, and write rows and totals; raises :class:`Unfit` if totals are not theirs.

    So it does where changes would make more urls than count by name: which ones do, takes the whole hour to tell.
    """
    put, key, changed = partial(_put, hbase, tables.blocks, task), slice_key(task.hour, number), changes.counts
    before = _totals(hbase, tables.blocks, task, number)
    after = by_page(pa.concat_tables([before, changed.select(COUNTED.names)])).select(COUNTED.names)
    if not task.is_whole and is_beyond(after.column("url"), task.counted.limits):
        raise Unfit
    result = _sums_of(after)
    result.is_bounded = task.counted.kept is not None
    if task.is_whole:
        rows, result.named = _differing(hbase, tables, task, number, changed)
    else:
        rows = _changed_rows(hbase, tables.metrics, task, before, after, changed)
    result.written, result.deleted = sum(1 for row in rows if row.puts), sum(1 for row in rows if not row.puts)
    totals = blocks.CellWriter(lambda row: put(tables.blocks, [row]), key, _HOUR)
    if task.dry_run:
        return result, totals.written
    put_users(hbase, tables.blocks, task, number, changes.people, result, put)
    ids, attempt = [bytes.fromhex(row.key.partition(b"|")[2].decode()) for row in rows], uuid4().hex[:8]
    for at in range(0, len(ids), _IDS_PER_CELL):
        # A task that runs again finds some rows written: what it lists must not take the place of what named them.
        column = f"{CHANGED}:{task.stamp_ms}.{attempt}.{at // _IDS_PER_CELL:03d}".encode()
        put(tables.blocks, [RowMutation(key, {column: b"".join(ids[at : at + _IDS_PER_CELL])})])
    for at in range(0, len(rows), ROWS_PER_CALL):
        put(tables.metrics, rows[at : at + ROWS_PER_CALL])
    return result, totals.write_table(after)


class Superseded(Exception):
    """Another run computes the hour by now."""


def _put(hbase: HBaseClient, fences: str, task: HourTask, table: str, rows: Sequence[RowMutation]) -> None:
    """Write with the run's time, unless another run has begun since."""
    key = hour_key(task.hour)
    if hbase.get(fences, [key], [FENCE])[key][FENCE] != b"%d" % task.stamp_ms:
        raise Superseded(f"another run computes hour {task.hour}")
    hbase.mutate(table, rows, task.stamp_ms)


def _totals(hbase: HBaseClient, table: str, task: HourTask, number: int) -> pa.Table:
    if task.is_whole:
        return COUNTED.empty_table()
    try:
        return blocks.read_one(hbase, table, _HOUR, slice_key(task.hour, number), task.totals[number], COUNTED)
    except CellsUnfit as unfit:
        raise Unfit from unfit


def _sums_of(totals: pa.Table) -> Slice:
    sums = totals.group_by("country").aggregate([([], "count_all"), *((name, "sum") for name in COUNTS)])
    by_country = {
        row["country"]: [row["count_all"], *(row[f"{name}_sum"] for name in COUNTS)] for row in sums.to_pylist()
    }
    urls = pd.util.hash_array(totals.column("url").unique().to_numpy(zero_copy_only=False))
    clicks = pc.sum(totals.column("clicks")).as_py() or 0
    of_others = totals.filter(pc.equal(totals.column("url"), OTHER))
    other_clicks = pc.sum(of_others.column("clicks")).as_py() or 0
    return Slice(len(totals), clicks, 0, by_country, other_clicks, hashed_urls=urls)


def _row(task: HourTask, counted: Mapping[str, Any], sketch: bytes | None) -> RowMutation:
    """A row of ``clickstream_metrics``; without a sketch, the one that it has stays."""
    values = in_row({**counted, "users_sketch": sketch})
    cells = METRICS.encode(hour=task.hour, **values, computed_at=task.stamp_ms, run_id=task.run_id)
    return RowMutation(metrics_key(task.hour, counted["url"], counted["country"]), cells)


def _changed_rows(
    hbase: HBaseClient, table: str, task: HourTask, before: pa.Table, after: pa.Table, changed: pa.Table
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
            union([stored[key][_SKETCH], sketch]) if known and sketch is not None else sketch
            for key, sketch, known in new
        ]
    except (KeyError, ValueError) as error:
        raise Unfit from error  # a hand was at the row
    return [_row(task, of_page, sketch) for of_page, sketch in zip(counted, sketches, strict=True)]


def _differing(
    hbase: HBaseClient, tables: TableNames, task: HourTask, number: int, computed: pa.Table
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
        hbase.scan_batches(tables.metrics, start, stop, (_FAMILY,), batch_rows=BATCH_ROWS)
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
        _agrees(cell, value, stored[cell].value) for cell, value in computed.items()
    )


def _agrees(cell: bytes, computed: bytes, stored: bytes) -> bool:
    if computed == stored or cell == _RUN:
        return True
    if cell == _COMPUTED_AT:
        return stored.isdigit()
    return cell == _SKETCH and same_users(computed, stored)


def same_users(sketch: bytes, other: bytes) -> bool:
    """Whether two HLL sketches say the same of their users: their bytes depend on the order in which those came too.

    A union estimates by what it holds alone. If neither sketch adds anything to the other, they hold the same.
    """
    try:
        return estimate_of(sketch, other) == estimate_of(sketch, sketch) == estimate_of(other, other)
    except ValueError:
        return False  # changed by hand, and none any more
