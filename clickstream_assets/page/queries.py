"""What the page asks Elasticsearch: a few bounded searches at a time, in one request.

People are never added up over hours, days, urls or countries: each number of people is one document's.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from elasticsearch import Elasticsearch

from clickstream_assets.events.hours import rfc3339_of_hour
from clickstream_assets.events.url_limits import OTHER
from clickstream_assets.page.dimension_searches import dimension_searches, dimensions_of
from clickstream_assets.page.figures import (
    Answer,
    Figures,
    Freshness,
    HourRecord,
    HourSeen,
    PageFigures,
    Seen,
    buckets,
    figures_of,
    groups_of,
    hits,
    moment,
    records_of,
    sums_of,
)
from clickstream_assets.page.search_parts import Search, between, matching, most_first
from clickstream_assets.page.view import MOST_DAYS, Choice, Overview, Page
from clickstream_assets.page.words import HELD, STALE
from clickstream_assets.settings import Settings

MOST_ROWS, MOST_GROUPS = 50, 12
DAYS_BEFORE = 7
"""With which an hour is compared."""
_HOURS = MOST_DAYS["hour"] * 24
_SECONDS = "20s"
_SUMMED = ("clicks", "measured_views", "time_spent_seconds")
_SUMS = {name: {"sum": {"field": name}} for name in _SUMMED}
_PEOPLE = {"people": {"max": {"field": "unique_users"}}}
_SHOWN = ("day", "state", "computed_at", "unique_users", *_SUMMED)


def scope_of(choice: Choice) -> str | None:
    """Which daily documents count a choice; None if none does, for a country of a site is in no roll-up."""
    if choice.url:
        return "url_country" if choice.country else "url"
    if choice.site:
        return None if choice.country else "site"
    return "country" if choice.country else "all"


class PageQueries:
    """Asks by a client that is the caller's, of the aliases that the settings name."""

    def __init__(self, es: Elasticsearch, configured: Settings) -> None:
        self._es = es
        self._aliases = {
            "metrics": configured.alias,
            "daily": configured.daily_alias,
            "hours": configured.hours_alias,
            "dimensions": configured.dimensions_alias,
        }

    def overview(self, view: Overview, today: date) -> Seen:
        """What an overview shows. Raises what the client raises."""
        wanted = {
            "series": self._series(view),
            "days": self._days(view.choice, today - timedelta(days=1), today),
            "hours": self._hours(view.first, view.last) if view.by == "hour" else self._hours(today, today),
            "recent": self._hours(today - timedelta(days=1), today),
            "states": self._states(view.first, view.last),
            **self._freshness(),
            **{f"group {name}": search for name, search in self._groups(view).items()},
            **dimension_searches(view, today),  # of a dimension's value, instead of the series and the days above
        }
        answers = self._ask(wanted)
        hours = records_of(answers["hours"]) | records_of(answers["recent"])
        return Seen(
            series=_series_of(view, answers["series"], hours),
            days=_daily(answers["days"]) if scope_of(view.choice) else _daily_sums(answers["days"]),
            hours=hours,
            states=_states_of(answers["states"]),
            groups={name: groups_of(answers[f"group {name}"], "groups", "people") for name in _scopes_of_groups(view)},
            dimensions=dimensions_of(answers),
            freshness=_freshness_of(answers, hours.values()),
            missing=frozenset(name for name in self._aliases if not answers[f"last of {name}"]["_shards"]["total"]),
        )

    def hour(self, page: Page) -> HourSeen:
        """What the page of an hour shows. Raises what the client raises."""
        at = rfc3339_of_hour(page.hour)
        only = _filters(page.choice)
        before = [rfc3339_of_hour(page.hour - 24 * days) for days in range(1, DAYS_BEFORE + 1)]
        by_hour = {"terms": {"field": "hour", "size": DAYS_BEFORE}, "aggs": _SUMS}
        answers = self._ask(
            {
                "record": ("hours", {"size": 1, "query": matching({"term": {"hour": at}})}),
                "rows": (
                    "metrics",
                    {
                        "size": MOST_ROWS,
                        "track_total_hits": True,
                        "query": matching({"term": {"hour": at}}, *only),
                        "_source": {"excludes": ["users_sketch"]},
                        "sort": [{"clicks": "desc"}, {"url": "asc"}, {"country": "asc"}],
                        "aggs": {
                            **_SUMS,
                            "country": {"terms": most_first("country", MOST_GROUPS), "aggs": _SUMS},
                            "url": {
                                "terms": {"execution_hint": "map", **most_first("url", MOST_GROUPS)},
                                "aggs": _SUMS,
                            },
                        },
                    },
                ),
                "before": (
                    "metrics",
                    {"size": 0, "query": matching({"terms": {"hour": before}}, *only), "aggs": {"hours": by_hour}},
                ),
            }
        )
        record = next(iter(records_of(answers["record"]).values()), None)
        return _hour_of(page.choice, record, answers["rows"], answers["before"])

    def _ask(self, searches: Mapping[str, Search]) -> dict[str, Answer]:
        """The answer to each search by its name, by one request; of an alias that does not exist, one of nothing."""
        lines: list[Mapping[str, Any]] = []
        for alias, body in searches.values():
            lines += [
                {"index": self._aliases[alias], "ignore_unavailable": True, "allow_no_indices": True},
                {"timeout": _SECONDS, **body},
            ]
        answers = self._es.msearch(searches=lines)["responses"]
        for name, answer in zip(searches, answers, strict=True):
            if "error" in answer:
                raise SearchFailed(f"{name}: {answer['error'].get('reason', answer['error'].get('type'))}")
            if answer.get("timed_out") or answer.get("_shards", {}).get("failed"):
                raise SearchFailed(f"{name}: only a part of it was searched: its sums would be too low")
        return dict(zip(searches, answers, strict=True))

    def _series(self, view: Overview) -> Search:
        if view.by == "day":
            return self._days(view.choice, view.first, view.last)
        by_hour = {"field": "hour", "fixed_interval": "1h", "min_doc_count": 1}
        people = _PEOPLE if view.choice.url and view.choice.country else {}  # of one document an hour
        aggs = {"hours": {"date_histogram": by_hour, "aggs": {**_SUMS, **people}}}
        query = matching(between("hour", view.first, view.last), *_filters(view.choice))
        return "metrics", {"size": 0, "query": query, "aggs": aggs}

    def _days(self, choice: Choice, first: date, last: date) -> Search:
        """Documents of the scope that has the choice; else the sums of those that make it up."""
        scope, within = scope_of(choice), between("day", first, last)
        if scope is None:
            query = matching(within, {"term": {"scope": "url_country"}}, *_filters(choice))
            by_day = {"field": "day", "fixed_interval": "1d", "min_doc_count": 1}
            return "daily", {
                "size": 0,
                "query": query,
                "aggs": {"days": {"date_histogram": by_day, "aggs": _SUMS}},
            }
        chosen = [{"term": {name: value}} for name, value in choice.parameters.items()]
        query = matching(within, {"term": {"scope": scope}}, *chosen)
        return "daily", {"size": MOST_DAYS["day"], "query": query, "_source": list(_SHOWN)}

    def _hours(self, first: date, last: date) -> Search:
        return "hours", {"size": _HOURS, "query": matching(between("hour", first, last))}

    def _states(self, first: date, last: date) -> Search:
        by_day = {"field": "hour", "fixed_interval": "1d", "min_doc_count": 1}
        states = {"states": {"terms": {"field": "state", "size": 10}}}
        aggs = {"days": {"date_histogram": by_day, "aggs": states}}
        return "hours", {"size": 0, "query": matching(between("hour", first, last)), "aggs": aggs}

    def _groups(self, view: Overview) -> dict[str, Search]:
        """What urls, countries and sites there are in what is chosen, of the daily documents."""
        return {name: self._group(view, name, scope) for name, scope in _scopes_of_groups(view).items()}

    def _group(self, view: Overview, name: str, scope: str) -> Search:
        query = matching(between("day", view.first, view.last), {"term": {"scope": scope}}, *_filters(view.choice))
        groups = {"terms": most_first(name, MOST_GROUPS), "aggs": {**_SUMS, **_PEOPLE}}
        return "daily", {"size": 0, "query": query, "aggs": {"groups": groups}}

    def _freshness(self) -> dict[str, Search]:
        latest = {name: {"max": {"field": name}} for name in ("computed_at", "watermark", "written_at")}
        last = {"written_at": {"order": "desc", "unmapped_type": "date"}}
        return {
            "last of hours": ("hours", {"size": 1, "sort": [last], "aggs": latest}),
            "last of metrics": ("metrics", {"size": 0, "aggs": latest}),
            "last of daily": ("daily", {"size": 0, "aggs": latest}),
        }


