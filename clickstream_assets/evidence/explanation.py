"""How a metrics document came to be: its events, the time spent event by event, and what the stores say.

The result is an :class:`Explanation` of plain values. The rows of the hour are scanned twice: first for the document's
users, then for what these users did. So memory holds the events of one document's users, however large the hour is.
"""

import base64
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import chain, groupby
from typing import Any

import numpy as np
import pyarrow as pa
from elasticsearch import Elasticsearch

from clickstream_assets.books.blocks import CLICKS as EVENT_COLUMNS
from clickstream_assets.books.blocks import kind_of
from clickstream_assets.books.books import Books
from clickstream_assets.books.columns import Column
from clickstream_assets.books.hour_states import STEPS
from clickstream_assets.books.ledger import HourPart, Ledger
from clickstream_assets.books.metrics_keys import document_id, metrics_key
from clickstream_assets.books.row_keys import key_ranges
from clickstream_assets.books.table_schemas import CLICKS, METRICS
from clickstream_assets.events.click_event import CLICK_TYPES, LEAVE_TYPES
from clickstream_assets.events.hours import HOUR_MS, TIMEOUT_MS, hour_of_key, key_of_hour, rfc3339, rfc3339_of_hour
from clickstream_assets.metrics.hourly_metrics import changes, estimate_of
from clickstream_assets.metrics.time_spent import UNKNOWN
from clickstream_assets.stores.hbase.client import rows_per_call

Row = tuple[bytes, Mapping[bytes, bytes]]
"""A row of ``clickstream_data``: key and cells."""
Values = Mapping[str, Any]
"""A document, a metrics row or a new computation, by field."""

FIELDS = ("clicks", "unique_users", "measured_views", "time_spent_seconds", "average_time_spent")
"""A document's values, ``users_sketch`` aside."""
SOURCES = ("document", "metrics_row", "recomputed", "from_events")
"""Where each value is taken from; of ``users_sketch`` the last has none."""

NEXT_CLICK, LEFT, SIGN_OF_LIFE = "next_click", "left", "sign_of_life"
MEASURED, MEASURED_CAPPED = "own_measurement", "own_measurement_capped"
UNKNOWN_END = "unknown"
"""How a view's time is known: by the user's next click, by their leaving the url, by their last sign of life, by the
client's own measurement; or it is unknown."""

_FIRST_LOOK = ("timestamp", "url", "user_id", "anonymous_id", "event_type", "country", "bot")
_ALL = (*_FIRST_LOOK, "engagement_time_ms", "source", "geoip_version", "user_agent_version")
_CELLS = {name: CLICKS.columns[name].key for name in _ALL}
_ROWS_PER_CALL = rows_per_call(CLICKS.row_bytes(*_ALL))


@dataclass(frozen=True, slots=True)
class Subject:
    """The document in question: hour since the epoch, normalised url, country."""

    hour: int
    url: str
    country: str

    @property
    def document_id(self) -> str:
        return document_id(self.hour, self.url, self.country)

    @property
    def fields(self) -> dict[str, str]:
        """What its document says of the three."""
        return {"hour": rfc3339_of_hour(self.hour), "url": self.url, "country": self.country}


# The parts of an explanation


@dataclass(frozen=True, slots=True)
class Source:
    """Where in Kafka a row came from."""

    topic_id: str
    partition: int
    offset: int

    @classmethod
    def of(cls, cell: str) -> "Source":
        """The column ``source`` of a row, ``topic id/partition/offset``."""
        topic_id, partition, offset = cell.split("/")
        return cls(topic_id, int(partition), int(offset))


@dataclass(frozen=True, slots=True)
class Event:
    """A row of ``clickstream_data``: the values that metrics are computed from, and where it came from.

    ``row_key`` is in hex. ``kafka`` is None if the row has no ``source``; ``country`` and the versions are None if it
    is not enriched.
    """

    row_key: str
    kafka: Source | None
    time: str
    time_ms: int
    user_key: str
    event_type: str
    url: str
    country: str | None
    is_enriched: bool
    is_bot: bool
    engagement_time_ms: int | None
    geoip_version: str | None
    user_agent_version: str | None

    @property
    def is_click(self) -> bool:
        return self.event_type in CLICK_TYPES

    def leaves(self, url: str) -> bool:
        return self.event_type in LEAVE_TYPES and self.url == url

    @property
    def is_persons(self) -> bool:
        """Whether metrics see it: enriched, and no bot's."""
        return self.is_enriched and not self.is_bot

    def is_of(self, target: Subject) -> bool:
        """Whether it happened in the document's hour, on its url, in its country."""
        return self.time_ms // HOUR_MS == target.hour and (self.url, self.country) == (target.url, target.country)


