"""An hour's metrics in ``clickstream_metrics`` replaced by newly computed ones: what is the same is left as it is.

While events flow an hour is computed every few seconds, and nearly all of its metrics are what they were. So each Spark
task compares its part of what was computed with what is stored, and sends HBase the differences: rows that are new or
changed are put, with the run's stamps, and rows that the result lacks are deleted (docs/decisions/0013).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from datasketches import hll_sketch, hll_union
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from clickstream_assets.clients.hbase import HBaseClient, RowMutation, rows_per_call
from clickstream_assets.clients.thrift_rows import Cell
from clickstream_assets.domain.books import Books
from clickstream_assets.domain.hours import hour_of_key
from clickstream_assets.domain.metrics import MetricsTasks
from clickstream_assets.domain.table_schemas import METRICS
from clickstream_assets.spark_sources.hbase import mutations

_COMPUTED_AT, _RUN = (METRICS.columns[name].key for name in ("computed_at", "run_id"))
_SKETCH = METRICS.columns["users_sketch"].key
_FAMILY = b"metrics"


@dataclass(frozen=True, slots=True)
class Replaced:
    """What became of one hour's metrics."""

    rows: int = 0
    """All that the hour has now."""
    clicks: int = 0
    """Of all these."""
    written: int = 0
    """Rows that are new or differ from what was stored."""
    deleted: int = 0
    """Rows that the new result lacks."""


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

    def estimate(*sketches: bytes) -> float:
        union = hll_union(_LG_K)
        for serialized in sketches:
            union.update(hll_sketch.deserialize(serialized))
        return float(union.get_estimate())

    try:
        return estimate(sketch, other) == estimate(sketch, sketch) == estimate(other, other)
    except (ValueError, RuntimeError):
        return False  # changed by hand, and none any more


_LG_K = 12
"""Spark's default size of a sketch: 4,096 registers."""


def replace(computed: DataFrame, books: Books, hours: Iterable[int], at_most: int) -> dict[int, Replaced]:
    """Have the metrics of ``hours`` be those of ``computed``, the result of ``metrics.compute``.

    ``at_most`` is a number of rows that they will hardly exceed, which the size of the tasks follows. A task that runs
    again finds less to do, and says so: ``written`` and ``deleted`` are of its last attempt.
    """
    hours = sorted(set(hours))
    if not hours:
        return {}
    tasks = MetricsTasks.of(hours, at_most)
    # One row without a key for each task: where nothing was computed, something may be stored.
    every = computed.sparkSession.range(len(tasks)).select(F.col("id").cast("int").alias("task"))
    rows = computed.withColumn("task", tasks.number()).unionByName(every, allowMissingColumns=True)
    done = rows.groupBy("task").applyInArrow(
        _replace_in_task(books.hbase.host, books.hbase.port, books.tables.metrics, tasks),
        "hour long, kind string, count long",
    )
    counts: dict[int, Counter[str]] = {hour: Counter() for hour in hours}
    for record in done.toArrow().to_pylist():
        counts[record["hour"]][record["kind"]] += record["count"]
    return {hour: Replaced(**of_hour) for hour, of_hour in counts.items()}


def _replace_in_task(
    host: str, port: int, table: str, tasks: MetricsTasks
) -> Callable[[tuple[pa.Scalar, ...], pa.Table], pa.Table]:
    cells = {name: column.key for name, column in METRICS.columns.items()}
    batch_rows = rows_per_call(METRICS.row_bytes())

    def work(key: tuple[pa.Scalar, ...], rows: pa.Table) -> pa.Table:
        (number,) = key
        rows = rows.filter(pc.is_valid(rows.column("row_key"))).drop_columns("task")
        computed = {row.key: row for batch in rows.to_batches() for row in mutations(batch, cells)}
        counts: Counter[tuple[bytes, str]] = Counter()
        for row in computed.values():
            counts[_hour_in(row.key), "rows"] += 1
            counts[_hour_in(row.key), "clicks"] += int(row.puts[cells["clicks"]])
        deleted, changed = [], []
        with HBaseClient(host, port) as client:
            for start, stop in tasks.ranges(number.as_py()):
                for stored in client.scan_batches(table, start, stop, (_FAMILY,), batch_rows=batch_rows):
                    for row_there in stored:
                        if row_there.row not in computed:
                            deleted.append(RowMutation(row_there.row, {}, (_FAMILY,)))
                            continue
                        row = computed.pop(row_there.row)
                        if not is_same(row.puts, row_there.columns):
                            changed.append(row._replace(deletes=tuple(row_there.columns.keys() - row.puts.keys())))
            changed += computed.values()
            client.mutate(table, deleted + changed)
        counts.update((_hour_in(row.key), "deleted") for row in deleted)
        counts.update((_hour_in(row.key), "written") for row in changed)
        return pa.table(
            {
                "hour": pa.array([hour_of_key(hour.decode()) for hour, _ in counts], pa.int64()),
                "kind": pa.array([kind for _, kind in counts], pa.string()),
                "count": pa.array(list(counts.values()), pa.int64()),
            }
        )

    return work


def _hour_in(key: bytes) -> bytes:
    return key.partition(b"|")[0]
