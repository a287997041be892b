"""Totals of dimensions as documents in Elasticsearch: which differ from those that are there, and what they add up to.

There are no rows behind them: a day's totals are counted anew, and compared with all of its documents. Somebody may
make up as many values as there is room for, 250,000 in a day, so documents are held of one start at a time.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from elasticsearch import Elasticsearch
from elasticsearch.helpers import scan

from clickstream_assets.events.days import end_of_day_ms, hours_of_day, key_of_day
from clickstream_assets.events.hours import has_ended, rfc3339_of_hour
from clickstream_assets.index.daily_documents import index_of
from clickstream_assets.index.dimension_document_fields import dimensions_template
from clickstream_assets.index.documents import ensure_declared
from clickstream_assets.index.indexing import Target, write
from clickstream_assets.stores.hbase.client import ROWS_PER_CALL

_STAMPS = ("computed_at", "run_id")
_DIMENSIONS = 100
"""More than there are."""


@dataclass(frozen=True, slots=True)
class DimensionDay:
    """One day whose totals are to be written."""

    day: int
    rolled_up_ms: int
    """As of when it is told whether a span has ended."""
    run_id: str


class DimensionSums(NamedTuple):
    """What documents of one span and dimension add up to."""

    events: int
    clicks: int


Spans = dict[str, dict[str, DimensionSums]]
"""By span and dimension."""


def ensure_dimensions_template(es: Elasticsearch, alias: str) -> None:
    """Put the index template if it is not there in this version; indices that are there get its fields."""
    ensure_declared(es, alias, dimensions_template(alias))


def dimension_document_id(span: str, start: str, dimension: str, value: str) -> str:
    """Elasticsearch's ``_id``: SHA-256, in hex, of span, start, dimension and value, joined by ``|``."""
    return sha256(f"{span}|{start}|{dimension}|{value}".encode()).hexdigest()


def dimension_documents(totals: pa.Table, of: DimensionDay, now_ms: int) -> dict[str, dict[str, Any]]:
    """By id, the documents of totals of a day (``metrics.dimension_totals.DIMENSION_TOTALS``)."""
    documents, first = {}, hours_of_day(of.day)[0]
    for row in totals.to_pylist():
        hour = row.pop("hour")
        span = "day" if hour is None else "hour"
        start = rfc3339_of_hour(first if hour is None else hour)
        is_over = of.rolled_up_ms >= end_of_day_ms(of.day) if hour is None else has_ended(hour, of.rolled_up_ms)
        document = {
            "span": span,
            "start": start,
            "day": key_of_day(of.day),
            **row,
            "state": "final" if is_over else "open",
            "computed_at": now_ms,
            "run_id": of.run_id,
        }
        key = dimension_document_id(span, start, row["dimension"], row["value"])
        documents[key] = {name: value for name, value in document.items() if value is not None}
    return documents


def write_dimensions(es: Elasticsearch, target: Target, of: DimensionDay, totals: pa.Table) -> dict[str, int]:
    """Write what differs from a day's documents, delete what the totals lack, and refresh; how many of each.

    Raises BulkIndexError for one that the mapping refuses.
    """
    counts = {"documents": len(totals), "documents_written": 0, "documents_left_over": 0}
    es.indices.refresh(index=target.alias, ignore_unavailable=True)
    write(es, _actions(es, target, of, totals, counts))
    es.indices.refresh(index=target.alias, ignore_unavailable=True)
    return counts


def _actions(
    es: Elasticsearch, target: Target, of: DimensionDay, totals: pa.Table, counts: dict[str, int]
) -> Iterator[dict[str, Any]]:
    """What makes a day's documents those of its totals; counts them on the way."""
    home, version = index_of(target.alias, of.day), {"version": target.version, "version_type": "external_gte"}
    # A document that a hand moved here may have been written by now, where it belongs: that one is to stay.
    earlier = version | {"version": target.version - 1}
    for query, of_start in _by_start(of.day, totals):
        wanted = dimension_documents(of_start, of, target.version)
        for hit in _stored(es, target.alias, query):
            is_home = hit["_index"] == home
            if is_home and hit["_id"] in wanted:
                if _said(hit["_source"]) == _said(wanted[hit["_id"]]):
                    del wanted[hit["_id"]]
                continue
            counts["documents_left_over"] += 1
            yield {"_op_type": "delete", "_index": hit["_index"], "_id": hit["_id"], **(earlier if is_home else {})}
        for key, document in wanted.items():
            counts["documents_written"] += 1
            yield {"_index": home, "_id": key, **version, "_source": document}


def _by_start(day: int, totals: pa.Table) -> Iterator[tuple[dict[str, Any], pa.Table]]:
    """Totals by their start, and what asks for their documents.

    Last come the documents that have no start of this day, and no totals.
    """
    hours = hours_of_day(day)
    start = pc.fill_null(totals.column("hour"), hours[0])
    for hour in hours:
        its_start = {"term": {"start": rfc3339_of_hour(hour)}}
        yield {"bool": {"filter": [_of_day(day), its_start]}}, totals.filter(pc.equal(start, hour))
    starts = {"terms": {"start": [rfc3339_of_hour(hour) for hour in hours]}}
    yield {"bool": {"filter": [_of_day(day)], "must_not": [starts]}}, totals.slice(0, 0)


def _said(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in _STAMPS}


def _of_day(day: int) -> dict[str, Any]:
    return {"term": {"day": key_of_day(day)}}


def _stored(es: Elasticsearch, alias: str, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if es.indices.exists_alias(name=alias):
        yield from scan(es, index=alias, query={"query": query}, size=ROWS_PER_CALL)


def dimension_sums(es: Elasticsearch, alias: str, days: Iterable[int]) -> dict[int, Spans]:
    """By day, span and dimension what the documents add up to, as Elasticsearch adds them."""
    sums: dict[int, Spans] = {day: {"hour": {}, "day": {}} for day in days}
    if not es.indices.exists_alias(name=alias):
        return sums
    added = {name: {"sum": {"field": name}} for name in DimensionSums._fields}
    by_dimension = {"dimensions": {"terms": {"field": "dimension", "size": _DIMENSIONS}, "aggs": added}}
    by_span = {"spans": {"terms": {"field": "span"}, "aggs": by_dimension}}
    for day, of_day in sums.items():
        found = es.search(index=alias, size=0, query=_of_day(day), aggs=by_span)
        for span in found["aggregations"]["spans"]["buckets"]:
            of_day[span["key"]] = {
                group["key"]: DimensionSums(*(int(group[name]["value"]) for name in DimensionSums._fields))
                for group in span["dimensions"]["buckets"]
            }
    return sums
