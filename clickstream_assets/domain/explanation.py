"""How a metrics document came to be: its events, the time spent event by event, and what the stores say.

An hour may be large, so it is scanned twice: once for the document's users, once to keep the events of these users
alone. Memory is bounded by what one document's users did in one hour.
"""

import base64
import binascii
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from clickstream_assets.clients.hbase import HBaseClient, rows_per_call
from clickstream_assets.domain.click_event import CLICK_TYPES, LEAVE_TYPES
from clickstream_assets.domain.hours import HOUR_MS, key_of_hour, rfc3339_of_hour
from clickstream_assets.domain.ledger import Entry, HourShare, Ledger
from clickstream_assets.domain.metrics import compute, document_id, metrics_key
from clickstream_assets.domain.row_keys import key_ranges
from clickstream_assets.domain.stale_hours import LOOK_AHEAD_MS, STEPS, HourState, HourStates
from clickstream_assets.domain.table_schemas import CLICKS, LEDGER, METRICS

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch
    from pyspark.sql import DataFrame, SparkSession

Row = tuple[bytes, Mapping[bytes, bytes]]
"""A row of ``clickstream_data``: key and cells."""

FIELDS = ("clicks", "unique_users", "measured_views", "time_spent_seconds", "average_time_spent")
"""A document's values, ``users_sketch`` aside."""

NEXT_CLICK, LEFT, SIGN_OF_LIFE = "next_click", "left", "sign_of_life"
MEASURED, MEASURED_CAPPED = "own_measurement", "own_measurement_capped"
UNKNOWN_END = "unknown"
"""What ended a view: the user's next click, their leaving of its url, their last sign of life, the client's own
measurement; or nothing did."""

_CELLS = {
    name: CLICKS.columns[name].key
    for name in (
        "timestamp", "url", "user_id", "anonymous_id", "event_type", "engagement_time_ms", "source",
        "country", "device", "bot", "geoip_version", "user_agent_version",
    )
}  # fmt: skip
_ROWS_PER_CALL = rows_per_call(CLICKS.row_bytes(*_CELLS))
_FIRST_LOOK = tuple(
    _CELLS[name] for name in ("timestamp", "url", "user_id", "anonymous_id", "event_type", "country", "device", "bot")
)


@dataclass(frozen=True, slots=True)
class Target:
    """The document in question: hour since the epoch, normalised url, country."""

    hour: int
    url: str
    country: str

    @property
    def document_id(self) -> str:
        """Its ``_id`` in Elasticsearch."""
        return document_id(self.hour, self.url, self.country)


# Events


@dataclass(frozen=True, slots=True)
class Source:
    """Where in Kafka a row came from."""

    topic_id: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """What metrics are computed from in a row of ``clickstream_data``, and where the row came from.

    ``country``, ``device``, ``bot`` and the versions are None where the row is not enriched, ``source`` where it has
    none.
    """

    row_key: bytes
    source: Source | None
    time_ms: int
    user_key: str
    event_type: str
    url: str
    country: str | None
    device: str | None
    bot: str | None
    engagement_time_ms: int | None
    geoip_version: str | None
    user_agent_version: str | None

    @property
    def is_click(self) -> bool:
        """Whether its type is one that counts."""
        return self.event_type in CLICK_TYPES

    def leaves(self, url: str) -> bool:
        """Whether it says that its user left a url."""
        return self.event_type in LEAVE_TYPES and self.url == url

    @property
    def is_bot(self) -> bool:
        """Whether enrichment told a bot."""
        return self.bot == "true"

    @property
    def is_persons(self) -> bool:
        """Whether metrics see it: enriched, and no bot's."""
        return self.bot == "false"

    def is_of(self, target: Target) -> bool:
        """Whether it happened in the document's hour, on its url, in its country."""
        return self.time_ms // HOUR_MS == target.hour and (self.url, self.country) == (target.url, target.country)


def _text(cells: Mapping[bytes, bytes], name: str) -> str | None:
    cell = cells.get(_CELLS[name])
    return None if cell is None else cell.decode("utf-8", "replace")