class SearchFailed(Exception):
    """Elasticsearch refuses one of the searches, or answers a part of it; says which, and why."""


def _filters(choice: Choice) -> list[dict[str, Any]]:
    """What documents with a url, a country or both match; a site by how its urls begin.

    The urls that do not count by name have no site to begin with: as a site and as a url they are of one name.
    """
    chosen: list[dict[str, Any]] = [
        {"term": {name: value}} for name, value in choice.parameters.items() if name != "site"
    ]
    if choice.site == OTHER:
        chosen.append({"term": {"url": OTHER}})
    elif choice.site:
        beneath = [{"prefix": {"url": f"{choice.site}/"}}, {"term": {"site": choice.site}}]
        chosen.append({"bool": {"should": beneath, "minimum_should_match": 1}})
    return chosen


def _scopes_of_groups(view: Overview) -> dict[str, str]:
    """Into what a choice is broken down, and which daily documents are each of one part; a dimension's value is not."""
    choice = view.choice
    if view.dimension.value:
        return {}
    if choice.url:
        return {} if choice.country else {"country": "url_country"}
    if choice.country:
        return {"url": "url_country"}
    return {"url": "url"} if choice.site else {"url": "url", "country": "country", "site": "site"}


def _series_of(view: Overview, answer: Answer, hours: Mapping[datetime, HourRecord]) -> dict[datetime, Figures]:
    if view.by == "day":
        days = _daily(answer) if scope_of(view.choice) else _daily_sums(answer)
        return {datetime(day.year, day.month, day.day, tzinfo=UTC): figures for day, figures in days.items()}
    if view.dimension.value:
        return {at: figures_of(document) for document in hits(answer) if (at := moment(document.get("start")))}
    people = "people" if view.choice.url and view.choice.country else ""
    series = {at: sums_of(bucket, people) for bucket in buckets(answer, "hours") if (at := moment(bucket["key"]))}
    if not view.choice.parameters:
        for at in hours.keys() & series.keys():
            series[at] = replace(series[at], people=hours[at].unique_users)
    return series


