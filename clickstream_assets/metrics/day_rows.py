"""Rows of ``clickstream_daily_metrics``: which of a day's totals changed, and how they are written.

A roll-up keeps the totals by column too. The next one compares its own with these, and touches the rows of what
changed alone. Row by row it compares where it cannot trust them: after a run that came to no end, by hand, and once
the day has ended.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from clickstream_assets.books import blocks
from clickstream_assets.books.blocks import CellsUnfit, CellWriter
from clickstream_assets.books.books import Books
from clickstream_assets.books.checkpoints import HourColumns, hour_key
from clickstream_assets.books.day_states import DayStates
from clickstream_assets.books.ledger_entries import Cells
from clickstream_assets.books.row_keys import daily_document_id, daily_key_range, sliced
from clickstream_assets.books.table_schemas import DAILY
from clickstream_assets.events.days import hours_of_day
from clickstream_assets.metrics.daily_metrics import COUNTS, NAMES, ROLLED_UP
from clickstream_assets.metrics.hourly_metrics import in_row
from clickstream_assets.metrics.page_rows import Superseded, is_same
from clickstream_assets.stores.hbase.client import ROWS_PER_CALL, HBaseClient, RowMutation, rows_per_call

_BATCH_ROWS = rows_per_call(DAILY.row_bytes())
_FAMILY = "hour"
_WITHOUT_VIEWS = (DAILY.columns["average_time_spent"].key,)
"""What a row lacks whose last measured view is gone."""


@dataclass(frozen=True, slots=True)
class DayTask:
    """One day to roll up, as a worker needs it."""

    day: int
    hours: Mapping[int, HourColumns]
    begun_ms: int
    run_id: str
    slices: int
    before: tuple[Cells, ...] = ()
    """The totals by column of the roll-up before, by slice; none where they are not to be trusted."""


@dataclass(slots=True)
class DayTotals:
    """What became of one day."""

    rows: int = 0
    written: int = 0
    """Rows that are new or changed."""
    deleted: int = 0
    """Rows that the result lacks."""
    clicks: int = 0
    users: int = 0
    users_by_hour: dict[int, int] = field(default_factory=dict)
    unfit: set[int] = field(default_factory=set)
    """Hours whose columns are not what the books say: nothing that needs them was written."""
    columns: dict[int, Cells] = field(default_factory=dict)
    """By slice, where the totals lie by column."""


def totals_key(day: int, number: int) -> bytes:
    """Where a slice of a day's totals lies by column, in ``clickstream_blocks``."""
    return hour_key(hours_of_day(day)[0]) + f"t{number:03d}".encode()


def document_ids(day: int, totals: pa.Table) -> list[str]:
    columns = (totals.column(name).to_pylist() for name in ("scope", *NAMES))
    return [daily_document_id(day, *row) for row in zip(*columns, strict=True)]


def write_totals(hbase: HBaseClient, books: Books, task: DayTask, number: int, totals: pa.Table) -> DayTotals:
    """Write the rows of a slice's totals (:data:`ROLLED_UP`) that changed; raises :class:`Superseded`."""
    overall = totals.filter(pc.equal(totals.column("scope"), "all")).to_pylist()
    result = DayTotals(rows=len(totals))
    result.clicks, result.users = (sum(row[name] for row in overall) for name in ("clicks", "unique_users"))
    try:
        rows = _changed(task, totals, _before(hbase, books, task, number))
    except CellsUnfit:
        rows = _differing(hbase, books, task, number, totals)
    result.written, result.deleted = sum(1 for row in rows if row.puts), sum(1 for row in rows if not row.puts)

    def put(table: str, of_call: list[RowMutation]) -> None:
        if not DayStates(hbase, books.tables.ledger).is_latest(task.day, task.begun_ms):
            raise Superseded(f"another run rolls day {task.day} up")
        hbase.mutate(table, of_call, task.begun_ms)

    for at in range(0, len(rows), ROWS_PER_CALL):
        put(books.tables.daily, rows[at : at + ROWS_PER_CALL])
    writer = CellWriter(lambda row: put(books.tables.blocks, [row]), totals_key(task.day, number), _FAMILY)
    result.columns[number] = writer.write_table(totals)
    return result


def _before(hbase: HBaseClient, books: Books, task: DayTask, number: int) -> pa.Table:
    """The totals of the roll-up before; raises :class:`CellsUnfit` where they are not to be trusted."""
    if len(task.before) != task.slices:
        raise CellsUnfit("none, or of other slices")
    key, cells = totals_key(task.day, number), task.before[number]
    return blocks.read_one(hbase, books.tables.blocks, _FAMILY, key, cells, ROLLED_UP)


def _changed(task: DayTask, totals: pa.Table, before: pa.Table) -> list[RowMutation]:
    """Rows of totals that are not as they were before, and deletions of what the result lacks."""
    names, names_before = _names(totals), _names(before)
    at = pc.index_in(names, value_set=names_before)
    same = pc.is_valid(at)
    for name in COUNTS:
        as_before = before.column(name).take(at)
        same = pc.and_(same, pc.fill_null(pc.equal(totals.column(name), as_before), False))
    changed = totals.filter(pc.invert(same))
    gone = before.filter(pc.invert(pc.is_in(names_before, value_set=names)))
    keys = _keys(task.day, changed)
    rows = [
        RowMutation(key, _cells(task, row), () if row["measured_views"] else _WITHOUT_VIEWS)
        for key, row in zip(keys, changed.to_pylist(), strict=True)
    ]
    return rows + [RowMutation(key, {}, (b"metrics",)) for key in _keys(task.day, gone)]


def _names(totals: pa.Table) -> pa.ChunkedArray:
    """What tells a total from the others as one text: no part of it holds a control character."""
    parts = [pc.fill_null(totals.column(name), "") for name in ("scope", *NAMES)]
    return pc.binary_join_element_wise(*parts, "\x1f")


def _keys(day: int, totals: pa.Table) -> list[bytes]:
    prefix, _ = daily_key_range(day)
    return [prefix + of_row.encode() for of_row in document_ids(day, totals)]


def _differing(hbase: HBaseClient, books: Books, task: DayTask, number: int, totals: pa.Table) -> list[RowMutation]:
    """Rows that differ from those that are stored, and deletions of what the result lacks."""
    pairs = zip(_keys(task.day, totals), totals.to_pylist(), strict=True)
    wanted = {key: _cells(task, row) for key, row in pairs}
    rows = []
    between = sliced(daily_key_range(task.day)[0], number, task.slices)
    for stored in chain.from_iterable(hbase.scan_batches(books.tables.daily, *between, batch_rows=_BATCH_ROWS)):
        cells = wanted.pop(stored.row, None)
        if cells is None:
            rows.append(RowMutation(stored.row, {}, (b"metrics",)))
        elif not is_same(cells, stored.columns):
            rows.append(RowMutation(stored.row, cells, tuple(stored.columns.keys() - cells.keys())))
    return rows + [RowMutation(key, cells) for key, cells in wanted.items()]


def _cells(task: DayTask, row: Mapping[str, Any]) -> dict[bytes, bytes]:
    values = {name: value for name, value in in_row(row).items() if name in DAILY.columns}
    return DAILY.encode(day=task.day, **values, computed_at=task.begun_ms, run_id=task.run_id)