def _user_key(cells: Mapping[bytes, bytes]) -> str:
    """The user key, readable: the id's kind, a colon, the id. The two kinds never collide."""
    user_id = _text(cells, "user_id")
    return f"anonymous_id:{_text(cells, 'anonymous_id')}" if user_id is None else f"user_id:{user_id}"


def to_event(key: bytes, cells: Mapping[bytes, bytes]) -> StoredEvent:
    """A row that has a timestamp as an event."""
    source, engaged = _text(cells, "source"), _text(cells, "engagement_time_ms")
    topic_id, partition, offset = source.split("/") if source else ("", "0", "0")
    return StoredEvent(
        row_key=key,
        source=Source(topic_id, int(partition), int(offset)) if source else None,
        time_ms=int(cells[_CELLS["timestamp"]]),
        user_key=_user_key(cells),
        event_type=_text(cells, "event_type") or "",
        url=_text(cells, "url") or "",
        country=_text(cells, "country"),
        device=_text(cells, "device"),
        bot=_text(cells, "bot"),
        engagement_time_ms=None if engaged is None else int(engaged),
        geoip_version=_text(cells, "geoip_version"),
        user_agent_version=_text(cells, "user_agent_version"),
    )


@dataclass(slots=True)
class FirstLook:
    """What an hour holds of a url: whose clicks the document is made of, and what else there is."""

    users: set[str] = field(default_factory=set)
    """Keys of the users with a click that counts for the document."""
    clicks_by_country: Counter[str] = field(default_factory=Counter)
    """Clicks of the url that count, of every country."""
    not_enriched: int = 0
    """Rows of the url that have no country and device yet."""


def look(rows: Iterable[Row], target: Target) -> FirstLook:
    """Find the document's users among the rows of its hour."""
    found = FirstLook()
    url = target.url.encode()
    for key, cells in rows:
        if cells.get(_CELLS["url"]) != url or _CELLS["timestamp"] not in cells:
            continue
        event = to_event(key, cells)
        if event.time_ms // HOUR_MS != target.hour:
            continue
        if event.bot is None:
            found.not_enriched += 1
        elif event.is_persons and event.is_click:
            found.clicks_by_country[event.country or ""] += 1
            if event.country == target.country:
                found.users.add(event.user_key)
    return found


def gather(rows: Iterable[Row], target: Target, users: Collection[str]) -> list[StoredEvent]:
    """The events that the document depends on, from rows of its hour and of the one that follows.

    All events of ``users`` in the hour and the half hour behind it, as far as metrics see them; and every event on
    the document's url, from its country, in its hour.
    """
    begin = target.hour * HOUR_MS
    end = begin + HOUR_MS + LOOK_AHEAD_MS
    found = []
    for key, cells in rows:
        if _CELLS["timestamp"] not in cells or not begin <= int(cells[_CELLS["timestamp"]]) < end:
            continue
        event = to_event(key, cells)
        if (event.is_persons and event.user_key in users) or event.is_of(target):
            found.append(event)
    return found


# Time spent, event by event


@dataclass(frozen=True, slots=True)
class View:
    """An event of the document's url, country and hour, and for one that counts, what is known of its time.

    ``ended_by`` is empty for an event that does not count. ``end`` is the event that ended a view, if one did.
    ``spent_ms`` is None where it is unknown.
    """

    event: StoredEvent
    counts: bool
    spent_ms: int | None = None
    ended_by: str = ""
    end: StoredEvent | None = None

    @property
    def left_out(self) -> str:
        """Why it does not count: ``bot``, ``not_enriched`` or ``no_click``; empty if it does."""
        if self.counts:
            return ""
        if self.event.bot is None:
            return "not_enriched"
        return "bot" if self.event.is_bot else "no_click"


