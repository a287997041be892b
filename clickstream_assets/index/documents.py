"""The documents in Elasticsearch: where they live, what an hour's look like, which are left over."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from elasticsearch import Elasticsearch
from elasticsearch.helpers import bulk, scan

from clickstream_assets.books.books import Books
from clickstream_assets.books.row_keys import metrics_key_range
from clickstream_assets.books.table_schemas import METRICS
from clickstream_assets.events.hours import HOUR_MS, rfc3339_of_hour
from clickstream_assets.index.document_fields import ADDED, INDEX_MAPPING, VERSION, index_template
from clickstream_assets.stores.hbase.client import ROWS_PER_CALL


def ensure_template(es: Elasticsearch, alias: str) -> None:
    """Put the index template, so that every monthly index is made with the mapping and behind the alias.

    Indices that are there get the fields that an earlier edition did not have.
    """
    if es.indices.exists_alias(name=alias):
        fields = {name: INDEX_MAPPING["properties"][name] for name in sorted(ADDED)}
        es.indices.put_mapping(index=alias, properties=fields)
    es.indices.put_index_template(name=alias, **index_template(alias))


def template_version(es: Elasticsearch, name: str) -> int:
    """The version of an index template; 0 if there is none, or it has none."""
    found = es.options(ignore_status=404).indices.get_index_template(name=name).body.get("index_templates", [])
    return sum(template["index_template"].get("version", 0) for template in found)


def ensure_declared(es: Elasticsearch, alias: str, declared: Mapping[str, Any]) -> None:
    """Put an index template if it is not there in its version; indices that are there get its fields."""
    if template_version(es, alias) == declared["version"]:
        return
    if es.indices.exists_alias(name=alias):
        es.indices.put_mapping(index=alias, properties=declared["template"]["mappings"]["properties"])
    es.indices.put_index_template(name=alias, **declared)


def index_of(alias: str, hour: int) -> str:
    """The index of an hour's month."""
    return f"{alias}-{rfc3339_of_hour(hour)[:7]}"


def indices_are_current(es: Elasticsearch, alias: str, hours: Iterable[int]) -> bool:
    """Whether the monthly index of every hour is there, so that none will be made by the template, with all fields."""
    names = sorted({index_of(alias, hour) for hour in hours})
    return not names or (bool(es.indices.exists(index=names)) and template_version(es, alias) == VERSION)


def _of_hours(hours: Iterable[int]) -> dict[str, Any]:
    return {"terms": {"hour": [rfc3339_of_hour(hour) for hour in sorted(hours)]}}


