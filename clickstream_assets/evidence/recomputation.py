"""A page's metrics added up anew, event by event, and held against what is stored."""

import base64
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from elasticsearch import Elasticsearch

from clickstream_assets.books.blocks import CLICKS as EVENT_COLUMNS
from clickstream_assets.books.blocks import kind_of
from clickstream_assets.books.books import Books
from clickstream_assets.books.column_types import Column
from clickstream_assets.books.ledger import Ledger
from clickstream_assets.books.ledger_entries import HourPart
from clickstream_assets.books.row_keys import metrics_key
from clickstream_assets.books.table_schemas import METRICS
from clickstream_assets.events.hours import rfc3339
from clickstream_assets.evidence.page_events import SOURCES, Event, Source, Subject, Values, View
from clickstream_assets.metrics.hourly_metrics import changes, estimate_of
from clickstream_assets.metrics.time_spent import UNKNOWN

FIELDS = ("clicks", "unique_users", "measured_views", "time_spent_seconds", "average_time_spent")
"""A document's values, ``users_sketch`` aside."""


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
    counted = changes(
        pa.Table.from_pylist(rows, EVENT_COLUMNS), np.ones(len(rows), np.bool_), target.hour, target.counted
    )
    for row in counted.counts.to_pylist():
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
