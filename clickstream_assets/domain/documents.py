"""The documents in Elasticsearch: where they live, what an hour's look like, which are left over."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clickstream_assets.domain.hours import HOUR_MS, rfc3339_of_hour
from clickstream_assets.domain.table_schemas import INDEX_MAPPING, index_template

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


@dataclass(slots=True)
class Totals:
    """What some metrics add up to, wherever they are stored."""

    rows: int = 0
    clicks: int = 0
    unique_users: int = 0
    """Of hourly counts added up: to compare stores with, not a number of users."""
    measured_views: int = 0
    time_spent_ms: int = 0

    def __add__(self, other: "Totals") -> "Totals":
        """Field by field."""
        return Totals(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    def in_words(self) -> str:
        """One line for people."""
        return (
            f"{self.rows} rows, {self.clicks} clicks, {self.unique_users} users, {self.measured_views} measured views, "
            f"{self.time_spent_ms / 1000:.3f} s"
        )


ByCountry = dict[int, dict[str, Totals]]
"""Totals by hour (each hour asked for is there) and country."""

SUMMED = ("clicks", "unique_users", "measured_views", "time_spent_seconds")
"""Fields of a metric that :class:`Totals` adds up, in its order."""


def of_hour(by_country: Mapping[str, Totals]) -> Totals:
    """All countries of an hour together."""
    return sum(by_country.values(), Totals())


def totals(es: "Elasticsearch", alias: str, hours: Iterable[int]) -> ByCountry:
    """The documents of each hour and country, added up by Elasticsearch itself."""
    found: ByCountry = {hour: {} for hour in hours}
    if not found or not es.indices.exists_alias(name=alias):
        return found
    sums = {name: {"sum": {"field": name}} for name in SUMMED}
    countries = {"terms": {"field": "country", "size": 1_000}, "aggs": sums}
    by_hour = {"terms": {"field": "hour", "size": len(found)}, "aggs": {"countries": countries}}
    answer = es.search(index=alias, size=0, query=_of_hours(found), aggs={"hours": by_hour})
    for hour in answer["aggregations"]["hours"]["buckets"]:
        for country in hour["countries"]["buckets"]:
            clicks, users, views, seconds = (country[name]["value"] for name in SUMMED)
            found[hour["key"] // HOUR_MS][country["key"]] = Totals(
                country["doc_count"], int(clicks), int(users), int(views), round(seconds * 1000)
            )
    return found


def runs_of_documents(es: "Elasticsearch", alias: str, hours: Iterable[int]) -> dict[int, list[str]]:
    """The runs that wrote the documents of each hour: one, where nothing was left behind. At most ten are named."""
    found: dict[int, list[str]] = {hour: [] for hour in hours}
    if not found or not es.indices.exists_alias(name=alias):
        return found
    by_hour = {
        "terms": {"field": "hour", "size": len(found)},
        "aggs": {"runs": {"terms": {"field": "run_id", "size": 10}}},
    }
    answer = es.search(index=alias, size=0, query=_of_hours(found), aggs={"hours": by_hour})
    for hour in answer["aggregations"]["hours"]["buckets"]:
        found[hour["key"] // HOUR_MS] = [run["key"] for run in hour["runs"]["buckets"]]
    return found


def undeclared(es: "Elasticsearch", alias: str) -> list[str]:
    """In words, where the indices behind ``alias`` differ from what ``table_schemas`` declares."""
    wrong = []
    mappings = es.indices.get_mapping(index=f"{alias}-*")
    aliases = es.indices.get_alias(index=f"{alias}-*")
    for index, found in mappings.items():
        fields = found["mappings"].get("properties", {})
        if fields != INDEX_MAPPING["properties"] or found["mappings"].get("dynamic") != INDEX_MAPPING["dynamic"]:
            differing = sorted(
                name
                for name in fields.keys() | INDEX_MAPPING["properties"].keys()
                if fields.get(name) != INDEX_MAPPING["properties"].get(name)
            )
            wrong.append(f"{index} is mapped otherwise: {', '.join(differing) or 'dynamic'}")
        if alias not in aliases[index]["aliases"]:
            wrong.append(f"{index} is not behind the alias {alias}")
    return wrong