def count_documents(es: Elasticsearch, alias: str, hours: Iterable[int]) -> dict[int, int]:
    """Documents of each hour, after a refresh."""
    counts = dict.fromkeys(hours, 0)
    if not counts:
        return counts
    es.indices.refresh(index=alias, ignore_unavailable=True)
    by_hour = {"terms": {"field": "hour", "size": len(counts)}}
    answer = es.search(
        index=alias, ignore_unavailable=True, size=0, query=_of_hours(counts), aggs={"hours": by_hour}
    ).get("aggregations")
    for hour in answer["hours"]["buckets"] if answer else ():
        counts[hour["key"] // HOUR_MS] = hour["doc_count"]
    return counts


def delete_left_over(es: Elasticsearch, alias: str, books: Books, counts: Mapping[int, int]) -> dict[int, int]:
    """Delete the documents of some hours that ``clickstream_metrics`` has no row of; returns how many.

    ``counts`` are the documents of each hour, once every row has its own: only where they are more than the rows are
    they looked at one by one. Refreshes if it deleted something.
    """
    deleted = {
        hour: bulk(es, _left_over(es, alias, books, hour), ignore_status=404, stats_only=True)[0]
        for hour, count in counts.items()
        if count > books.hbase.count(books.tables.metrics, *metrics_key_range(hour, hour))
    }
    if any(deleted.values()):
        es.indices.refresh(index=alias)
    return deleted


def left_over(es: Elasticsearch, alias: str, books: Books, hour: int) -> list[str]:
    """Ids of an hour's documents that there is no row of, or that are not in its month's index."""
    if not es.indices.exists_alias(name=alias):
        return []
    return [action["_id"] for action in _left_over(es, alias, books, hour)]


def _left_over(es: Elasticsearch, alias: str, books: Books, hour: int) -> Iterator[dict[str, Any]]:
    """Bulk actions that delete the documents of an hour of which there is no row, or that are not in its month's index.

    Behind an alias may be another index with the same ids, as somebody leaves it who makes a new one of an old one.
    """
    home = es.indices.get(index=index_of(alias, hour), ignore_unavailable=True)
    prefix, _ = metrics_key_range(hour, hour)
    hits = scan(es, index=alias, query={"query": _of_hours([hour]), "_source": False}, size=ROWS_PER_CALL)
    while page := list(islice(hits, ROWS_PER_CALL)):
        keys = {hit["_id"]: prefix + hit["_id"].encode() for hit in page}
        rows = books.hbase.get(books.tables.metrics, list(keys.values()), [METRICS.columns["clicks"].key])
        for hit in page:
            if keys[hit["_id"]] not in rows or (home and hit["_index"] not in home):
                yield {"_op_type": "delete", "_index": hit["_index"], "_id": hit["_id"]}


@dataclass(slots=True)
class Totals:
    """What some metrics add up to, wherever they are stored."""

    rows: int = 0
    clicks: int = 0
    unique_users: int = 0
    """Of hourly counts added up: to compare stores with, not a number of users."""
    measured_views: int = 0
    time_spent_ms: int = 0

    @classmethod
    def of(cls, rows: int, sums: Mapping[str, float]) -> "Totals":
        """Of what :data:`SUMMED` add up to in some metrics; one that is not there counts as 0."""
        in_ms = {"time_spent_seconds": 1000}
        return cls(rows, *(round(sums.get(name, 0) * in_ms.get(name, 1)) for name in SUMMED))

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    def in_words(self) -> str:
        return (
            f"{self.rows} rows, {self.clicks} clicks, {self.unique_users} users, {self.measured_views} measured views, "
            f"{self.time_spent_ms / 1000:.3f} s"
        )


Grouped = dict[str, dict[str, Totals]]
"""Totals of an hour by each field of :data:`GROUPED` and its value."""
GROUPED = ("country", "run_id")
SUMMED = ("clicks", "unique_users", "measured_views", "time_spent_seconds")
"""Fields of a metric that :class:`Totals` adds up, in its order."""
SUMS = {name: {"sum": {"field": name}} for name in SUMMED}
"""Elasticsearch's aggregations of them, which :func:`added_up` reads."""
_GROUPS = 10_000
_HOURS = 50
"""In one search: Elasticsearch gives no more than 65,536 groups, and an hour may come of hundreds of runs."""


def grouped(hours: Iterable[int]) -> dict[int, Grouped]:
    """Hours without anything."""
    return {hour: {field: {} for field in GROUPED} for hour in hours}


def of_hour(totals: Grouped) -> Totals:
    """All metrics of an hour together."""
    return sum(totals[GROUPED[0]].values(), Totals())


def totals(es: Elasticsearch, alias: str, hours: Iterable[int]) -> dict[int, Grouped]:
    """The documents of each hour by country and by run, added up by Elasticsearch itself."""
    totals_by_hour = grouped(hours)
    if not totals_by_hour or not es.indices.exists_alias(name=alias):
        return totals_by_hour
    groups = {field: {"terms": {"field": field, "size": _GROUPS}, "aggs": SUMS} for field in GROUPED}
    wanted = sorted(totals_by_hour)
    for start in range(0, len(wanted), _HOURS):
        batch = wanted[start : start + _HOURS]
        by_hour = {"terms": {"field": "hour", "size": len(batch)}, "aggs": groups}
        answer = es.search(index=alias, size=0, query=_of_hours(batch), aggs={"hours": by_hour})
        for hour in answer["aggregations"]["hours"]["buckets"]:
            for field, of_value in totals_by_hour[hour["key"] // HOUR_MS].items():
                of_value.update((group["key"], added_up(group)) for group in hour[field]["buckets"])
    return totals_by_hour


def added_up(group: Mapping[str, Any]) -> Totals:
    """A group of documents that :data:`SUMS` were asked of."""
    return Totals.of(group["doc_count"], {name: group[name]["value"] for name in SUMMED})


def undeclared(es: Elasticsearch, alias: str, mapping: Mapping[str, Any]) -> list[str]:
    """In words, where the indices behind ``alias`` differ from the mapping that is declared."""
    differences, declared = [], mapping["properties"]
    for name, index in es.indices.get(index=f"{alias}-*").items():
        fields = index["mappings"].get("properties", {})
        differing = sorted(field for field in {*fields, *declared} if fields.get(field) != declared.get(field))
        if differing or index["mappings"].get("dynamic") != mapping["dynamic"]:
            differences.append(f"{name} is mapped otherwise: {', '.join(differing) or 'dynamic'}")
        if alias not in index["aliases"]:
            differences.append(f"{name} is not behind the alias {alias}")
    return differences