def views(events: Iterable[StoredEvent], target: Target) -> list[View]:
    """The document's events in order of time, each view with what ended it.

    The times are those of :func:`~clickstream_assets.domain.time_spent.time_spent_ms`; the event named is the one at
    which that time ends.
    """
    import numpy as np

    from clickstream_assets.domain.time_spent import TIMEOUT_MS, UNKNOWN, time_spent_ms

    events = list(events)
    people = sorted((e for e in events if e.is_persons), key=lambda e: (e.user_key, e.time_ms, e.row_key))
    places = [(event.user_key, event.time_ms) for event in people]
    _, users = np.unique(np.array([event.user_key for event in people], dtype=object), return_inverse=True)
    _, urls = np.unique(np.array([event.url for event in people], dtype=object), return_inverse=True)
    spent = time_spent_ms(
        users.astype(np.int64),
        urls.astype(np.int64),
        np.array([event.time_ms for event in people], np.int64),
        np.array([event.is_click for event in people], np.bool_),
        np.array([event.event_type in LEAVE_TYPES for event in people], np.bool_),
        np.array([UNKNOWN if (ms := e.engagement_time_ms) is None else ms for e in people], np.int64),
    ).tolist()

    def end_of(event: StoredEvent, ms: int) -> StoredEvent:
        """The user's event that lies ``ms`` later: a click if one does, else one that leaves the url, else any."""
        place = (event.user_key, event.time_ms + ms)
        there = people[bisect_left(places, place) : bisect_right(places, place)]
        ends = [*(e for e in there if e.is_click), *(e for e in there if e.leaves(event.url)), *there]
        return ends[0]

    def view(event: StoredEvent, ms: int) -> View:
        if event.engagement_time_ms is not None:
            return View(event, True, ms, MEASURED_CAPPED if event.engagement_time_ms > TIMEOUT_MS else MEASURED)
        if ms == UNKNOWN:
            return View(event, True, None, UNKNOWN_END)
        end = end_of(event, ms)
        ended_by = NEXT_CLICK if end.is_click else LEFT if end.leaves(event.url) else SIGN_OF_LIFE
        return View(event, True, ms, ended_by, end)

    found = [view(e, ms) for e, ms in zip(people, spent, strict=True) if e.is_click and e.is_of(target)]
    found += [View(e, False) for e in events if e.is_of(target) and not (e.is_persons and e.is_click)]
    return sorted(found, key=lambda one: (one.event.time_ms, one.event.row_key))


Values = Mapping[str, Any]


def add_up(found: Iterable[View]) -> dict[str, Any] | None:
    """The values that views add up to; None if none counts."""
    counted = [view for view in found if view.counts]
    if not counted:
        return None
    times = [view.spent_ms for view in counted if view.spent_ms is not None]
    seconds = sum(times) / 1000
    return {
        "clicks": len(counted),
        "unique_users": len({view.event.user_key for view in counted}),
        "measured_views": len(times),
        "time_spent_seconds": seconds,
        "average_time_spent": seconds / len(times) if times else None,
    }


# The ledger


@dataclass(frozen=True, slots=True)
class Range:
    """A ledger entry, and how many of the document's events it brought."""

    entry: Entry
    events: int


def ranges_of(ledger: Ledger, shares: Sequence[HourShare], sources: Iterable[Source | None]) -> tuple[list[Range], int]:
    """The ledger entries that brought ``sources``, in order, and how many of them no entry accounts for.

    ``shares`` are the hour's, in order; only those that hold one of the sources are looked up.
    """
    firsts = [(share.topic_id, share.partition, share.first) for share in shares]
    by_share: dict[HourShare, list[int]] = {}
    unbooked = 0
    for source in sources:
        if source is None:
            unbooked += 1
            continue
        place = bisect_right(firsts, (source.topic_id, source.partition, source.offset)) - 1
        if place < 0 or firsts[place][:2] != (source.topic_id, source.partition):
            unbooked += 1
        else:
            by_share.setdefault(shares[place], []).append(source.offset)
    found = []
    for share, entry in ledger.entries_of(by_share).items():
        offsets = by_share[share]
        inside = 0 if entry is None else sum(offset < entry.end for offset in offsets)
        unbooked += len(offsets) - inside
        if entry is not None and inside:
            found.append(Range(entry, inside))
    return sorted(found, key=lambda one: (one.entry.topic_id, one.entry.partition, one.entry.first)), unbooked


# What the stores say