@dataclass(frozen=True, slots=True)
class View(Event):
    """An event of the document's url, country and hour, with the time spent if it counts for the metrics.

    If it does not count, ``left_out`` says why: ``bot``, ``not_enriched`` or ``no_click``. ``spent_ms`` is None where
    it is unknown. ``end`` is the event that ended the view; None if none did.
    """

    counts: bool
    left_out: str | None = None
    spent_ms: int | None = None
    ended_by: str | None = None
    end: Event | None = None

    @classmethod
    def of(cls, event: Event, **more: Any) -> "View":
        """An event as a view, with ``more`` of a view's own fields."""
        return cls(**{column.name: getattr(event, column.name) for column in fields(Event)}, **more)


@dataclass(slots=True)
class Explanation:
    """All that is known of a document. Times are RFC 3339, in UTC; None stands for what does not exist."""

    hour: str
    url: str
    country: str
    document_id: str
    verdict: str = ""
    same: bool = False
    """Whether document, metrics row, recomputation and listed events agree, or none of them exists."""
    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Each field by :data:`SOURCES`, and whether these are the same."""
    remarks: list[str] = field(default_factory=list)
    """What differs, why there is no document, how the hour is, and what to do."""
    events: list[View] = field(default_factory=list)
    events_not_shown: int = 0
    ranges: list[dict[str, Any]] = field(default_factory=list)
    """Of ledger entries the offsets ``first`` (included) to ``end`` (not), how many messages of these were ``read`` by
    which run, and how many ``events`` are the document's."""
    ranges_not_shown: int = 0
    events_in_no_range: int = 0
    """The document's events that no ledger entry accounts for."""
    runs: list[dict[str, Any]] = field(default_factory=list)
    """Dagster runs, what each ``did`` for the document, and what only Dagster remembers: status, start, why it ran."""
    enrichment: list[dict[str, Any]] = field(default_factory=list)
    """By GeoIP build and user-agent rules, how many of the events they enriched."""
    document: dict[str, Any] | None = None
    metrics_row: dict[str, Any] | None = None
    state: dict[str, Any] = field(default_factory=dict)
    """The hour's state; with ``refused``, its dead letters (of any url, for theirs is not known), and ``moved``:
    whether the hour was touched in the meantime."""
    failed_checks: Sequence[object] | None = None
    """Checks whose last evaluation of the hour failed; None where Dagster was not asked."""

    def shorten(self, limit: int) -> None:
        """Keep the first ``limit`` events and ranges and count the others; 0 keeps all."""
        if limit:
            self.events_not_shown, self.ranges_not_shown = len(self.events[limit:]), len(self.ranges[limit:])
            self.events, self.ranges = self.events[:limit], self.ranges[:limit]


# Events


def _user_key(cells: Mapping[bytes, bytes]) -> str:
    """The kind of id, a colon, the id: so the two kinds never collide."""
    kind = "user_id" if _CELLS["user_id"] in cells else "anonymous_id"
    return f"{kind}:{cells.get(_CELLS[kind], b'').decode('utf-8', 'replace')}"


def to_event(key: bytes, cells: Mapping[bytes, bytes]) -> Event:
    """A row that has a timestamp as an event."""
    row = CLICKS.decode(cells)
    return Event(
        row_key=key.hex(),
        kafka=Source.of(row["source"]) if "source" in row else None,
        time=rfc3339(row["timestamp"]),
        time_ms=row["timestamp"],
        user_key=_user_key(cells),
        event_type=row.get("event_type", ""),
        url=row.get("url", ""),
        country=row.get("country"),
        is_enriched="bot" in row,
        is_bot=row.get("bot", "false") != "false",
        engagement_time_ms=row.get("engagement_time_ms"),
        geoip_version=row.get("geoip_version"),
        user_agent_version=row.get("user_agent_version"),
    )


def _events_around(rows: Iterable[Row], target: Subject, users: Collection[str] = ()) -> Iterator[Event]:
    """Events of the document's url or of ``users``, from the begin of its hour to half an hour behind its end."""
    begin_ms, url = target.hour * HOUR_MS, target.url.encode()
    end_ms = begin_ms + HOUR_MS + TIMEOUT_MS
    for key, cells in rows:
        is_in_time = begin_ms <= int(cells.get(_CELLS["timestamp"], b"-1")) < end_ms
        if is_in_time and (cells.get(_CELLS["url"]) == url or _user_key(cells) in users):
            yield to_event(key, cells)


