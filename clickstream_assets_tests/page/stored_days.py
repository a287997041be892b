"""Days of clicks as documents in Elasticsearch, under a name prefix of their own: what the page is to show.

They are three unless a first day is named. Each url has clicks from each country in every hour; some hours are held,
stale, open, or have not begun.
"""

from collections import Counter
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from elasticsearch.helpers import bulk

from clickstream_assets.books.row_keys import document_id
from clickstream_assets.index.document_fields import index_template

NOW = datetime(2026, 11, 29, 14, 32, 10, tzinfo=UTC)
FIRST, YESTERDAY, TODAY = (datetime(2026, 11, day, tzinfo=UTC) for day in (27, 28, 29))
MONTH = TODAY - timedelta(days=29)
"""The first of thirty days."""
HELD, STALE, OPEN = YESTERDAY + timedelta(hours=14), YESTERDAY + timedelta(hours=9), TODAY + timedelta(hours=14)
HOSTILE_URL = "https://shop.example/<script>window.hostile=1</script>\"'><img/src=x>\u202egnp.exe?javascript:alert(1)"
LONG_URL = "https://shop.example/" + "very-long/" * 60
URLS = {
    "https://shop.example/": 9,
    "https://shop.example/shoes?size=42&colour=red": 5,
    HOSTILE_URL: 3,
    LONG_URL: 1,
    "https://blog.example:8443/post": 2,
}
COUNTRIES = {"DE": 5, "US": 4, "ZZ": 1}
BUSY = (2, 1, 1, 1, 1, 2, 3, 5, 7, 8, 9, 9, 8, 8, 9, 9, 8, 8, 9, 10, 10, 8, 5, 3)
"""Of the day's hours, how busy they are."""
HOSTILE_VALUE = "Fire<script>window.hostile=1</script>\u202efox"
LONG_VALUE = "a-very-long-campaign-" * 30
DIMENSIONS = {
    "browser": {"Chrome": 0.5, "Firefox": 0.25, HOSTILE_VALUE: 0.1, "(none)": 0.1, "(other)": 0.05},
    "os": {"Windows": 0.6, "Android": 0.4},
    "device": {"desktop": 0.6, "mobile": 0.4},
    "city": {"Berlin": 0.7, "(none)": 0.3},
    "referrer_host": {"(none)": 0.8, "search.example": 0.2},
    "utm_source": {"(none)": 0.9, "mail": 0.1},
    "utm_medium": {"(none)": 1},
    "utm_campaign": {"(none)": 0.6, LONG_VALUE: 0.4},
    "event_type": {"page_view": 0.75, "click": 0.25},
}
"""Of each dimension the share of an hour's clicks that each value has."""
BOTS = {"Googlebot": 3, "<b>bot</b>": 2}
"""Events of each hour."""
REASON = "books_balance failed: read 812, kept + duplicates + refused 811 <b>"


def site_of(url):
    return "/".join(url.split("/")[:3])


def hours(first=FIRST):
    hour = first
    while hour <= OPEN:
        yield hour
        hour += timedelta(hours=1)


def state_of(hour):
    return {HELD: "held", STALE: "stale", OPEN: "open"}.get(hour, "final")


def clicks_of(hour, url, country):
    low = 0.3 if hour in (HELD, OPEN) else 1
    return round(URLS[url] * COUNTRIES[country] * BUSY[hour.hour] * low)


def figures(clicks):
    """What is counted of so many clicks; people are less than clicks, and not as they would add up."""
    views = clicks * 3 // 4
    seconds = views * 42.5
    return {
        "clicks": clicks, "unique_users": round(clicks**0.8), "measured_views": views, "time_spent_seconds": seconds,
        "average_time_spent": seconds / views if views else None,
    }  # fmt: skip


def metrics(first=FIRST):
    stamped = {"computed_at": int((NOW - timedelta(minutes=1)).timestamp() * 1000), "run_id": "run-of-metrics"}
    for hour in hours(first):
        for url in URLS:
            for country in COUNTRIES:
                number = int(hour.timestamp()) // 3_600
                named = {"hour": hour.isoformat(), "url": url, "country": country, "state": state_of(hour)}
                clicks = clicks_of(hour, url, country)
                if clicks:
                    yield document_id(number, url, country), {**named, **figures(clicks), **stamped}


def days(first=FIRST):
    sums = Counter()
    for hour in hours(first):
        day = hour.date().isoformat()
        for url in URLS:
            for country in COUNTRIES:
                clicks, site = clicks_of(hour, url, country), site_of(url)
                sums[day, "url_country", url, country, None] += clicks
                sums[day, "url", url, None, None] += clicks
                sums[day, "country", None, country, None] += clicks
                sums[day, "site", None, None, site] += clicks
                sums[day, "all", None, None, None] += clicks
    stamped = {"computed_at": (NOW - timedelta(minutes=20)).isoformat(), "run_id": "run-of-days"}
    for key, clicks in sums.items():
        named = dict(zip(("day", "scope", "url", "country", "site"), key, strict=True))
        state = {"state": "open" if key[0] == TODAY.date().isoformat() else "final"}
        named = {name: value for name, value in named.items() if value}
        yield sha256(str(key).encode()).hexdigest(), named | state | figures(clicks) | stamped