def stored_metrics(hbase: HBaseClient, table: str, target: Target) -> dict[str, Any] | None:
    """The document's row of ``clickstream_metrics``, by column; None if there is none.

    A cell that is not of its column's type is given as text.
    """
    key = metrics_key(target.hour, target.url, target.country)
    cells = hbase.get(table, [key]).get(key)
    if cells is None:
        return None
    return {name: _typed(cells.get(column.key), column.type) for name, column in METRICS.columns.items()}


def _typed(cell: bytes | None, kind: str) -> Any:
    if cell is None or kind == "binary":
        return cell
    text = cell.decode("utf-8", "replace")
    try:
        return {"long": int, "double": float}.get(kind, str)(text)
    except ValueError:
        return text


@dataclass(frozen=True, slots=True)
class Document:
    """A document as Elasticsearch gives it."""

    index: str
    id: str
    fields: Mapping[str, Any]

    @property
    def sketch(self) -> bytes | None:
        """The bytes of ``users_sketch``; None if it has none that can be read."""
        try:
            return base64.b64decode(self.fields["users_sketch"])
        except (KeyError, TypeError, ValueError, binascii.Error):
            return None


def documents_of(es: "Elasticsearch", alias: str, target: Target) -> list[Document]:
    """Every document with the target's ``_id``, or with its hour, url and country; there should be one."""
    if not es.indices.exists_alias(name=alias):
        return []
    place = {"hour": rfc3339_of_hour(target.hour), "url": target.url, "country": target.country}
    either = [
        {"ids": {"values": [target.document_id]}},
        {"bool": {"filter": [{"term": {name: value}} for name, value in place.items()]}},
    ]
    hits = es.search(index=alias, query={"bool": {"should": either}}, size=10)["hits"]["hits"]
    return [Document(hit["_index"], hit["_id"], hit["_source"]) for hit in hits]


def recomputed(clicks: "DataFrame", target: Target) -> dict[str, Any] | None:
    """The document's values as the pipeline's own computation gives them now; None if it gives none.

    ``clicks`` has the columns ``metrics.INPUT`` of the rows of the hour and of the one that follows.
    """
    from pyspark.sql import functions as F

    wanted = (F.col("url") == target.url) & (F.col("country") == target.country)
    rows = compute(clicks, [target.hour], 0, "").where(wanted).select(*FIELDS, "users_sketch").collect()
    return rows[0].asDict() if rows else None