@dataclass(slots=True)
class FirstLook:
    """What the first scan of an hour tells of a url."""

    users: set[str] = field(default_factory=set)
    """Keys of the users with a click that counts for the document."""
    clicks_by_country: Counter[str] = field(default_factory=Counter)
    """Clicks of the url that count, of every country."""
    not_enriched: int = 0
    """Rows of the url that have no country yet."""


def look(rows: Iterable[Row], target: Subject) -> FirstLook:
    """The first scan: finds the document's users among the rows of its hour."""
    first_look = FirstLook()
    for event in _events_around(rows, target):
        first_look.not_enriched += not event.is_enriched
        if event.is_persons and event.is_click:
            first_look.clicks_by_country[event.country or ""] += 1
            if event.country == target.country:
                first_look.users.add(event.user_key)
    return first_look


def gather(rows: Iterable[Row], target: Subject, users: Collection[str]) -> list[Event]:
    """The second scan: the events that the document depends on, from rows of its hour and of the one that follows.

    All events of ``users`` in the hour and the half hour behind it, as far as metrics see them; and every event on
    the document's url, from its country, in its hour.
    """
    events = _events_around(rows, target, users)
    return [event for event in events if (event.is_persons and event.user_key in users) or event.is_of(target)]


def events_of(books: Books, target: Subject) -> tuple[FirstLook, list[Event]]:
    """What the hour holds of the url, and the events that the document depends on."""

    def scan(hours: Iterable[int], names: Iterable[str]) -> Iterator[Row]:
        columns = tuple(_CELLS[name] for name in names)
        for start, stop in chain.from_iterable(key_ranges(hours)):
            yield from books.hbase.scan(books.tables.clicks, start, stop, columns, batch_rows=_ROWS_PER_CALL)

    first_look = look(scan([target.hour], _FIRST_LOOK), target)
    hours = [target.hour, target.hour + 1] if first_look.users else [target.hour]
    return first_look, gather(scan(hours, _ALL), target, first_look.users)


# Time spent, event by event


def views(events: Iterable[Event], target: Subject) -> list[View]:
    """The document's events in order of time, each view with its time and the event that ended it.

    :func:`~clickstream_assets.metrics.time_spent.time_spent_ms` gives the same times, but not the events that end the
    views; tests compare the two.
    """
    events = list(events)
    people = sorted((e for e in events if e.is_persons), key=lambda e: (e.user_key, e.time_ms, not e.is_click))
    listed = []
    for _, events_of_user in groupby(people, key=lambda event: event.user_key):
        visits = list(events_of_user)
        listed += [_view(event, visits) for event in visits if event.is_click and event.is_of(target)]
    for event in events:
        if event.is_of(target) and not (event.is_persons and event.is_click):
            left_out = "not_enriched" if not event.is_enriched else "bot" if event.is_bot else "no_click"
            listed.append(View.of(event, counts=False, left_out=left_out))
    return sorted(listed, key=lambda view: (view.time_ms, view.row_key))


def _view(event: Event, visits: Sequence[Event]) -> View:
    """A click that counts. ``visits`` are its user's events in order of time; at the same time clicks come first."""
    if event.engagement_time_ms is not None:
        ended_by = MEASURED_CAPPED if event.engagement_time_ms > TIMEOUT_MS else MEASURED
        return View.of(event, counts=True, spent_ms=min(event.engagement_time_ms, TIMEOUT_MS), ended_by=ended_by)
    begin, end = (bisect_right(visits, event.time_ms + ms, key=lambda visit: visit.time_ms) for ms in (0, TIMEOUT_MS))
    if begin == end:
        return View.of(event, counts=True, ended_by=UNKNOWN_END)
    in_reach = (visits[index] for index in range(begin, end))
    last = next((later for later in in_reach if later.is_click or later.leaves(event.url)), visits[end - 1])
    ended_by = NEXT_CLICK if last.is_click else LEFT if last.leaves(event.url) else SIGN_OF_LIFE
    return View.of(event, counts=True, spent_ms=last.time_ms - event.time_ms, ended_by=ended_by, end=last)


