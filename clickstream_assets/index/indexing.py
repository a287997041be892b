"""Metrics as documents, on Spark: what the lists of changed rows name is written or deleted by id.

Told to look at whole hours, tasks compare each row with its document and write those that differ. A document has the
time of the run that wrote it for a version, so what a task of a run that was killed still writes, late, is refused.
"""

from base64 import b64encode
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
from elasticsearch import Elasticsearch
from elasticsearch.helpers import BulkIndexError, bulk
from elasticsearch.serializer import OrjsonSerializer

from clickstream_assets.books.books import Books, TableNames
from clickstream_assets.books.checkpoints import Checkpoints, keys_on
from clickstream_assets.books.row_keys import metrics_tasks
from clickstream_assets.books.table_schemas import METRICS
from clickstream_assets.events.hours import has_ended, hour_of_key, rfc3339_of_hour
from clickstream_assets.index.document_fields import DOCUMENT
from clickstream_assets.index.documents import index_of
from clickstream_assets.stores.elasticsearch.client import elasticsearch_client
from clickstream_assets.stores.hbase.client import HBaseClient, rows_per_call
from clickstream_assets.stores.spark.tasks import NAMED, answer, answers_of, in_tasks

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_TASKS = 8
"""Lists are dealt to so many tasks at most."""
_CHUNK, _CHUNK_BYTES = 2_000, 4 << 20
"""Documents in one request, at most, and their bytes."""
_RETRIES = 6
_ANSWER = "errors,items.*.status,items.*.error"
"""What the answer to a bulk request is to say of each document: not where it is, which we said."""
_REASON_CHARACTERS = 500
_FINE = (404, 409)
"""Not there to be deleted; written by a later run."""
BATCH_ROWS = rows_per_call(METRICS.row_bytes())
_FIELDS = tuple(name for name in DOCUMENT if name != "_id")
_T = TypeVar("_T")
_List = tuple[int, bytes, bytes]
"""An hour, and row key and column of one of its lists of changed rows."""
_Answers = Iterator[pa.RecordBatch]
"""Of an hour: how many documents were written, and the ids of some."""
_Rows = Iterable[tuple[bytes, Mapping[bytes, bytes] | None]]
"""Keys of ``clickstream_metrics`` with cells; None for a row that is gone."""


@dataclass(slots=True)
class Indexed:
    """What became of one hour's documents."""

    written: int = 0
    named: list[str] = field(default_factory=list)
    """Ids of some of them, where each was compared with its row."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where documents go, and the version that they get, later for each run: its time, in milliseconds."""

    url: str
    alias: str
    version: int
    dry_run: bool = False

    def client(self) -> Elasticsearch:
        return elasticsearch_client(
            self.url, request_timeout=60, max_retries=_RETRIES, retry_on_timeout=True, serializer=OrjsonSerializer()
        )


def index_changed(
    spark: "SparkSession", books: Books, target: Target, hours: Iterable[int]
) -> tuple[dict[int, Indexed], dict[bytes, list[bytes]]]:
    """Write, or delete, the documents of the rows on the lists of some hours; returns the lists, to be forgotten."""
    checkpoints, results = Checkpoints(books), {hour: Indexed() for hour in hours}
    lists: dict[bytes, list[bytes]] = {}
    work: list[_List] = []
    for hour in results:
        of_hour = checkpoints.lists(hour)
        lists |= of_hour
        work += ((hour, key, column) for key, columns in of_hour.items() for column in columns)
    tasks = [work[number::_TASKS] for number in range(min(_TASKS, len(work)))]
    _run(spark, tasks, partial(_index_lists, books, target), results)
    return results, lists


def index_whole(
    spark: "SparkSession", books: Books, target: Target, hours: Iterable[int], at_most: int
) -> dict[int, Indexed]:
    """Write the documents of hours that differ from their rows, of which there are hardly more than ``at_most``."""
    results = {hour: Indexed() for hour in hours}
    _run(spark, metrics_tasks(results, at_most), partial(_compare, books, target), results)
    return results


