"""What an hour looks like at a glance: figures added up where they are stored, for the pictures in the UI."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from elasticsearch import Elasticsearch

from clickstream_assets.books.books import Books
from clickstream_assets.books.ledger_entries import HourPart
from clickstream_assets.books.offsets import OffsetRange
from clickstream_assets.books.row_keys import contiguous
from clickstream_assets.events.hours import HOUR_MS, rfc3339_of_hour
from clickstream_assets.evidence.hour_counts import count_letters

HOURS_BEFORE = 23
"""With the hour itself, a day."""
MOST_COUNTRIES, MOST_URLS = 8, 10
_NONE: Mapping[str, Any] = {"country": {"buckets": []}, "url": {"buckets": []}}


@dataclass(frozen=True, slots=True)
class UrlFigures:
    """An hour's clicks on one url, over all countries."""

    url: str
    clicks: int
    average_time_spent: float | None
    """Seconds per measured view; None where none is measured."""


@dataclass(frozen=True, slots=True)
class HourOverview:
    """An hour's clicks: in all, in each of the day's hours that ends with it, and where most of them are."""

    clicks: int = 0
    day: tuple[int, ...] = (0,) * (HOURS_BEFORE + 1)
    countries: tuple[tuple[str, int], ...] = ()
    urls: tuple[UrlFigures, ...] = ()


def overviews(es: Elasticsearch, alias: str, hours: Iterable[int]) -> dict[int, HourOverview]:
    """Each hour at a glance, by one search. ``hours`` must not be empty."""
    hours = sorted(hours)
    if not es.indices.exists_alias(name=alias):
        return {hour: HourOverview() for hour in hours}
    span = {"gte": rfc3339_of_hour(hours[0] - HOURS_BEFORE), "lte": rfc3339_of_hour(hours[-1])}
    answer = es.search(
        index=alias,
        size=0,
        query={"range": {"hour": span}},
        aggs={
            "hours": {"date_histogram": {"field": "hour", "fixed_interval": "1h"}, "aggs": {"clicks": _sum("clicks")}},
            "wanted": {
                "filter": {"terms": {"hour": [rfc3339_of_hour(hour) for hour in hours]}},
                "aggs": {
                    "hours": {
                        "terms": {"field": "hour", "size": len(hours)},
                        "aggs": {"country": _top("country", MOST_COUNTRIES), "url": _top("url", MOST_URLS)},
                    }
                },
            },
        },
    )["aggregations"]
    clicks = {_hour(bucket): _value(bucket, "clicks") for bucket in answer["hours"]["buckets"]}
    tops = {_hour(bucket): bucket for bucket in answer["wanted"]["hours"]["buckets"]}
    return {hour: _overview(hour, clicks, tops.get(hour, _NONE)) for hour in hours}


def _overview(hour: int, clicks: Mapping[int, int], top: Mapping[str, Any]) -> HourOverview:
    return HourOverview(
        clicks=clicks.get(hour, 0),
        day=tuple(clicks.get(other, 0) for other in range(hour - HOURS_BEFORE, hour + 1)),
        countries=tuple((bucket["key"], _value(bucket, "clicks")) for bucket in top["country"]["buckets"]),
        urls=tuple(map(_url_figures, top["url"]["buckets"])),
    )


def _sum(name: str) -> dict[str, Any]:
    return {"sum": {"field": name}}


def _top(name: str, most: int) -> dict[str, Any]:
    sums = {total: _sum(total) for total in ("clicks", "measured_views", "time_spent_seconds")}
    # By map: the ordinals of all the month's urls would be built anew after each refresh, for these few.
    terms = {"field": name, "size": most, "order": [{"clicks": "desc"}, {"_key": "asc"}], "execution_hint": "map"}
    return {"terms": terms, "aggs": sums}


def _hour(bucket: Mapping[str, Any]) -> int:
    return int(bucket["key"]) // HOUR_MS


def _value(bucket: Mapping[str, Any], name: str) -> int:
    return int(bucket[name]["value"])


def _url_figures(top: Mapping[str, Any]) -> UrlFigures:
    views = _value(top, "measured_views")
    return UrlFigures(top["key"], _value(top, "clicks"), top["time_spent_seconds"]["value"] / views if views else None)


def documents_url(elasticsearch: str, alias: str, hour: int) -> str:
    """A search for an hour's documents, most clicks first, to open in a browser; without any sign-in of ours."""
    parts = urlsplit(elasticsearch)
    base = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
    wanted = quote(f'hour:"{rfc3339_of_hour(hour)}"', safe=":")
    return f"{base}/{quote(alias)}/_search?q={wanted}&sort=clicks:desc&size=100&pretty"


def refused_by_reason(
    books: Books, parts: Mapping[int, Iterable[HourPart]], first_hour: int
) -> dict[int, Counter[str]]:
    """How many dead letters each hour has of each reason; ``parts`` is what the ledger has of these hours.

    For hours in a row one scan a Kafka partition, not one an entry: their offsets lie together. What lies between hours
    that are not in a row is left alone, as it may be very much.
    """
    letters: dict[int, Counter[str]] = {}
    for first, last in contiguous(parts):
        hours = range(first, last + 1)
        spans = _spans(books, (part for hour in hours for part in parts[hour]))
        letters |= count_letters(books, spans, hours, first_hour)
    return letters


def _spans(books: Books, parts: Iterable[HourPart]) -> Iterable[OffsetRange]:
    """Where the dead letters of some parts lie: one range a Kafka partition."""
    spans: dict[tuple[str, int], OffsetRange] = {}
    for part, entry in books.ledger.entries_of(part for part in parts if part.counts.dead_lettered).items():
        end = entry.end if entry else part.first + 1
        log = part.topic_id, part.partition
        span = spans.get(log, OffsetRange(*log, part.first, end))
        spans[log] = OffsetRange(*log, min(span.first, part.first), max(span.end, end))
    return spans.values()