def add_up(listed: Iterable[View]) -> dict[str, Any] | None:
    """The metrics that the views add up to; None if no view counts."""
    counted = [view for view in listed if view.counts]
    if not counted:
        return None
    times = [view.spent_ms for view in counted if view.spent_ms is not None]
    seconds = sum(times) / 1000
    return {
        "clicks": len(counted),
        "unique_users": len({view.user_key for view in counted}),
        "measured_views": len(times),
        "time_spent_seconds": seconds,
        "average_time_spent": seconds / len(times) if times else None,
    }


# The ledger, and the runs


def ranges_of(
    ledger: Ledger, parts: Sequence[HourPart], sources: Sequence[Source | None]
) -> tuple[list[dict[str, Any]], int]:
    """The ledger entries whose offsets include ``sources``, in order, and how many sources are in no entry.

    ``parts`` are those of the hour, in order; entries are read only of parts in which a source lies.
    """
    firsts = [(part.topic_id, part.partition, part.first) for part in parts]
    offsets: dict[HourPart, list[int]] = {}
    for source in sources:
        if source is not None:
            index = bisect_right(firsts, (source.topic_id, source.partition, source.offset)) - 1
            if index >= 0 and firsts[index][:2] == (source.topic_id, source.partition):
                offsets.setdefault(parts[index], []).append(source.offset)
    ranges = []
    for part, entry in ledger.entries_of(part for part in parts if part in offsets).items():
        if entry is not None and (events := sum(offset < entry.end for offset in offsets[part])):
            of_entry = ("topic_id", "partition", "first", "end", "read", "run_id")
            ranges.append({name: getattr(entry, name) for name in of_entry} | {"events": events})
    return ranges, len(sources) - sum(booked["events"] for booked in ranges)


def runs_of(ranges: Iterable[Values], *stored: Values | None) -> list[dict[str, Any]]:
    """The runs that read the ``ranges``, then the runs named in what is ``stored``, each with what it did."""
    read = dict.fromkeys(booked["run_id"] for booked in ranges)
    computed = dict.fromkeys(str(values["run_id"]) for values in stored if values and values.get("run_id"))
    roles = {"read its events": read, "computed it": computed}
    of_dagster = dict.fromkeys(("status", "started", "why"))
    return [
        {"run_id": run_id, "did": ", ".join(role for role in roles if run_id in roles[role]), **of_dagster}
        for run_id in read | computed
    ]


def enrichment_of(listed: Iterable[View]) -> list[dict[str, Any]]:
    """How many of the events each GeoIP build and user-agent rules have enriched, most first."""
    versions = Counter((view.geoip_version, view.user_agent_version) for view in listed)
    return [
        {"geoip_version": geoip, "user_agent_version": rules, "events": events}
        for (geoip, rules), events in versions.most_common()
    ]


# What the stores say


def stored_metrics(books: Books, target: Subject) -> dict[str, Any] | None:
    """The document's row of ``clickstream_metrics``, by column; None if there is none.

    A cell that is not of its column's type is given as text.
    """
    key = metrics_key(target.hour, target.url, target.country)
    cells = books.hbase.get(books.tables.metrics, [key]).get(key)
    if cells is None:
        return None
    return {name: _value(column, cells.get(column.key)) for name, column in METRICS.columns.items()}


def _value(column: Column, cell: bytes | None) -> Any:
    if cell is None:
        return None
    try:
        return column.decode(cell)
    except ValueError:
        return cell.decode("utf-8", "replace")


def documents_of(es: Elasticsearch, alias: str, target: Subject) -> list[dict[str, Any]]:
    """Every hit with the target's ``_id``, or with its hour, url and country; there should be one."""
    either = [
        {"ids": {"values": [target.document_id]}},
        {"bool": {"filter": [{"term": {name: value}} for name, value in target.fields.items()]}},
    ]
    answer = es.search(index=alias, ignore_unavailable=True, query={"bool": {"should": either}}, size=10)
    return list(answer["hits"]["hits"])


def misplaced(hits: Iterable[Mapping[str, Any]], target: Subject) -> list[str]:
    """Sentences on documents in the wrong place: a second one, or one whose fields are not those of its ``_id``."""
    words = []
    for hit in hits:
        location, document = f"{hit['_index']}/{hit['_id']}", hit["_source"]
        if hit["_id"] != target.document_id:
            words.append(f"a second document for this hour, url and country: {location}")
            continue
        words += [
            f"{location}: {name} is {document.get(name)!r}, its _id says {value!r}"
            for name, value in target.fields.items()
            if document.get(name) != value
        ]
    return words


