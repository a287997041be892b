"""Days' totals as documents in Elasticsearch: their fields, where they live, which differ from their rows."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from math import ceil
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from elasticsearch import Elasticsearch
from elasticsearch.helpers import scan

from clickstream_assets.books.books import Books
from clickstream_assets.books.day_states import DayState
from clickstream_assets.books.row_keys import AT_MOST_PER_TASK, DIGESTS, daily_document_id, daily_key_range, sliced
from clickstream_assets.books.table_schemas import DAILY
from clickstream_assets.events.days import end_of_day_ms, key_of_day
from clickstream_assets.index.daily_document_fields import daily_template
from clickstream_assets.index.documents import SUMMED, SUMS, Totals, added_up, ensure_declared
from clickstream_assets.index.indexing import Target, write
from clickstream_assets.stores.hbase.client import ROWS_PER_CALL, rows_per_call
from clickstream_assets.stores.hbase.filters import where
from clickstream_assets.stores.spark.tasks import answer, answers_of, in_tasks

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_BATCH_ROWS = rows_per_call(DAILY.row_bytes())
_COMPUTED_AT = DAILY.columns["computed_at"].key


def ensure_template(es: Elasticsearch, alias: str) -> None:
    """Put the index template if it is not there in this version; indices that are there get its fields."""
    ensure_declared(es, alias, daily_template(alias))


def index_of(alias: str, day: int) -> str:
    """The index of a day's year."""
    return f"{alias}-{key_of_day(day)[:4]}"


def index_day(
    spark: "SparkSession", books: Books, target: Target, day: int, state: DayState, *, whole: bool
) -> tuple[int, int]:
    """Write the documents of a day that differ from their rows; returns how many, and how many rows there are.

    Compared are those of rows that changed since the day was indexed; with ``whole``, and once the day has ended, all.
    """
    since_ms = (
        0 if whole or _is_final(day, state.rolled_up_ms) != _is_final(day, state.indexed_ms) else state.indexed_ms
    )
    task = _IndexTask(day, _is_final(day, state.rolled_up_ms), since_ms)
    rows = books.hbase.count(books.tables.daily, *daily_key_range(day))
    slices = min(DIGESTS, max(1, ceil(rows / AT_MOST_PER_TASK)))
    ranges = [sliced(daily_key_range(day)[0], number, slices) for number in range(slices)]
    return sum(answers_of(in_tasks(spark, ranges, partial(_compare, books, target, task)))), rows


@dataclass(frozen=True, slots=True)
class _IndexTask:
    day: int
    is_final: bool
    since_ms: int


def _is_final(day: int, time_ms: int) -> bool:
    return time_ms >= end_of_day_ms(day)


def _compare(books: Books, target: Target, task: _IndexTask, between: tuple[bytes, bytes]) -> Iterator[pa.RecordBatch]:
    written = 0
    with books.hbase.another() as hbase, target.client() as es:
        # Times have as many digits each, so they compare byte by byte.
        since = where(_COMPUTED_AT, ">", b"%d" % task.since_ms) if task.since_ms else None
        rows = hbase.scan(books.tables.daily, *between, filter_string=since, batch_rows=_BATCH_ROWS)
        while page := list(islice(rows, _BATCH_ROWS)):
            wanted = [_action(target, task, *row) for row in page]
            places = [{"_index": action["_index"], "_id": action["_id"]} for action in wanted]
            stored = es.mget(docs=places, filter_path="docs._id,docs._source").body["docs"]
            pairs = zip(wanted, stored, strict=True)
            written += write(es, [action for action, has in pairs if has.get("_source") != action["_source"]])
    yield answer(written)


def _action(target: Target, task: _IndexTask, key: bytes, cells: Mapping[bytes, bytes]) -> dict[str, Any]:
    """What writes a row's document."""
    source = {name: value for name, value in DAILY.decode(cells).items() if value is not None}
    source |= {"day": key_of_day(task.day), "state": "final" if task.is_final else "open"}
    return {
        "_index": index_of(target.alias, task.day),
        "_id": key.partition(b"|")[2].decode(),
        "version": target.version,
        "version_type": "external_gte",
        "_source": source,
    }


def _of_day(day: int) -> dict[str, Any]:
    return {"term": {"day": key_of_day(day)}}


def delete_left_over(es: Elasticsearch, alias: str, books: Books, day: int, rows: int) -> int:
    """Delete a day's documents without a row, once each row has its own; refreshes, and returns how many it deleted."""
    es.indices.refresh(index=alias, ignore_unavailable=True)
    if es.count(index=alias, ignore_unavailable=True, query=_of_day(day))["count"] <= rows:
        return 0
    deleted = write(es, _left_over(es, alias, books, day))
    es.indices.refresh(index=alias)
    return deleted


def _left_over(es: Elasticsearch, alias: str, books: Books, day: int) -> Iterator[dict[str, Any]]:
    prefix, home = daily_key_range(day)[0], index_of(alias, day)
    hits = scan(es, index=alias, query={"query": _of_day(day), "_source": False}, size=ROWS_PER_CALL)
    while page := list(islice(hits, ROWS_PER_CALL)):
        keys = {hit["_id"]: prefix + hit["_id"].encode() for hit in page}
        rows = books.hbase.get(books.tables.daily, list(keys.values()), [DAILY.columns["clicks"].key])
        for hit in page:
            if keys[hit["_id"]] not in rows or hit["_index"] != home:
                yield {"_op_type": "delete", "_index": hit["_index"], "_id": hit["_id"]}


def document_totals(es: Elasticsearch, alias: str, days: Iterable[int]) -> dict[int, dict[str, Totals]]:
    """By day and scope what the documents add up to, as Elasticsearch adds them."""
    totals: dict[int, dict[str, Totals]] = {day: {} for day in days}
    if not es.indices.exists_alias(name=alias):
        return totals
    by_scope = {"scopes": {"terms": {"field": "scope", "size": 100}, "aggs": SUMS}}
    for day, of_day in totals.items():
        found = es.search(index=alias, size=0, query=_of_day(day), aggs=by_scope)
        for group in found["aggregations"]["scopes"]["buckets"]:
            of_day[group["key"]] = added_up(group)
    return totals


def whole_day_clicks(books: Books, days: Iterable[int]) -> dict[int, int]:
    """The clicks of days in all, by their rows; 0 for one without."""
    names = "all", None, None, None
    keys = {daily_key_range(day)[0] + daily_document_id(day, *names).encode(): day for day in days}
    rows = books.hbase.get(books.tables.daily, list(keys))
    return {day: DAILY.decode(rows[key])["clicks"] if key in rows else 0 for key, day in keys.items()}


def row_totals(books: Books, days: Iterable[int]) -> dict[int, dict[str, Totals]]:
    """By day and scope what the rows of ``clickstream_daily_metrics`` add up to."""
    totals: dict[int, dict[str, Totals]] = {}
    columns = [DAILY.columns[name].key for name in ("scope", *SUMMED) if name in DAILY.columns]
    for day in days:
        of_day = totals.setdefault(day, {})
        rows = books.hbase.scan(books.tables.daily, *daily_key_range(day), columns, batch_rows=_BATCH_ROWS)
        for _, cells in rows:
            row = DAILY.decode(cells)
            of_day[row["scope"]] = of_day.get(row["scope"], Totals()) + Totals.of(1, row)
    return totals
