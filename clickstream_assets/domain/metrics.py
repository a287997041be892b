"""From enriched clicks to clicks, users and time spent by hour, url and country (docs/contract.md), on Spark."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from clickstream_assets.domain.click_event import CLICK_TYPES, LEAVE_TYPES
from clickstream_assets.domain.hours import HOUR_MS, key_of_hour, rfc3339_of_hour
from clickstream_assets.domain.row_keys import contiguous
from clickstream_assets.domain.time_spent import TIMEOUT_MS, UNKNOWN, time_spent_ms

INPUT = ("timestamp", "url", "user_id", "anonymous_id", "event_type", "engagement_time_ms", "country", "bot")
"""Columns of enriched clicks that metrics are computed from."""


def document_id(hour: int, url: str, country: str) -> str:
    """Elasticsearch's ``_id``: SHA-256, in hex, of hour, url and country, joined by ``|``."""
    return hashlib.sha256(f"{rfc3339_of_hour(hour)}|{url}|{country}".encode()).hexdigest()


def metrics_key(hour: int, url: str, country: str) -> bytes:
    """Row key in ``clickstream_metrics``: the hour, so that an hour is one scan, then the document's id."""
    return f"{key_of_hour(hour)}|{document_id(hour, url, country)}".encode()


def metrics_key_range(first_hour: int, last_hour: int) -> tuple[bytes, bytes]:
    """Keys (start included, stop not) of the metrics of two hours and all between."""
    return f"{key_of_hour(first_hour)}|".encode(), f"{key_of_hour(last_hour)}}}".encode()


@dataclass(frozen=True, slots=True)
class MetricsTasks:
    """The metrics of some hours, dealt out to Spark tasks: by hour, and of large hours by the digits of their ids."""

    hours: tuple[int, ...]
    by_hour: int
    """To so many tasks hours are dealt, by the rest of their number divided by it."""
    by_digest: int
    """Among so many tasks each hour is divided, by the first two hex digits of the document's id; 256 at most."""

    @classmethod
    def of(cls, hours: Iterable[int], at_most: int) -> "MetricsTasks":
        """Tasks for ``hours`` that have no more than ``at_most`` rows together: as many as their events or clicks."""
        hours = tuple(sorted(set(hours)))
        tasks = max(1, ceil(at_most / AT_MOST_PER_TASK))
        slices = min(_DIGESTS, ceil(tasks / max(1, len(hours))))
        return cls(hours, min(tasks, len(hours)) if slices == 1 else len(hours), slices)

    def __len__(self) -> int:
        return self.by_hour * self.by_digest

    def ranges(self, number: int) -> list[tuple[bytes, bytes]]:
        """Keys (start included, stop not) of a task's metrics."""
        rest, part = divmod(number, self.by_digest)
        hours = [hour for hour in self.hours if hour % self.by_hour == rest]
        if self.by_digest == 1:
            return [metrics_key_range(first, last) for first, last in contiguous(hours)]
        low, high = (ceil(_DIGESTS * at / self.by_digest) for at in (part, part + 1))
        begin, end = f"{low:02x}".encode(), b"g" if high == _DIGESTS else f"{high:02x}".encode()
        return [(prefix + begin, prefix + end) for prefix, _ in (metrics_key_range(hour, hour) for hour in hours)]

    def tasks(self) -> list[list[tuple[bytes, bytes]]]:
        return [self.ranges(number) for number in range(len(self))]

    def number(self) -> Column:
        """The task of a row of ``clickstream_metrics``, by its ``hour`` and ``row_key``."""
        first = F.conv(F.substring(_document_id(), 1, 2), 16, 10).cast("int")
        part = F.floor(first * self.by_digest / _DIGESTS)
        return ((F.col("hour") % self.by_hour) * self.by_digest + part).cast("int")


_DIGESTS = 256
AT_MOST_PER_TASK = 40_000
"""Of real traffic a quarter to a fifth of these are rows. A task costs some 70 ms of processor time whatever it does;
if each is a row, what it holds takes some 60 MB."""
_RFC_3339 = "yyyy-MM-dd'T'HH:mm:ss'Z'"
_BY_USER = "hour long, url string, country string, user_key string, clicks long, measured_views long, spent_ms long"