def _daily(answer: Answer) -> dict[date, Figures]:
    return {at.date(): figures_of(document) for document in hits(answer) if (at := moment(document.get("day")))}


def _daily_sums(answer: Answer) -> dict[date, Figures]:
    return {at.date(): sums_of(bucket) for bucket in buckets(answer, "days") if (at := moment(bucket["key"]))}


def _states_of(answer: Answer) -> dict[date, Counter[str]]:
    return {
        at.date(): Counter({str(state["key"]): int(state["doc_count"]) for state in bucket["states"]["buckets"]})
        for bucket in buckets(answer, "days")
        if (at := moment(bucket["key"]))
    }


def _freshness_of(answers: Mapping[str, Answer], hours: Iterable[HourRecord]) -> Freshness:
    def latest(alias: str, name: str) -> datetime | None:
        found = answers[f"last of {alias}"].get("aggregations", {}).get(name, {})
        return moment(found.get("value"))

    newest = next(iter(hits(answers["last of hours"])), {})
    records = list(hours)
    counted = (record for record in records if record.state != HELD)
    clicked = {record.hour for record in counted if (record.kept if record.clicks is None else record.clicks)}
    return Freshness(
        hours_written=latest("hours", "written_at"),
        watermark=latest("hours", "watermark"),
        lag=newest.get("lag"),
        metrics_computed=latest("metrics", "computed_at"),
        daily_computed=latest("daily", "computed_at"),
        clicked=frozenset(clicked),
        stale=sum(record.state == STALE for record in records),
    )


def _hour_of(choice: Choice, record: HourRecord | None, rows: Answer, before: Answer) -> HourSeen:
    listed = tuple(PageFigures(str(row["url"]), str(row["country"]), figures_of(row)) for row in hits(rows))
    figures = sums_of(rows["aggregations"]) if "aggregations" in rows else Figures()
    if choice.url and choice.country and listed:
        figures = listed[0].figures
    elif not choice.parameters and record is not None:
        figures = replace(figures, people=record.unique_users)
    return HourSeen(
        record=record,
        figures=figures,
        rows=listed,
        documents=int(rows["hits"]["total"]["value"]),
        countries=tuple(groups_of(rows, "country")),
        urls=tuple(groups_of(rows, "url")),
        before=tuple(group.figures.clicks for group in groups_of(before, "hours")),
    )