def written(values: Values, **location: str) -> dict[str, Any]:
    """The ``location`` of values, when and by which run they were computed. A time that is no number stays as it is."""
    computed_at = values.get("computed_at")
    time = rfc3339(computed_at) if isinstance(computed_at, int) else computed_at
    return {**location, "computed_at": time, "run_id": values.get("run_id")}


# Comparison


def recomputed(events: Iterable[Event], target: Subject) -> dict[str, Any] | None:
    """The document's values, computed now by the pipeline's own code; None if there are none.

    ``events`` are those of the document's users, in the hour and the one that follows.
    """
    rows = [
        {
            "time_ms": event.time_ms,
            "user_key": _as_counted(event.user_key),
            "url": event.url,
            "kind": kind_of(event.event_type),
            "engaged_ms": UNKNOWN if event.engagement_time_ms is None else event.engagement_time_ms,
            "country": event.country,
            "bot": False,
        }
        for event in events
        if event.is_persons
    ]
    counted = changes(pa.Table.from_pylist(rows, EVENT_COLUMNS), np.ones(len(rows), np.bool_), target.hour)
    for row in counted.to_pylist():
        if (row["url"], row["country"]) == (target.url, target.country):
            views, seconds = row["measured_views"], row.pop("spent_ms") / 1000
            times = {"time_spent_seconds": seconds, "average_time_spent": seconds / views if views else None}
            return {name: row[name] for name in ("clicks", "unique_users", "measured_views", "users_sketch")} | times
    return None


def _as_counted(user_key: str) -> str:
    """A user key as metrics count it: of the kind its first letter."""
    kind, _, user_id = user_key.partition(":")
    return kind[0] + user_id


def compare(*sources: Values | None) -> dict[str, dict[str, Any]]:
    """Each of :data:`FIELDS` in all :data:`SOURCES`, compared exactly: the same computation gives the same double."""
    comparisons = {}
    for name in FIELDS:
        values = [None if source is None else source.get(name) for source in sources]
        comparisons[name] = {**dict(zip(SOURCES, values, strict=True)), "same": values.count(values[0]) == len(values)}
    return comparisons


def compare_sketches(*sources: Values | None) -> dict[str, Any]:
    """``users_sketch`` of document, row and recomputation, shown as the number of users it estimates.

    The bytes of a sketch depend on the order of the users, so they cannot be compared. Sketches are the same if each
    of them and all together estimate the same number.
    """
    sketches = [None if values is None else _sketch(values) for values in sources]
    # Alone, a sketch estimates otherwise than a union does: so each is put together with itself.
    users = [None if sketch is None else _estimate(sketch, sketch) for sketch in sketches]
    together = _estimate(*(sketch for sketch in sketches if sketch is not None))
    return dict(zip(SOURCES, [*users, None], strict=True)) | {"same": users.count(together) == len(users)}


def _sketch(values: Values) -> bytes:
    """The bytes of ``users_sketch``, which is base64 in a document; empty if they cannot be read."""
    sketch = values.get("users_sketch") or b""
    try:
        return base64.b64decode(sketch) if isinstance(sketch, str) else bytes(sketch)
    except ValueError:
        return b""


def _estimate(*sketches: bytes) -> int | str | None:
    """Distinct users of all sketches together; ``unreadable`` if one of them is no sketch, None of none."""
    try:
        return round(estimate_of(*sketches)) if sketches else None
    except ValueError:
        return "unreadable"


# Judgement


def judge(explained: Explanation, misplacements: Iterable[str], first_look: FirstLook, first_hour: int) -> None:
    """Set ``same``, the verdict and the remarks of an explanation. ``first_hour`` is that of the first partition."""
    differences = [f"differs: {words}" for words in misplacements]
    for name, values in explained.values.items():
        if not values["same"]:
            shown = [
                f"{source.replace('_', ' ')} {'none' if values[source] is None else values[source]}"
                for source in SOURCES
            ]
            differences.append(f"differs: {name}: {', '.join(shown if name in FIELDS else shown[:-1])}")
    explained.same = not differences
    if differences:
        explained.verdict = "Not the same everywhere."
    elif explained.document:
        explained.verdict = "The same everywhere: computed from HBase now, the document comes out as it is."
    else:
        explained.verdict = "There is no document, and none comes out of HBase's rows now."
    reasons = (*_why_no_document(explained, first_look), *_about_the_hour(explained, first_hour))
    explained.remarks = [*differences, *reasons, *_what_to_do(explained)]