def _run(
    spark: "SparkSession", tasks: Sequence[_T], work: Callable[[_T], _Answers], results: Mapping[int, Indexed]
) -> None:
    if not tasks:
        return
    for hour, count, named in answers_of(in_tasks(spark, tasks, work)):
        results[hour].written += count
        results[hour].named = (results[hour].named + named)[:NAMED]


def _index_lists(books: Books, target: Target, lists: Iterable[_List]) -> _Answers:
    with books.hbase.another() as hbase, target.client() as es:
        for hour, key, column in lists:
            rows = _rows_on(hbase, books.tables, hour, key, column)
            yield answer((hour, write(es, (_action(target, hour, *row) for row in rows)), []))


def _rows_on(hbase: HBaseClient, tables: TableNames, hour: int, key: bytes, column: bytes) -> _Rows:
    """The rows on a list, None for one that is gone; nothing if the list is."""
    for page in keys_on(hbase, tables.blocks, hour, key, column):
        rows = hbase.get(tables.metrics, page)
        yield from ((row_key, rows.get(row_key)) for row_key in page)


def _compare(books: Books, target: Target, ranges: Iterable[tuple[bytes, bytes]]) -> _Answers:
    with books.hbase.another() as hbase, target.client() as es:
        for start, stop in ranges:
            rows = hbase.scan(books.tables.metrics, start, stop, batch_rows=BATCH_ROWS)
            while page := list(islice(rows, BATCH_ROWS)):
                for hour, actions in _differing(es, target, page).items():
                    if not target.dry_run:
                        write(es, actions)
                    yield answer((hour, len(actions), [action["_id"] for action in actions[:NAMED]]))


def _differing(
    es: Elasticsearch, target: Target, rows: Sequence[tuple[bytes, Mapping[bytes, bytes]]]
) -> dict[int, list[dict[str, Any]]]:
    """By hour, what writes the documents that are missing or unlike their rows."""
    actions: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    wanted = [(_hour_of(key), _action(target, _hour_of(key), key, cells)) for key, cells in rows]
    places = [{"_index": action["_index"], "_id": action["_id"]} for _, action in wanted]
    # With its id each has an answer, even one whose index is gone.
    stored = es.mget(docs=places, filter_path="docs._id,docs._source").body["docs"]
    for (hour, action), document in zip(wanted, stored, strict=True):
        if document.get("_source") != action["_source"]:
            actions[hour].append(action)
    return actions


def _hour_of(key: bytes) -> int:
    return hour_of_key(key.partition(b"|")[0].decode())


def _action(target: Target, hour: int, key: bytes, cells: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    """What writes a row's document by its id, or deletes it."""
    place = {
        "_index": index_of(target.alias, hour),
        "_id": key.partition(b"|")[2].decode(),
        "version": target.version,
        "version_type": "external_gte",
    }
    if cells is None:
        return {"_op_type": "delete", **place}
    return {**place, "_source": document_of(hour, METRICS.decode(cells), target.version)}


def document_of(hour: int, row: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    """A row of ``clickstream_metrics`` as a document that is written now."""
    values = {name: row.get(name) for name in _FIELDS}
    sketch = row.get("users_sketch")
    made = {
        "hour": rfc3339_of_hour(hour),
        "users_sketch": b64encode(sketch).decode() if sketch else None,
        "state": "final" if has_ended(hour, now_ms) else "open",
    }
    return values | made


def write(es: Elasticsearch, actions: Iterable[dict[str, Any]]) -> int:
    """Write documents; returns how many. Raises BulkIndexError for one that the mapping refuses, with the reason."""
    try:
        done = bulk(
            es,
            actions,
            stats_only=True,
            ignore_status=_FINE,
            chunk_size=_CHUNK,
            max_chunk_bytes=_CHUNK_BYTES,
            max_retries=_RETRIES,
            filter_path=_ANSWER,
        )
    except BulkIndexError as error:
        ((_, first),) = error.errors[0].items()
        reason = f"{len(error.errors)} document(s), the first one with {str(first.get('error'))[:_REASON_CHARACTERS]}"
        raise BulkIndexError(f"Elasticsearch refused {reason}", error.errors) from None
    return sum(done)  # type: ignore[arg-type]