def by_user(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """All events of some users, in any order, to their clicks, measured views and time spent by hour, url and country.

    So what follows counts user keys, of which each comes once, to know how many users there are. A row without a user,
    which ingestion does not make, is nobody's click.
    """
    arrived = list(batches)
    if not arrived:
        return
    table = pa.Table.from_batches(arrived).combine_chunks()
    users = _numbered(table, "user_key")
    urls = _numbered(table, "url")
    times = table.column("timestamp").to_numpy()
    order = np.lexsort((times, users))
    clicked = pc.fill_null(table.column("is_click"), False)
    is_click = clicked.to_numpy()
    is_leave = pc.fill_null(table.column("is_leave"), False).to_numpy()
    engaged = pc.fill_null(table.column("engagement_time_ms"), UNKNOWN).to_numpy()
    spent = np.empty(len(order), np.int64)
    columns_of_events: tuple[Any, ...] = (users, urls, times, is_click, is_leave, engaged)
    spent[order] = time_spent_ms(*(column[order] for column in columns_of_events))
    keys = ("hour", "url", "country", "user_key")
    columns = {name: table.column(name) for name in keys}
    columns["spent_ms"] = pa.array(spent, pa.int64(), mask=spent == UNKNOWN)
    clicks = pa.table(columns).filter(clicked)
    sums = clicks.group_by(keys).aggregate([([], "count_all"), ("spent_ms", "count"), ("spent_ms", "sum")])
    sums = sums.select([*keys, "count_all", "spent_ms_count", "spent_ms_sum"])
    yield from sums.rename_columns([*keys, "clicks", "measured_views", "spent_ms"]).to_batches()


def _numbered(table: pa.Table, name: str) -> NDArray[np.int64]:
    """A number for each value of a column, the same for the same."""
    encoded = table.column(name).combine_chunks().dictionary_encode(null_encoding="encode")
    return encoded.indices.to_numpy().astype(np.int64)


def _events_of_people(clicks: DataFrame, hours: list[int]) -> DataFrame:
    """What :func:`by_user` needs of the events of ``hours``, and of those after them that an event in them looks at."""
    wanted = F.col("hour").isin(hours)
    # Of a following hour that is not itself wanted, only what an event before it can look at.
    ahead = (F.col("timestamp") % HOUR_MS < TIMEOUT_MS) & (F.col("hour") - 1).isin(hours)
    user_key = F.when(F.col("user_id").isNotNull(), F.concat(F.lit("u"), "user_id")).otherwise(
        F.concat(F.lit("a"), "anonymous_id")
    )
    return (
        clicks.where(F.col("bot") == "false")
        .withColumn("hour", F.floor(F.col("timestamp") / HOUR_MS))
        .where(wanted | ahead)
        .select(
            "hour",
            "timestamp",
            "url",
            "country",
            user_key.alias("user_key"),
            F.col("event_type").isin(*CLICK_TYPES).alias("is_click"),
            F.col("event_type").isin(*LEAVE_TYPES).alias("is_leave"),
            "engagement_time_ms",
        )
    )


def compute(clicks: DataFrame, hours: Iterable[int], computed_at_ms: int, run_id: str) -> DataFrame:
    """Metrics of ``hours`` from enriched clicks of those hours and the ones that follow each.

    ``clicks`` has the columns :data:`INPUT`. The result has those of ``table_schemas.METRICS``, and ``row_key``.
    """
    hours = sorted(set(hours))
    wanted = F.col("hour").isin(hours)
    sums = (
        _events_of_people(clicks, hours)
        .repartition("user_key")
        .mapInArrow(by_user, _BY_USER)
        .where(wanted)
        .groupBy("hour", "url", "country")
        .agg(
            F.sum("clicks").alias("clicks"),
            F.count("user_key").alias("unique_users"),
            F.sum("measured_views").alias("measured_views"),
            (F.coalesce(F.sum("spent_ms"), F.lit(0)) / 1000).alias("time_spent_seconds"),
            F.hll_sketch_agg("user_key").alias("users_sketch"),
        )
    )
    identity = F.concat_ws("|", _hour_as(_RFC_3339), "url", "country")
    return sums.select(
        F.concat_ws("|", _hour_as("yyyy-MM-dd-HH:mm"), F.sha2(identity, 256)).cast("binary").alias("row_key"),
        "*",
        F.when(F.col("measured_views") > 0, F.col("time_spent_seconds") / F.col("measured_views")).alias(
            "average_time_spent"
        ),
        F.lit(computed_at_ms).cast("long").alias("computed_at"),
        F.lit(run_id).alias("run_id"),
    )


def documents(metrics: DataFrame, alias: str) -> DataFrame:
    """Rows of ``clickstream_metrics`` as Elasticsearch documents, with ``_id`` and ``_index`` of their month."""
    return metrics.select(
        _document_id().alias("_id"),
        F.concat(F.lit(f"{alias}-"), _hour_as("yyyy-MM")).alias("_index"),
        _hour_as(_RFC_3339).alias("hour"),
        "url",
        "country",
        "clicks",
        "unique_users",
        "measured_views",
        "time_spent_seconds",
        "average_time_spent",
        F.base64("users_sketch").alias("users_sketch"),
        "computed_at",
        "run_id",
    )


def _document_id() -> Column:
    return F.split_part(F.col("row_key").cast("string"), F.lit("|"), F.lit(2))


def _hour_as(text_format: str) -> Column:
    return F.date_format(F.timestamp_seconds(F.col("hour") * 3600), text_format)


def merged(metrics: DataFrame) -> DataFrame:
    """Hourly metrics put together per url and country, most clicks first; unique users from the merged sketches."""
    sums = metrics.groupBy("url", "country").agg(
        F.sum("clicks").alias("clicks"),
        F.hll_sketch_estimate(F.hll_union_agg("users_sketch")).alias("unique_users"),
        F.sum("measured_views").alias("measured_views"),
        F.sum("time_spent_seconds").alias("time_spent_seconds"),
    )
    average = F.when(F.col("measured_views") > 0, F.col("time_spent_seconds") / F.col("measured_views"))
    return sums.withColumn("average_time_spent", average).orderBy(F.desc("clicks"), "url", "country")
