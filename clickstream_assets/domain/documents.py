"""The documents in Elasticsearch: where they live, what an hour's look like, which are left over."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clickstream_assets.domain.hours import HOUR_MS, rfc3339_of_hour
from clickstream_assets.domain.table_schemas import index_template

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

_PAGE = 5_000


def ensure_template(es: "Elasticsearch", alias: str) -> None:
    """Put the index template, so that every monthly index is made with the mapping and behind the alias."""
    es.indices.put_index_template(name=alias, **index_template(alias))


def _of_hours(hours: Iterable[int]) -> dict[str, Any]:
    return {"terms": {"hour": [rfc3339_of_hour(hour) for hour in sorted(hours)]}}


def delete_left_over(es: "Elasticsearch", alias: str, hours: Iterable[int], run_id: str) -> int:
    """Delete the documents of ``hours`` that ``run_id`` did not write; returns how many. Refreshes before and after."""
    from elasticsearch.helpers import bulk, scan

    if not es.indices.exists_alias(name=alias):
        return 0
    es.indices.refresh(index=alias)
    query = {"bool": {"filter": [_of_hours(hours)], "must_not": [{"term": {"run_id": run_id}}]}}
    old = scan(es, index=alias, query={"query": query, "_source": False}, size=_PAGE)
    actions = ({"_op_type": "delete", "_index": hit["_index"], "_id": hit["_id"]} for hit in old)
    deleted, _ = bulk(es, actions, ignore_status=404, refresh=True)
    return int(deleted)


@dataclass(frozen=True, slots=True)
class HourTotals:
    """What an hour's metrics add up to, wherever they are stored."""

    rows: int = 0
    clicks: int = 0
    measured_views: int = 0
    time_spent_ms: int = 0


def totals(es: "Elasticsearch", alias: str, hours: Iterable[int]) -> Mapping[int, HourTotals]:
    """Each hour's documents added up by Elasticsearch itself; hours without any are left out."""
    if not es.indices.exists_alias(name=alias):
        return {}
    hours = list(hours)
    sums = {name: {"sum": {"field": name}} for name in ("clicks", "measured_views", "time_spent_seconds")}
    answer = es.search(
        index=alias,
        size=0,
        query=_of_hours(hours),
        aggs={"hours": {"terms": {"field": "hour", "size": len(hours)}, "aggs": sums}},
    )
    return {
        bucket["key"] // HOUR_MS: HourTotals(
            rows=bucket["doc_count"],
            clicks=int(bucket["clicks"]["value"]),
            measured_views=int(bucket["measured_views"]["value"]),
            time_spent_ms=round(bucket["time_spent_seconds"]["value"] * 1000),
        )
        for bucket in answer["aggregations"]["hours"]["buckets"]
    }