def value_of(hour, dimension, value):
    """Clicks and events of a value in an hour; a page that is left is an event and no click."""
    if dimension == "bot":
        return 0, BOTS[value]
    whole = sum(clicks_of(hour, url, country) for url in URLS for country in COUNTRIES)
    if value == "page_leave":
        return 0, whole // 2
    clicks = round(whole * DIMENSIONS[dimension][value])
    return clicks, clicks


def dimensions(first=FIRST):
    """One document for each value, hour and day; people are known but of bots and of all others together."""
    values = [(name, value) for name, of_it in DIMENSIONS.items() for value in of_it]
    values += [("event_type", "page_leave"), *(("bot", bot) for bot in BOTS)]
    counted = Counter()
    for hour in hours(first):
        for dimension, value in values:
            for span, start in (("hour", hour), ("day", hour - timedelta(hours=hour.hour))):
                for name, number in zip(("clicks", "events"), value_of(hour, dimension, value), strict=True):
                    counted[span, start, dimension, value, name] += number
    stamped = {"computed_at": (NOW - timedelta(minutes=3)).isoformat(), "run_id": "run-of-dimensions"}
    for span, start, dimension, value in dict.fromkeys(key[:4] for key in counted):
        clicks, events = (counted[span, start, dimension, value, name] for name in ("clicks", "events"))
        is_open = start == OPEN if span == "hour" else start == TODAY
        named = {
            "span": span, "start": start.isoformat(), "day": start.date().isoformat(), "dimension": dimension,
            "value": value, "clicks": clicks, "events": events, "state": "open" if is_open else "final",
        }  # fmt: skip
        people = {"unique_users": people_of(events)} if dimension != "bot" and value != "(other)" else {}
        if events:
            yield sha256(f"{span}{start}{dimension}{value}".encode()).hexdigest(), named | people | stamped


def people_of(events):
    return round(events**0.7)


def records(first=FIRST):
    for hour in hours(first):
        clicks = sum(clicks_of(hour, url, country) for url in URLS for country in COUNTRIES)
        state = state_of(hour)
        record = {
            "hour": hour.isoformat(), "state": state, "checks_passed": 30, "checks_failed": int(state == "held"),
            "failed_checks": [f"raw_clicks.books_balance: {REASON}"] if state == "held" else [],
            "day_checks_passed": 6, "day_failed_checks": [],
            "read": clicks + 12, "kept": clicks + 5, "duplicates": 4, "refused": 3,
            "refused_by_reason": {"missing_field": 2, "invalid_url": 1}, "late": 2, "bots": 5, "clicks": clicks,
            "unique_users": figures(clicks)["unique_users"], "lag": 16 if state == "open" else 0,
            "watermark": min(hour + timedelta(minutes=59), NOW - timedelta(seconds=10)).isoformat(),
            "written_at": min(hour + timedelta(hours=1, minutes=1), NOW - timedelta(seconds=4)).isoformat(),
            "run_id": "run-of-hours", "contract_version": "1",
        }  # fmt: skip
        if state in ("held", "stale"):
            record["reason"] = REASON if state == "held" else "41 late events"
        yield hour.strftime("%Y-%m-%d-%H:00"), record


_KEYWORD, _LONG, _DATE, _DOUBLE = ({"type": name} for name in ("keyword", "long", "date", "double"))
_COUNTED = {
    **dict.fromkeys(("clicks", "unique_users", "measured_views"), _LONG),
    **dict.fromkeys(("time_spent_seconds", "average_time_spent"), _DOUBLE),
}
DAY_FIELDS = {
    "day": _DATE, "computed_at": _DATE, **_COUNTED,
    **dict.fromkeys(("scope", "url", "country", "site", "state", "run_id"), _KEYWORD),
}  # fmt: skip
_NUMBERS = ("checks_passed", "checks_failed", "read", "kept", "duplicates", "refused", "late", "bots", "clicks", "lag")
_BY_DIMENSION = {
    **dict.fromkeys(("span", "dimension", "value", "state", "run_id"), _KEYWORD),
    **dict.fromkeys(("start", "day", "computed_at"), _DATE),
    **dict.fromkeys(("events", "clicks", "unique_users"), _LONG),
}
_HOURS = {
    **dict.fromkeys(("hour", "watermark", "written_at"), _DATE),
    **dict.fromkeys(("state", "reason", "failed_checks", "run_id", "contract_version"), _KEYWORD),
    **dict.fromkeys((*_NUMBERS, "unique_users"), _LONG), "refused_by_reason": {"type": "flattened"},
}  # fmt: skip


def store(es, configured, first=FIRST):
    """Make the four indices of a name prefix, and fill them from the first day on."""
    template = index_template(configured.alias)["template"]
    template["mappings"]["properties"].setdefault("state", _KEYWORD)
    made = {
        configured.alias: (template["mappings"]["properties"], metrics(first)),
        configured.daily_alias: (DAY_FIELDS, days(first)),
        configured.hours_alias: (_HOURS, records(first)),
        configured.dimensions_alias: (_BY_DIMENSION, dimensions(first)),
    }
    for alias, (properties, documents) in made.items():
        fill(es, alias, "2026-11", properties, documents)


def fill(es, alias, span, properties, documents):
    """Make an index behind an alias, and fill it with documents, each behind its id."""
    index = f"{alias}-{span}"
    es.indices.create(index=index, mappings={"properties": properties}, aliases={alias: {}})
    bulk(es, ({"_index": index, "_id": key, "_source": source} for key, source in documents), refresh=True)
