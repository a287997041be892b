"""What the page asks of the numbers by dimension, and what it makes of the answers.

A document is of one value of one dimension, over an hour or a day; its people are counted once over that span, so
they are never added up over spans or values.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from clickstream_assets.events.url_limits import OTHER
from clickstream_assets.page.figures import Answer, ByDimension, Figures, Group, buckets, hits, moment
from clickstream_assets.page.search_parts import Search, between, matching, most_first
from clickstream_assets.page.view import MOST_DAYS, Overview

MOST_VALUES, MOST_BOTS = 25, 12
_SHOWN = ("start", "day", "state", "computed_at", "clicks", "events", "unique_users")
_SUMS = {name: {"sum": {"field": name}} for name in ("clicks", "events")}
_EVERYWHERE = ("event_type", "bot")
"""Of each span that is counted at all there is a document of one of these, and they have few values."""


def dimension_searches(view: Overview, today: date) -> dict[str, Search]:
    """The searches by name. Of a dimension's value, ``series`` and ``days`` are among them."""
    latest = {"computed_at": {"max": {"field": "computed_at"}}}
    wanted: dict[str, Search] = {
        "last of dimensions": ("dimensions", {"size": 0, "aggs": latest}),
        "bots": _values(view, "bot", "events", MOST_BOTS),
        "days by dimension": _counted(
            "day", between("day", view.first, view.last), between("day", today - timedelta(days=1), today)
        ),
    }
    if not view.choice.parameters:
        listed = view.dimension.listed
        wanted["values"] = _values(view, listed.name, f"{listed.counted}s", MOST_VALUES)
    if view.dimension.value:
        value = view.dimension.value
        wanted["series"] = _of_value(view, value, view.by, view.first, view.last)
        wanted["days"] = _of_value(view, value, "day", today - timedelta(days=1), today)
        wanted["others"] = _of_value(view, OTHER, view.by, view.first, view.last)
        if view.by == "hour":
            wanted["hours by dimension"] = _counted("hour", between("start", view.first, view.last))
    return wanted


def _values(view: Overview, dimension: str, by: str, size: int) -> Search:
    """The values of a dimension with most clicks or events, added up over the days that are shown."""
    query = matching(
        between("day", view.first, view.last), {"term": {"span": "day"}}, {"term": {"dimension": dimension}}
    )
    people = {"people": {"max": {"field": "unique_users"}}}
    return "dimensions", {
        "size": 0,
        "query": query,
        "aggs": {
            **_SUMS,
            "values": {"terms": most_first("value", size, by), "aggs": {**_SUMS, **people}},
            "others": {"filter": {"term": {"value": OTHER}}},
        },
    }


def _of_value(view: Overview, value: str, span: str, first: date, last: date) -> Search:
    """The documents of a value of the dimension that is chosen: one for each span that has any."""
    named = [{"term": {"span": span}}, {"term": {"dimension": view.dimension.name}}, {"term": {"value": value}}]
    size = MOST_DAYS["hour"] * 24 if span == "hour" else MOST_DAYS["day"]
    query = matching(between("start" if span == "hour" else "day", first, last), *named)
    return "dimensions", {"size": size, "query": query, "_source": list(_SHOWN)}


def _counted(span: str, *times: Mapping[str, Any]) -> Search:
    """Which spans anything is counted of by dimension: of those a value without a document is none, not unknown."""
    any_time = {"bool": {"should": list(times), "minimum_should_match": 1}}
    query = matching({"term": {"span": span}}, {"terms": {"dimension": list(_EVERYWHERE)}}, any_time)
    field, interval = ("start", "1h") if span == "hour" else ("day", "1d")
    by_span = {"date_histogram": {"field": field, "fixed_interval": interval, "min_doc_count": 1}}
    return "dimensions", {"size": 0, "query": query, "aggs": {"spans": by_span}}


def dimensions_of(answers: Mapping[str, Answer]) -> ByDimension:
    """What the answers to :func:`dimension_searches` say."""
    nothing: Answer = {}
    values, bots = answers.get("values", nothing), answers["bots"]
    latest = answers["last of dimensions"].get("aggregations", {}).get("computed_at", {})
    return ByDimension(
        values=_groups(values),
        total=_sums(values.get("aggregations")),
        has_others=bool(values.get("aggregations", {}).get("others", {}).get("doc_count")),
        bots=_groups(bots),
        bot_events=_sums(bots.get("aggregations")).events or 0,
        days=frozenset(at.date() for at in _moments(answers["days by dimension"])),
        hours=frozenset(_moments(answers.get("hours by dimension", nothing))),
        beyond=frozenset(at for one in _sources(answers.get("others")) if (at := moment(one.get("start")))),
        counted_at=moment(latest.get("value")),
    )


def _sources(answer: Answer | None) -> Iterable[Mapping[str, Any]]:
    return hits(answer) if answer is not None else ()


def _moments(answer: Answer) -> list[datetime]:
    return [at for bucket in buckets(answer, "spans") if (at := moment(bucket["key"]))]


def _groups(answer: Answer) -> tuple[Group, ...]:
    return tuple(Group(str(bucket["key"]), _sums(bucket)) for bucket in buckets(answer, "values"))


def _sums(found: Mapping[str, Any] | None) -> Figures:
    """Sums of clicks and events, and the people of the busiest span where they are known."""
    if found is None:
        return Figures()
    people = found.get("people", {}).get("value")
    return Figures(
        int(found["clicks"]["value"] or 0),
        None if people is None else int(people),
        events=int(found["events"]["value"] or 0),
    )
