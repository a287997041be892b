"""Days put together from their hours' columns, on Spark: no event is read again (docs/decisions/0030-days.md).

Tasks read who clicked what in some hours; users are shared out to tasks, each of which counts its own in all scopes;
these counts and the hours' totals are added up by the first digits of the document's id, compared with the day's rows,
and written where they differ. So a run that was killed is made good by the next one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from math import ceil
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from clickstream_assets.books import blocks
from clickstream_assets.books.blocks import CellsUnfit
from clickstream_assets.books.books import Books
from clickstream_assets.books.checkpoints import Checkpoints, HourColumns, People, slice_key
from clickstream_assets.books.day_states import DayStates
from clickstream_assets.books.row_keys import DIGESTS, daily_document_id, daily_key_range, sliced
from clickstream_assets.books.table_schemas import DAILY
from clickstream_assets.events.days import hours_of_day
from clickstream_assets.metrics.daily_metrics import NAMES, ROLLED_UP, added_up, rolled_up
from clickstream_assets.metrics.hourly_metrics import COUNTED, PEOPLE
from clickstream_assets.metrics.page_rows import Superseded, is_same
from clickstream_assets.metrics.people_columns import WHO_CLICKED
from clickstream_assets.stores.hbase.client import ROWS_PER_CALL, HBaseClient, RowMutation, rows_per_call
from clickstream_assets.stores.spark.tasks import ANSWER, answer, answers_of, in_tasks, put_together

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SLICE_BYTES = 32 << 20
"""Of who clicked what, in memory, that one task counts."""
_TRIES = 3
_BATCH_ROWS = rows_per_call(DAILY.row_bytes())
_OF_HOUR, _UNFIT = "hour", "unfit"
"""Scopes of what no row is written of: people of an hour in all; hours whose columns are not what the books say."""
_PART = pa.schema([("slice", pa.int32()), *ROLLED_UP, ("hour", pa.int64())])
_PERSON = pa.schema([*PEOPLE, ("hour", pa.int64())])


@dataclass(frozen=True, slots=True)
class DayTask:
    """One day to roll up, as a worker needs it."""

    day: int
    hours: Mapping[int, HourColumns]
    begun_ms: int
    run_id: str
    slices: int


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


def roll_up(spark: "SparkSession", books: Books, day: int, run_id: str) -> DayTotals:
    """Bring a day's rows up to date with its hours' metrics, and note of which these are.

    Hours whose columns are not what the books say are returned as unfit: the day is left as it is.
    """
    begun_ms, checkpoints = books.days.begin(day), Checkpoints(books)
    for _ in range(_TRIES):
        marks = {hour: state.computed for hour, state in books.hours.read(hours_of_day(day)).items() if state.computed}
        columns = checkpoints.columns(marks)
        if lacking := marks.keys() - columns.keys():
            return DayTotals(unfit=set(lacking))
        result = _rolled_up(spark, books, day, columns, begun_ms, run_id)
        if not result.unfit:
            _remember_users(books, dict.fromkeys(marks, 0) | result.users_by_hour)
            books.days.end(day, begun_ms, marks)
            return result
        if checkpoints.columns(result.unfit) == {hour: columns[hour] for hour in result.unfit}:
            break  # else the hour was computed meanwhile, and what it was made of is gone
    return result


def _remember_users(books: Books, users: Mapping[int, int]) -> None:
    known = books.hours.read(users)
    books.hours.remember_users({hour: count for hour, count in users.items() if count != known[hour].users})


def ask_again(books: Books, hours: Iterable[int]) -> list[int]:
    """Have hours computed whose columns are not what the books say, or that lack them; returns those.

    Left out are those that wait to be computed anyway, or just are: their columns may be about to be named.
    """
    at_rest = [hour for hour, state in books.hours.read(hours).items() if not state.stale]
    there = Checkpoints(books).columns(at_rest)
    books.hours.doubt(there)
    books.hours.touch(hour for hour in at_rest if hour not in there)  # without them it is computed whole by itself
    return at_rest


def _rolled_up(
    spark: "SparkSession", books: Books, day: int, hours: Mapping[int, HourColumns], begun_ms: int, run_id: str
) -> DayTotals:
    people = [(hour, place) for hour, columns in hours.items() for place in columns.people]
    raw_bytes = sum(place.cells.raw_bytes for _, place in people)
    task = DayTask(day, hours, begun_ms, run_id, min(DIGESTS, max(1, ceil(raw_bytes / SLICE_BYTES))))
    readers = put_together(people, lambda of: of[1].cells.raw_bytes, SLICE_BYTES // 2)
    part, person = blocks.ddl(_PART), blocks.ddl(_PERSON)
    totals = [(hour, number) for hour, columns in hours.items() for number in range(len(columns.slices))]
    dealt = put_together(totals, lambda of: hours[of[0]].slices[of[1]].raw_bytes, SLICE_BYTES // 2)
    parts = in_tasks(spark, dealt or [[]], partial(_read_totals, books, task), part)
    if readers:
        read = in_tasks(spark, readers, partial(_read_people, books), person)
        counted = read.repartition(task.slices, "user_key").mapInArrow(partial(_count_people, task), part)
        parts = parts.unionByName(counted, allowMissingColumns=True)
    every = spark.range(0, task.slices).selectExpr("cast(id as int) as slice")
    parts = parts.unionByName(every, allowMissingColumns=True)
    by_slice = parts.repartition(task.slices, "slice").sortWithinPartitions("slice")
    result = DayTotals()
    for of_slice in answers_of(by_slice.mapInArrow(partial(_write_slices, books, task), ANSWER)):
        _add(result, of_slice)
    return result


def _add(result: DayTotals, of_slice: DayTotals) -> None:
    for name in ("rows", "written", "deleted", "clicks", "users"):
        setattr(result, name, getattr(result, name) + getattr(of_slice, name))
    result.users_by_hour |= of_slice.users_by_hour
    result.unfit |= of_slice.unfit


def _read_people(books: Books, of: Iterable[tuple[int, People]]) -> Iterator[pa.RecordBatch]:
    with books.hbase.another() as hbase:
        for hour, place in of:
            try:
                table = WHO_CLICKED.read(hbase, books.tables.blocks, hour, place)
            except CellsUnfit:
                table = pa.Table.from_pylist([{}], PEOPLE)
            yield from table.append_column(_PERSON.field("hour"), pa.repeat(hour, len(table))).to_batches()


def _count_people(task: DayTask, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    people = pa.Table.from_batches(list(batches), _PERSON)
    is_there = pc.is_valid(people.column("user_key"))
    yield from _unfit(task, people.filter(pc.invert(is_there)).column("hour").unique().to_pylist())
    people = people.filter(is_there)
    by_hour = people.group_by("hour").aggregate([("user_key", "count_distinct")])
    of_hours = {"hour": by_hour.column("hour"), "unique_users": by_hour.column("user_key_count_distinct")}
    of_hours["scope"] = pa.repeat(_OF_HOUR, len(by_hour))
    of_hours["slice"] = pa.repeat(pa.scalar(0, pa.int32()), len(by_hour))
    yield from _parts(pa.table(of_hours))
    yield from _in_slices(task, rolled_up(COUNTED.empty_table(), people.select(PEOPLE.names)))


def _read_totals(books: Books, task: DayTask, of: Sequence[tuple[int, int]]) -> Iterator[pa.RecordBatch]:
    kept, unfit = [], set()
    with books.hbase.another() as hbase:
        wanted = {place: task.hours[place[0]].slices[place[1]] for place in of}
        for place, batch in blocks.read(
            hbase, books.tables.blocks, "hour", wanted, COUNTED, lambda place: slice_key(*place)
        ):
            if batch is None:
                unfit.add(place[0])
            else:
                kept.append(batch)
    yield from _unfit(task, unfit)
    yield from _in_slices(task, rolled_up(pa.Table.from_batches(kept, COUNTED), PEOPLE.empty_table()))


def _unfit(task: DayTask, hours: Iterable[int]) -> Iterator[pa.RecordBatch]:
    """To every slice: none is to be written without these hours."""
    told = [{"slice": at, "scope": _UNFIT, "hour": hour} for at in range(task.slices) for hour in hours]
    yield from pa.Table.from_pylist(told, _PART).to_batches()


def _in_slices(task: DayTask, totals: pa.Table) -> Iterator[pa.RecordBatch]:
    if task.slices > 1:
        ids = _ids(task.day, totals)
        numbers = pa.array((int(of_row[:2], 16) * task.slices // DIGESTS for of_row in ids), pa.int32())
    else:
        numbers = pa.repeat(pa.scalar(0, pa.int32()), len(totals))
    yield from _parts(totals.append_column("slice", numbers))


def _parts(rows: pa.Table) -> Iterator[pa.RecordBatch]:
    yield from pa.concat_tables([_PART.empty_table(), rows], promote_options="default").to_batches()


def _ids(day: int, totals: pa.Table) -> list[str]:
    columns = (totals.column(name).to_pylist() for name in ("scope", *NAMES))
    return [daily_document_id(day, *row) for row in zip(*columns, strict=True)]


def _write_slices(books: Books, task: DayTask, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    arrived = pa.Table.from_batches(list(batches), _PART)
    with books.hbase.another() as hbase:
        for number in pc.unique(arrived.column("slice")).to_pylist():
            of_slice = arrived.filter(pc.equal(arrived.column("slice"), number))
            yield answer(_written(hbase, books, task, number, of_slice.filter(pc.is_valid(of_slice.column("scope")))))


def _written(hbase: HBaseClient, books: Books, task: DayTask, number: int, parts: pa.Table) -> DayTotals:
    result = DayTotals(unfit=set(parts.filter(pc.equal(parts.column("scope"), _UNFIT)).column("hour").to_pylist()))
    if result.unfit:
        return result
    is_hour = pc.equal(parts.column("scope"), _OF_HOUR)
    for row in parts.filter(is_hour).select(["hour", "unique_users"]).to_pylist():
        result.users_by_hour[row["hour"]] = result.users_by_hour.get(row["hour"], 0) + row["unique_users"]
    totals = added_up(parts.filter(pc.invert(is_hour)).select(ROLLED_UP.names))
    overall = totals.filter(pc.equal(totals.column("scope"), "all")).to_pylist()
    result.rows, result.clicks = len(totals), sum(row["clicks"] for row in overall)
    result.users = sum(row["unique_users"] for row in overall)
    rows = _differing(hbase, books, task, number, totals)
    result.written, result.deleted = sum(1 for row in rows if row.puts), sum(1 for row in rows if not row.puts)
    for at in range(0, len(rows), ROWS_PER_CALL):
        if not DayStates(hbase, books.tables.ledger).is_latest(task.day, task.begun_ms):
            raise Superseded(f"another run rolls day {task.day} up")
        hbase.mutate(books.tables.daily, rows[at : at + ROWS_PER_CALL], task.begun_ms)
    return result


def _differing(hbase: HBaseClient, books: Books, task: DayTask, number: int, totals: pa.Table) -> list[RowMutation]:
    """Rows that differ from those that are stored, and deletions of what the result lacks."""
    prefix, _ = daily_key_range(task.day)
    ids = (prefix + of_row.encode() for of_row in _ids(task.day, totals))
    wanted = {key: _cells(task, row) for key, row in zip(ids, totals.to_pylist(), strict=True)}
    rows = []
    between = sliced(prefix, number, task.slices)
    for stored in chain.from_iterable(hbase.scan_batches(books.tables.daily, *between, batch_rows=_BATCH_ROWS)):
        cells = wanted.pop(stored.row, None)
        if cells is None:
            rows.append(RowMutation(stored.row, {}, (b"metrics",)))
        elif not is_same(cells, stored.columns):
            rows.append(RowMutation(stored.row, cells, tuple(stored.columns.keys() - cells.keys())))
    return rows + [RowMutation(key, cells) for key, cells in wanted.items()]


def _cells(task: DayTask, row: Mapping[str, Any]) -> dict[bytes, bytes]:
    views, seconds = row["measured_views"], row["spent_ms"] / 1000
    values = {name: value for name, value in row.items() if name != "spent_ms"}
    return DAILY.encode(
        day=task.day,
        **values,
        time_spent_seconds=seconds,
        average_time_spent=seconds / views if views else None,
        computed_at=task.begun_ms,
        run_id=task.run_id,
    )