def sketch_estimates(spark: "SparkSession", stored: bytes, now: bytes) -> tuple[int, int, int] | None:
    """Distinct users by two sketches and by their union; None if ``stored`` is no sketch.

    A sketch's bytes depend on the order in which users came, so they say nothing. Sketches of the same users
    estimate the same, and so does their union.
    """
    from pyspark.errors import PySparkException
    from pyspark.sql import functions as F

    one, other = F.lit(stored), F.lit(now)
    pairs = (F.hll_union(one, one), F.hll_union(other, other), F.hll_union(one, other))
    try:
        (row,) = spark.range(1).select(*(F.hll_sketch_estimate(pair) for pair in pairs)).collect()
    except PySparkException as error:
        if "HLL_" not in (error.getCondition() or ""):
            raise
        return None
    return row[0], row[1], row[2]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A field as the document, the metrics row, a recomputation and the listed events have it; None: not there."""

    field: str
    document: Any
    metrics_row: Any
    recomputed: Any
    from_events: Any
    same: bool


def compare(document: Values | None, row: Values | None, now: Values | None, listed: Values | None) -> list[Comparison]:
    """Each of :data:`FIELDS`, compared exactly: the same computation gives the same double."""
    found = []
    for name in FIELDS:
        values: list[Any] = [None if one is None else one.get(name) for one in (document, row, now, listed)]
        stored, written, fresh, added = values
        found.append(Comparison(name, stored, written, fresh, added, values.count(stored) == len(values)))
    return found


def compare_sketches(
    spark: "SparkSession", document: Document | None, row: Values | None, now: Values | None
) -> Comparison:
    """``users_sketch``, each shown as the users it estimates; text where it cannot be read."""
    fresh = now["users_sketch"] if now else None
    stored = (document is not None, document.sketch if document else None), (row is not None, _sketch_of(row))
    sketches = {sketch for _, sketch in stored if sketch} | {fresh}  # as a rule document and row have the same bytes
    estimates = {sketch: sketch_estimates(spark, sketch, fresh) for sketch in sketches if sketch and fresh}
    shown: list[Any] = []
    same = True
    for is_there, sketch in stored:
        if not is_there or fresh is None:
            shown.append(None)
            same &= is_there == (fresh is not None)
            continue
        found = estimates.get(sketch)
        shown.append(found[0] if found else "unreadable")
        same &= found is not None and len(set(found)) == 1
    own = estimates.get(fresh)
    return Comparison("users_sketch", shown[0], shown[1], own[0] if own else None, None, same)


def _sketch_of(row: Values | None) -> bytes | None:
    return row["users_sketch"] if row else None


# All of it


@dataclass(slots=True)
class Explanation:
    """All that is known of a document."""

    target: Target
    state: HourState
    first_look: FirstLook
    views: list[View]
    ranges: list[Range]
    unbooked: int
    """The document's events that no ledger entry accounts for."""
    refused: int
    """Dead letters that were recorded in the hour, of any url: their urls cannot be known."""
    document: Document | None
    row: Values | None
    comparisons: list[Comparison]
    differences: list[str]
    """In words, what else is wrong: a misplaced or second document."""
    moved: bool
    """Whether the hour was touched while it was looked at."""

    @property
    def same(self) -> bool:
        """Whether document, metrics row, recomputation and listed events agree, be it that there is nothing."""
        return not self.differences and all(comparison.same for comparison in self.comparisons)

    @property
    def versions(self) -> Counter[tuple[str, str]]:
        """Events by the GeoIP build and the user-agent rules that enriched them."""
        return Counter((view.event.geoip_version or "", view.event.user_agent_version or "") for view in self.views)


def scan(hbase: HBaseClient, table: str, hours: Iterable[int], columns: Sequence[bytes]) -> Iterator[Row]:
    """The rows of some hours."""
    for ranges in key_ranges(hours):
        for start, stop in ranges:
            yield from hbase.scan(table, start, stop, columns, batch_rows=_ROWS_PER_CALL)


def events_of(hbase: HBaseClient, table: str, target: Target) -> tuple[FirstLook, list[StoredEvent]]:
    """What the hour holds of the url, and the events that the document depends on."""
    first_look = look(scan(hbase, table, [target.hour], _FIRST_LOOK), target)
    hours = [target.hour, target.hour + 1] if first_look.users else [target.hour]
    rows = scan(hbase, table, hours, tuple(_CELLS.values()))
    return first_look, gather(rows, target, first_look.users)


def explain(
    target: Target,
    *,
    hbase: HBaseClient,
    es: "Elasticsearch",
    table: Callable[[str], str],
    alias: str,
    clicks: "DataFrame",
    spark: "SparkSession",
) -> Explanation:
    """Look everywhere. ``clicks`` is as :func:`recomputed` wants it, ``table`` turns a contract's name into a table's.

    The hour's state is read before all else and again at the end, so that what moved in between is told.
    """
    states, ledger = HourStates(hbase, table(LEDGER.name)), Ledger(hbase, table(LEDGER.name))
    before = states.read([target.hour])[target.hour]
    documents = documents_of(es, alias, target)
    document = next((one for one in documents if one.id == target.document_id), None)
    row = stored_metrics(hbase, table(METRICS.name), target)
    first_look, events = events_of(hbase, table(CLICKS.name), target)
    found = views(events, target)
    now = recomputed(clicks, target)
    shares = ledger.shares(target.hour)
    ranges, unbooked = ranges_of(ledger, shares, (view.event.source for view in found))
    fields = document.fields if document else None
    comparisons = [*compare(fields, row, now, add_up(found)), compare_sketches(spark, document, row, now)]
    return Explanation(
        target=target,
        state=before,
        first_look=first_look,
        views=found,
        ranges=ranges,
        unbooked=unbooked,
        refused=sum(share.dead_lettered for share in shares),
        document=document,
        row=row,
        comparisons=comparisons,
        differences=misplaced(documents, target),
        moved=states.read([target.hour])[target.hour] != before,
    )


