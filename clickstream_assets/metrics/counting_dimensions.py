"""A day's dimensions counted from its hours' audiences, on Spark: no event is read again (docs/decisions/0032).

Tasks read audiences; users are shared out to tasks, each of which counts its own in all hours and in the day; these
counts are added up by the value, and each task keeps the values that may be among the largest.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from math import ceil
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from clickstream_assets.books import blocks
from clickstream_assets.books.books import Books
from clickstream_assets.books.checkpoints import HourColumns
from clickstream_assets.books.row_keys import DIGESTS
from clickstream_assets.metrics.dimension_totals import CAME, DIMENSION_TOTALS, bounded, dimension_totals
from clickstream_assets.metrics.people_columns import WHO_CAME
from clickstream_assets.metrics.rolling_up import of_columns
from clickstream_assets.stores.spark.tasks import in_tasks, put_together

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SLICE_BYTES = 64 << 20
"""Of audiences, in memory, that one task counts."""


def count_dimensions(spark: "SparkSession", books: Books, day: int) -> tuple[pa.Table, set[int]]:
    """The totals of a day's dimensions (:data:`DIMENSION_TOTALS`), bounded.

    Hours whose audiences are not what the books say are returned beside: where there are any, no totals are.
    """
    return of_columns(books, day, lambda _, columns: _counted(spark, books, columns), DIMENSION_TOTALS.empty_table())


def _counted(spark: "SparkSession", books: Books, hours: Mapping[int, HourColumns]) -> tuple[pa.Table, set[int]]:
    places = [(hour, place) for hour, columns in hours.items() for place in columns.audience]
    if not places:
        return DIMENSION_TOTALS.empty_table(), set()
    slices = min(DIGESTS, max(1, ceil(sum(place.cells.raw_bytes for _, place in places) / SLICE_BYTES)))
    readers = put_together(places, lambda of: of[1].cells.raw_bytes, SLICE_BYTES // 2)
    of_totals = blocks.ddl(DIMENSION_TOTALS)
    came = in_tasks(spark, readers, partial(WHO_CAME.of_hours, books), blocks.ddl(CAME))
    counted = came.repartition(slices, "user_key").mapInArrow(_count, of_totals)
    largest = counted.repartition(slices, "value").mapInArrow(_bound, of_totals)
    if slices > 1:  # the driver gets the largest of all, however many tasks have some
        largest = largest.repartition(slices, "hour", "dimension").mapInArrow(_bound, of_totals)
    found = largest.toArrow().select(DIMENSION_TOTALS.names).cast(DIMENSION_TOTALS)
    is_total = pc.is_valid(found.column("dimension"))
    unfit = found.filter(pc.invert(is_total)).column("hour").unique().to_pylist()
    return bounded(found.filter(is_total)), set(unfit)


def _count(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    came = pa.Table.from_batches(list(batches), CAME)
    is_there = pc.is_valid(came.column("user_key"))
    unfit = came.filter(pc.invert(is_there)).column("hour").unique().to_pylist()
    yield from pa.Table.from_pylist([{"hour": hour} for hour in unfit], DIMENSION_TOTALS).to_batches()
    yield from dimension_totals(came.filter(is_there)).to_batches()


def _bound(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    totals = pa.Table.from_batches(list(batches), DIMENSION_TOTALS)
    is_total = pc.is_valid(totals.column("dimension"))
    yield from totals.filter(pc.invert(is_total)).to_batches()
    yield from bounded(totals.filter(is_total)).to_batches()
