"""What ``--page`` measures: how long the analysts' page takes to answer, over 30 days of documents."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from time import perf_counter, sleep, time
from typing import Any
from urllib.request import urlopen

import uvicorn
from elasticsearch import Elasticsearch
from elasticsearch.helpers import bulk

from benchmarks.bench import Bench
from benchmarks.report import Line, facts_table, targets_table
from benchmarks.statistics import Summary, Target
from clickstream_assets.events.days import HOURS_A_DAY, day_of_hour, hours_of_day, key_of_day
from clickstream_assets.events.hours import HOUR_MS, key_of_hour, rfc3339_of_hour
from clickstream_assets.index import daily_documents, dimension_documents, documents, hour_documents
from clickstream_assets.metrics.daily_metrics import SCOPES
from clickstream_assets.page.app import Pages, application
from clickstream_assets.page.dimension_choice import DIMENSIONS
from clickstream_assets.settings import Settings

_DAYS, _URLS, _COUNTRIES, _VALUES, _LOOKS = 30, 25, 12, 20, 20
_HOST = "https://shop.example"
_COUNTED = {
    "clicks": 9,
    "unique_users": 7,
    "measured_views": 6,
    "time_spent_seconds": 240.5,
    "average_time_spent": 40.1,
    "state": "final",
    "run_id": "bench",
}


def page_part(bench: Bench, facts: Mapping[str, str]) -> str:
    """The table: each view is asked for some times, one after the other, everything it takes included."""
    configured = bench.settings.model_copy(update={"name_prefix": "bench-page-"})
    today = day_of_hour(int(time() * 1000) // HOUR_MS)
    days = range(today - _DAYS + 1, today + 1)
    with Elasticsearch(configured.elasticsearch_url) as es:
        written = bench.show(f"Writing {_DAYS} days of documents", lambda: _store(es, configured, days))
    first, last = key_of_day(days[0]), key_of_day(days[-1])
    views = {
        f"{_DAYS} days, by the day": f"/?by=day&from={first}&to={last}",
        f"{_DAYS} days, by the hour": f"/?by=hour&from={first}&to={last}",
        f"{_DAYS} days, of a country": f"/?by=day&from={first}&to={last}&country=AA",
        f"{_DAYS} days, of a site": f"/?by=day&from={first}&to={last}&site={_HOST}",
        f"{_DAYS} days, by campaign": f"/?by=day&from={first}&to={last}&dimension=utm_campaign",
        f"{_DAYS} days, by the hour, of a browser": f"/?from={first}&to={last}&dimension=browser&value=browser-3",
        "yesterday and today": "/",
        "an hour": f"/hour?hour={key_of_hour(hours_of_day(days[-2])[14])}",
        "where a number comes from": "/lineage?field=average_time_spent",
    }
    with _served(configured) as address:
        timed = bench.show(
            f"Asking for {len(views)} views, {_LOOKS} times each",
            lambda: {name: [_seconds(address + path) for _ in range(_LOOKS)] for name, path in views.items()},
        )
    lines = [
        Line(name, Summary.of(1_000 * s for s in seconds), "ms", target=Target(1_000, at_least=False))
        for name, seconds in timed.items()
    ]
    words = (
        f"Run of {datetime.now(UTC):%Y-%m-%d %H:%M} UTC with `make bench ARGS=--page`: {written:,} documents of "
        f"{_DAYS} days, {_URLS} urls and {_COUNTRIES} countries in each hour, {_VALUES} values of each "
        f"dimension. The median of {_LOOKS} looks, and their range."
    )
    return "\n\n".join(("## The analysts' page", words, facts_table(facts), targets_table(lines)))


def _seconds(url: str) -> float:
    begun = perf_counter()
    with urlopen(url, timeout=60) as answer:  # noqa: S310 - the page that was just started
        answer.read()
    return perf_counter() - begun


@contextmanager
def _served(configured: Settings) -> Iterator[str]:
    """Within, the page answers at the address that is given."""
    app = application(Pages(configured), configured.page_host_names)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            sleep(0.05)
        try:
            yield f"http://localhost:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)


def _store(es: Elasticsearch, configured: Settings, days: range) -> int:
    documents.ensure_template(es, configured.alias)
    daily_documents.ensure_template(es, configured.daily_alias)
    hour_documents.ensure_hours_template(es, configured.hours_alias)
    dimension_documents.ensure_dimensions_template(es, configured.dimensions_alias)
    actions = ({"_index": index, "_source": named} for index, named in _documents(configured, days))
    return int(bulk(es, actions, stats_only=True, refresh=True, chunk_size=5_000)[0])


def _pages() -> Iterator[dict[str, str]]:
    for number in range(_URLS):
        for country in range(_COUNTRIES):
            yield {"url": f"{_HOST}/p/article-{number}", "country": "A" + chr(ord("A") + country)}


def _documents(configured: Settings, days: range) -> Iterator[tuple[str, dict[str, Any]]]:
    """Documents of all four indices, by index."""
    now_ms = int(time() * 1000)
    for day in days:
        for hour in hours_of_day(day):
            metrics = {**_COUNTED, "hour": rfc3339_of_hour(hour), "computed_at": now_ms}
            yield from ((documents.index_of(configured.alias, hour), metrics | page) for page in _pages())
            yield f"{configured.hours_alias}-{key_of_day(day)[:4]}", _of_hour(hour, now_ms)
        for value in _of_dimensions(day, now_ms):
            yield f"{configured.dimensions_alias}-{key_of_day(day)[:4]}", value
        for scope, names in SCOPES.items():
            for named in {tuple((name, (page | {"site": _HOST})[name]) for name in names) for page in _pages()}:
                total = {**_COUNTED, "day": key_of_day(day), "computed_at": now_ms, "scope": scope, **dict(named)}
                yield daily_documents.index_of(configured.daily_alias, day), total


def _of_dimensions(day: int, now_ms: int) -> Iterator[dict[str, Any]]:
    """Of each dimension the same values in each hour, and in the day."""
    spans = [("hour", rfc3339_of_hour(hour)) for hour in hours_of_day(day)]
    spans.append(("day", spans[0][1]))
    stamped = {"day": key_of_day(day), "state": "final", "computed_at": now_ms, "run_id": "bench"}
    for span, start in spans:
        for name, dimension in DIMENSIONS.items():
            people = {"unique_users": 7} if dimension.has_people else {}
            for number in range(_VALUES):
                value = {"dimension": name, "value": f"{name}-{number}", "clicks": 9, "events": 11}
                yield {"span": span, "start": start, **value, **people, **stamped}


def _of_hour(hour: int, now_ms: int) -> dict[str, Any]:
    counts = dict.fromkeys(("read", "kept", "clicks", "unique_users"), 9 * _URLS * _COUNTRIES)
    counts |= dict.fromkeys(("duplicates", "refused", "late", "bots"), 0)
    checks = {"checks_passed": 5 * HOURS_A_DAY, "checks_failed": 0, "failed_checks": []}
    times = {"hour": rfc3339_of_hour(hour), "written_at": now_ms, "watermark": now_ms}
    return {**counts, **checks, **times, "state": "final", "run_id": "bench", "lag": 0, "contract_version": 2}