def misplaced(documents: Iterable[Document], target: Target) -> list[str]:
    """In words, what is wrong with where documents are: what the ``_id`` promises and the fields do not keep."""
    words = []
    for document in documents:
        if document.id != target.document_id:
            words.append(f"a second document for this hour, url and country: {document.index}/{document.id}")
            continue
        place = {"hour": rfc3339_of_hour(target.hour), "url": target.url, "country": target.country}
        words += [
            f"{document.index}/{document.id}: {name} is {document.fields.get(name)!r}, its _id says {value!r}"
            for name, value in place.items()
            if document.fields.get(name) != value
        ]
    return words


def remarks(found: Explanation, first_hour: int) -> list[str]:
    """In words, why there is what there is, or nothing. ``first_hour`` is the first partition's."""
    hour = key_of_hour(found.target.hour)
    words = [f"differs: {difference}" for difference in found.differences]
    words += [
        f"differs: {c.field}: document {_shown(c.document)}, metrics row {_shown(c.metrics_row)}, recomputed "
        f"{_shown(c.recomputed)}" + ("" if c.field == "users_sketch" else f", from the events {_shown(c.from_events)}")
        for c in found.comparisons
        if not c.same
    ]
    if not any(view.counts for view in found.views):
        words += _why_no_events(found)
    elif found.document is None:
        words.append("There is no document, though there are events that count.")
    words += _about_the_hour(found, hour, first_hour)
    if found.unbooked:
        words.append(f"Events that lie in no range of the ledger (see `books_balance` of {hour}): {found.unbooked:,}.")
    if found.moved:
        words.append("Events arrived while this was looked at: run it again before you trust a difference.")
    elif not found.same and not found.state.stale and not found.state.holds:
        first = "es_index" if all(c.metrics_row == c.recomputed for c in found.comparisons) else "url_country_metrics"
        words.append(f"To put there what HBase's rows give now, materialize {first} and what follows for {hour}.")
    return words


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)


def _why_no_events(found: Explanation) -> list[str]:
    words = ["No click counts for this hour, url and country, so there should be no document."]
    by_country = found.first_look.clicks_by_country
    if by_country:
        listed = ", ".join(f"{country} ({clicks:,})" for country, clicks in by_country.most_common(20))
        words.append(f"In this hour the url has clicks from: {listed}.")
    left_out = Counter(view.left_out for view in found.views)
    if left_out["bot"]:
        words.append(f"Events of it by bots, which are left out: {left_out['bot']:,}.")
    if left_out["no_click"]:
        words.append(f"Events of it that are signs of life, no clicks: {left_out['no_click']:,}.")
    if found.first_look.not_enriched:
        words.append(
            f"Rows of the url that enriched_clicks has not come to, so that their country is not known: "
            f"{found.first_look.not_enriched:,}."
        )
    elif not by_country and not found.views:
        words.append("No event of this url is stored in this hour.")
    return words


def _about_the_hour(found: Explanation, hour: str, first_hour: int) -> list[str]:
    state = found.state
    if found.target.hour < first_hour:
        return [f"{hour} lies before the first partition, {key_of_hour(first_hour)}: its events are refused."]
    if not state.touched:
        never = f"{hour} was never touched: no event of it has been stored."
        if found.refused:
            never += f" Messages recorded in it that were refused (see the dead letters): {found.refused:,}."
        return [f"{never} `clickstream doctor` says how many messages wait to be read."]
    words = []
    if state.stale:
        behind = [asset for asset, mark in STEPS.items() if getattr(state, mark) != state.touched]
        words.append(
            f"{hour} is stale: touched {state.touched} times, indexed up to touch {state.indexed}. "
            f"Not yet up to date: {', '.join(behind)}."
        )
    words += [
        f"{hour} is held back by checks of {asset} that failed ({', '.join(hold.checks)}): what comes after {asset} "
        "keeps what it had until they pass."
        for asset, hold in state.holds.items()
    ]
    return words