def _why_no_document(explained: Explanation, first_look: FirstLook) -> Iterator[str]:
    if any(view.counts for view in explained.events):
        if not explained.document:
            yield "There is no document, though there are events that count."
        return
    yield "No click counts for this hour, url and country, so there should be no document."
    left_out = Counter(view.left_out for view in explained.events)
    if by_country := first_look.clicks_by_country:
        countries = ", ".join(f"{country} ({clicks:,})" for country, clicks in by_country.most_common(20))
        yield f"In this hour the url has clicks from: {countries}."
    if bots := left_out["bot"]:
        yield f"Events of it by bots, which are left out: {bots:,}."
    if signs := left_out["no_click"]:
        yield f"Events of it that are signs of life, no clicks: {signs:,}."
    if waiting := first_look.not_enriched:
        yield f"Rows of the url that enriched_clicks has not come to, so that their country is not known: {waiting:,}."
    if not (by_country or explained.events or waiting):
        yield "No event of this url is stored in this hour."


def _about_the_hour(explained: Explanation, first_hour: int) -> Iterator[str]:
    hour, state = explained.hour, explained.state
    if hour_of_key(hour) < first_hour:
        yield f"{hour} lies before the first partition, {key_of_hour(first_hour)}: its events are refused."
    elif not state["touched"]:
        yield f"{hour} was never touched: no event of it has been stored."
        if state["refused"]:
            yield f"Messages recorded in it that were refused (see the dead letters): {state['refused']:,}."
        yield "`clickstream doctor` says how many messages wait to be read."
    elif state["stale"]:
        behind = ", ".join(asset for asset, mark in STEPS.items() if state[mark] != state["touched"])
        yield f"{hour} is stale: touched {state['touched']} times, indexed up to touch {state['indexed']}."
        yield f"Not yet up to date: {behind}."
    for asset, hold in state["holds"].items():
        failed = f"{hour} is held back by checks of {asset} that failed ({', '.join(hold['checks'])})"
        yield f"{failed}: what comes after {asset} keeps what it had until they pass."


def _what_to_do(explained: Explanation) -> Iterator[str]:
    hour, state, unbooked = explained.hour, explained.state, explained.events_in_no_range
    if unbooked:
        yield f"Events that lie in no range of the ledger (see `books_balance` of {hour}): {unbooked:,}."
    if state["moved"]:
        yield "Events arrived while this was looked at: run it again before you trust a difference."
    elif not explained.same and not state["stale"] and not state["holds"]:
        row_is_right = all(values["metrics_row"] == values["recomputed"] for values in explained.values.values())
        first = "es_index" if row_is_right else "url_country_metrics"
        yield f"To put there what HBase's rows give now, materialize {first} and what follows for {hour}."


# All of it


def explain(target: Subject, first_hour: int, *, books: Books, es: Elasticsearch, alias: str) -> Explanation:
    """Explain a document from all stores but Dagster's.

    The hour's state is read first and once more at the end, to see whether the hour was touched in between.
    """
    state = books.hours.read([target.hour])[target.hour]
    hits, row = documents_of(es, alias, target), stored_metrics(books, target)
    hit = next((hit for hit in hits if hit["_id"] == target.document_id), None)
    document: Values | None = hit["_source"] if hit else None
    first_look, events = events_of(books, target)
    listed, now = views(events, target), recomputed(events, target)
    sketches = compare_sketches(document, row, now)
    parts = books.ledger.parts([target.hour])[target.hour]
    ranges, events_in_no_range = ranges_of(books.ledger, parts, [view.kafka for view in listed])
    refused = sum(part.counts.dead_lettered for part in parts)
    moved = books.hours.read([target.hour])[target.hour] != state
    explained = Explanation(
        *(key_of_hour(target.hour), target.url, target.country, target.document_id),
        values=compare(document, row, now, add_up(listed)) | {"users_sketch": sketches},
        events=listed,
        ranges=ranges,
        events_in_no_range=events_in_no_range,
        runs=runs_of(ranges, row, document),
        enrichment=enrichment_of(listed),
        document=written(hit["_source"], index=hit["_index"], id=hit["_id"]) if hit else None,
        metrics_row=written(row) if row else None,
        state={**asdict(state), "stale": state.stale, "refused": refused, "moved": moved},
    )
    judge(explained, misplaced(hits, target), first_look, first_hour)
    return explained
