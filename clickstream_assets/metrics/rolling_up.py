"""Days put together from their hours' columns, on Spark: no event is read again (docs/decisions/0030-days.md).

Tasks read who clicked what in some hours; users are shared out to tasks, each of which counts its own in all scopes;
these counts and the hours' totals are added up by the first digits of the document's id, compared with the day's rows,
and written where they differ. So a run that was killed is made good by the next one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from clickstream_assets.books import blocks
from clickstream_assets.books.books import Books
from clickstream_assets.books.checkpoints import Checkpoints, HourColumns, slice_key
from clickstream_assets.books.row_keys import DIGESTS
from clickstream_assets.books.table_schemas import DAILY
from clickstream_assets.events.days import end_of_day_ms, hours_of_day
from clickstream_assets.metrics.daily_metrics import ROLLED_UP, added_up, rolled_up
from clickstream_assets.metrics.day_rows import DayTask, DayTotals, document_ids, write_totals
from clickstream_assets.metrics.hourly_metrics import COUNTED, PEOPLE
from clickstream_assets.metrics.people_columns import HOUR, WHO_CLICKED
from clickstream_assets.stores.hbase.client import HBaseClient, rows_per_call
from clickstream_assets.stores.spark.tasks import ANSWER, answer, answers_of, in_tasks, put_together

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SLICE_BYTES = 32 << 20
"""Of who clicked what, in memory, that one task counts."""
_TRIES = 3
_Counted = TypeVar("_Counted")
Attempt = Callable[[Mapping[int, int], Mapping[int, HourColumns]], tuple[_Counted, set[int]]]
"""What is counted by the marks of hours and of their columns, and hours whose columns are not what the books say."""
_BATCH_ROWS = rows_per_call(DAILY.row_bytes())
_OF_HOUR, _UNFIT = "hour", "unfit"
"""Scopes of what no row is written of: people of an hour in all; hours whose columns are not what the books say."""
_PART = pa.schema([("slice", pa.int32()), *ROLLED_UP, ("hour", pa.int64())])
_PERSON = PEOPLE.append(HOUR)


def roll_up(spark: "SparkSession", books: Books, day: int, run_id: str, *, whole: bool = False) -> DayTotals:
    """Bring a day's rows up to date with its hours' metrics, and note of which these are.

    Compared with the totals of the roll-up before; row by row with ``whole``, once the day has ended, where a check has
    found it wrong, and twice after a run that came to no end. Hours whose columns are not what the books say are
    returned as unfit: the day is left as it is.
    """
    state = books.days.read([day])[day]
    begun_ms = books.days.begin(day)
    has_ended = state.rolled_up_ms < end_of_day_ms(day) <= begun_ms
    before = () if whole or has_ended or state.is_doubted or state.is_unfinished else state.columns

    def attempt(marks: Mapping[int, int], columns: Mapping[int, HourColumns]) -> tuple[DayTotals, set[int]]:
        result = _rolled_up(spark, books, DayTask(day, columns, begun_ms, run_id, 0, before))
        if not result.unfit:
            _remember_users(books, {hour: (result.users_by_hour.get(hour, 0), mark) for hour, mark in marks.items()})
            of_slices = [cells for _, cells in sorted(result.columns.items())]
            # What a killed run still had under way may have come behind the look at a row: the next one looks too.
            books.days.end(day, begun_ms, marks, () if state.is_unfinished else of_slices)
        return result, result.unfit

    result, unfit = of_columns(books, day, attempt, DayTotals())
    return replace(result, unfit=unfit)


def of_columns(books: Books, day: int, attempt: Attempt[_Counted], nothing: _Counted) -> tuple[_Counted, set[int]]:
    """What an attempt counts of a day; nothing, and the hours, where columns are lacking or not what the books say."""
    checkpoints, unfit = Checkpoints(books), set[int]()
    for _ in range(_TRIES):
        marks = {hour: state.computed for hour, state in books.hours.read(hours_of_day(day)).items() if state.computed}
        columns = checkpoints.columns(marks)
        if lacking := marks.keys() - columns.keys():
            return nothing, set(lacking)
        counted, unfit = attempt(marks, columns)
        if not unfit:
            return counted, unfit
        if checkpoints.columns(unfit) == {hour: columns[hour] for hour in unfit}:
            break  # else the hour was computed meanwhile, and what it was made of is gone
    return nothing, unfit


def _remember_users(books: Books, users: Mapping[int, tuple[int, int]]) -> None:
    known = {hour: (state.users, state.users_of) for hour, state in books.hours.read(users).items()}
    books.hours.remember_users({hour: counted for hour, counted in users.items() if counted != known[hour]})


def ask_again(books: Books, hours: Iterable[int]) -> list[int]:
    """Have hours computed whose columns are not what the books say, or that lack them; returns those.

    Left out are those that wait to be computed anyway, or just are: their columns may be about to be named.
    """
    at_rest = [hour for hour, state in books.hours.read(hours).items() if not state.stale]
    there = Checkpoints(books).columns(at_rest)
    books.hours.doubt(there)
    books.hours.touch(hour for hour in at_rest if hour not in there)  # without them it is computed whole by itself
    return at_rest


def _rolled_up(spark: "SparkSession", books: Books, task: DayTask) -> DayTotals:
    hours = task.hours
    people = [(hour, place) for hour, columns in hours.items() for place in columns.people]
    raw_bytes = sum(place.cells.raw_bytes for _, place in people)
    task = replace(task, slices=min(DIGESTS, max(1, ceil(raw_bytes / SLICE_BYTES))))
    readers = put_together(people, lambda of: of[1].cells.raw_bytes, SLICE_BYTES // 2)
    part, person = blocks.ddl(_PART), blocks.ddl(_PERSON)
    totals = [(hour, number) for hour, columns in hours.items() for number in range(len(columns.slices))]
    dealt = put_together(totals, lambda of: hours[of[0]].slices[of[1]].raw_bytes, SLICE_BYTES // 2)
    parts = in_tasks(spark, dealt or [[]], partial(_read_totals, books, task), part)
    if readers:
        read = in_tasks(spark, readers, partial(WHO_CLICKED.of_hours, books), person)
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
    result.columns |= of_slice.columns
    result.users_by_hour |= of_slice.users_by_hour
    result.unfit |= of_slice.unfit


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
        ids = document_ids(task.day, totals)
        numbers = pa.array((int(of_row[:2], 16) * task.slices // DIGESTS for of_row in ids), pa.int32())
    else:
        numbers = pa.repeat(pa.scalar(0, pa.int32()), len(totals))
    yield from _parts(totals.append_column("slice", numbers))


def _parts(rows: pa.Table) -> Iterator[pa.RecordBatch]:
    yield from pa.concat_tables([_PART.empty_table(), rows], promote_options="default").to_batches()


def _write_slices(books: Books, task: DayTask, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    arrived = pa.Table.from_batches(list(batches), _PART)
    with books.hbase.another() as hbase:
        for number in pc.unique(arrived.column("slice")).to_pylist():
            is_of_slice = pc.and_(pc.equal(arrived.column("slice"), number), pc.is_valid(arrived.column("scope")))
            yield answer(_write_slice(hbase, books, task, number, arrived.filter(is_of_slice)))


def _write_slice(hbase: HBaseClient, books: Books, task: DayTask, number: int, parts: pa.Table) -> DayTotals:
    unfit = set(parts.filter(pc.equal(parts.column("scope"), _UNFIT)).column("hour").to_pylist())
    if unfit:
        return DayTotals(unfit=unfit)
    is_hour = pc.equal(parts.column("scope"), _OF_HOUR)
    totals = added_up(parts.filter(pc.invert(is_hour)).select(ROLLED_UP.names))
    result = write_totals(hbase, books, task, number, totals)
    for row in parts.filter(is_hour).select(["hour", "unique_users"]).to_pylist():
        result.users_by_hour[row["hour"]] = result.users_by_hour.get(row["hour"], 0) + row["unique_users"]
    return result
