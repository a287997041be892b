"""Events around a page of an hour, as the tables hold them: its views, and what ended each."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import chain, groupby
from typing import Any

from clickstream_assets.books.books import Books
from clickstream_assets.books.row_keys import document_id, key_ranges
from clickstream_assets.books.table_schemas import CLICKS
from clickstream_assets.events.click_event import CLICK_TYPES, LEAVE_TYPES
from clickstream_assets.events.hours import HOUR_MS, TIMEOUT_MS, rfc3339, rfc3339_of_hour
from clickstream_assets.events.url_limits import ALL_URLS, CountedUrls, UrlLimits, digest_of
from clickstream_assets.stores.hbase.client import rows_per_call

Row = tuple[bytes, Mapping[bytes, bytes]]
"""A row of ``clickstream_data``: key and cells."""
Values = Mapping[str, Any]
"""A document, a metrics row or a new computation, by field."""
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
    """The document in question: hour since the epoch, normalised url (or :data:`OTHER`), country."""

    hour: int
    url: str
    country: str
    counted: CountedUrls = ALL_URLS
    """What the hour's urls count as."""

    @property
    def document_id(self) -> str:
        return document_id(self.hour, self.url, self.country)

    @property
    def fields(self) -> dict[str, str]:
        """What its document says of the three."""
        return {"hour": rfc3339_of_hour(self.hour), "url": self.url, "country": self.country}

    def counts(self, url: str) -> bool:
        """Whether clicks on a url count for it."""
        return self.counted.name_of(url) == self.url


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
        return self.time_ms // HOUR_MS == target.hour and self.country == target.country and target.counts(self.url)


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
    begin_ms = target.hour * HOUR_MS
    end_ms = begin_ms + HOUR_MS + TIMEOUT_MS
    for key, cells in rows:
        is_in_time = begin_ms <= int(cells.get(_CELLS["timestamp"], b"-1")) < end_ms
        url = cells.get(_CELLS["url"], b"").decode("utf-8", "replace")
        if is_in_time and (target.counts(url) or _user_key(cells) in users):
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


def _scan(books: Books, hours: Iterable[int], names: Iterable[str]) -> Iterator[Row]:
    columns = tuple(_CELLS[name] for name in names)
    for start, stop in chain.from_iterable(key_ranges(hours)):
        yield from books.hbase.scan(books.tables.clicks, start, stop, columns, batch_rows=_ROWS_PER_CALL)


def counted_urls(books: Books, hour: int, limits: UrlLimits) -> CountedUrls:
    """What an hour's urls count as by its rows; where no bound is set these are not looked at."""
    if not limits.most:
        return CountedUrls(limits)
    events = (to_event(*row) for row in _scan(books, [hour], _FIRST_LOOK))
    clicks = Counter(digest_of(e.url) for e in events if e.is_persons and e.is_click and limits.takes_host_of(e.url))
    return CountedUrls(limits).bounded(clicks.items())


def events_of(books: Books, target: Subject) -> tuple[FirstLook, list[Event]]:
    """What the hour holds of the url, and the events that the document depends on."""
    first_look = look(_scan(books, [target.hour], _FIRST_LOOK), target)
    hours = [target.hour, target.hour + 1] if first_look.users else [target.hour]
    return first_look, gather(_scan(books, hours, _ALL), target, first_look.users)


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
