"""What the project's own rules make of messages, without a server: to be held against golden.py's reading."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pyarrow as pa

from clickstream_assets.clients.kafka import Message
from clickstream_assets.domain.click_event import CLICK_TYPES, LEAVE_TYPES
from clickstream_assets.domain.enrichment import Enricher
from clickstream_assets.domain.hours import HOUR_MS, rfc3339_of_hour
from clickstream_assets.domain.metrics import by_user
from clickstream_assets.domain.outcomes import Rules, outcomes
from clickstream_assets.domain.table_schemas import CLICKS
from clickstream_assets.traffic.message_files import parse_envelope

EVENTS = pa.schema(
    {
        "hour": pa.int64(),
        "timestamp": pa.int64(),
        "url": pa.string(),
        "country": pa.string(),
        "user_key": pa.string(),
        "is_click": pa.bool_(),
        "is_leave": pa.bool_(),
        "engagement_time_ms": pa.int64(),
    }
)
_NAMES = {column.key: name for name, column in CLICKS.columns.items()}


def outcome(lines: Iterable[str], enricher: Enricher, first_hour_ms: int) -> dict[str, Any]:
    """Envelopes to what golden.py's ``expect`` says of them, by outcomes, enrichment and metrics as they are."""
    envelopes = [parse_envelope(line.encode()) for line in lines]
    messages = [Message(0, at, one.timestamp_ms or 0, one.value) for at, one in enumerate(envelopes)]
    decided = outcomes(messages, Rules("topic", "id", first_hour_ms, "run"), lambda keys: {})
    rows = [_named(change.puts) for change in decided.rows]
    for row, change in zip(rows, enricher.changes(_as_scanned(decided.rows)), strict=True):
        row |= _named(change.puts)
    return {
        "read": decided.read,
        "stored": len(rows),
        "duplicates": sum(counts.duplicates for counts in decided.hours.values()),
        "dead_lettered": len(decided.letters),
        "refused": dict(Counter(letter.puts[b"letter:reason"].decode() for letter in decided.letters)),
        "bots": sum(row["bot"] == "true" for row in rows),
        "metrics": _metrics([row for row in rows if row["bot"] == "false"]),
    }


def _named(cells: dict[bytes, bytes]) -> dict[str, str]:
    return {_NAMES[cell]: value.decode() for cell, value in cells.items()}


def _as_scanned(changes: Iterable[Any]) -> Iterable[Any]:
    """Rows as Thrift would give them back."""
    for change in changes:
        cells = {cell: SimpleNamespace(value=value) for cell, value in change.puts.items()}
        yield SimpleNamespace(row=change.key, columns=cells)


def _metrics(rows: list[dict[str, str]]) -> dict[str, dict[str, Any]]:
    events = [
        {
            "hour": int(row["timestamp"]) // HOUR_MS,
            "timestamp": int(row["timestamp"]),
            "url": row["url"],
            "country": row["country"],
            "user_key": f"u{row['user_id']}" if "user_id" in row else f"a{row['anonymous_id']}",
            "is_click": row["event_type"] in CLICK_TYPES,
            "is_leave": row["event_type"] in LEAVE_TYPES,
            "engagement_time_ms": int(row["engagement_time_ms"]) if "engagement_time_ms" in row else None,
        }
        for row in rows
    ]
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for batch in by_user([pa.RecordBatch.from_pylist(events, EVENTS)]):
        for sums in batch.to_pylist():
            groups[f"{rfc3339_of_hour(sums['hour'])}|{sums['url']}|{sums['country']}"].append(sums)
    return {key: _row(users) for key, users in groups.items()}


def _row(users: list[dict[str, Any]]) -> dict[str, Any]:
    measured = sum(user["measured_views"] for user in users)
    seconds = sum(user["spent_ms"] or 0 for user in users) / 1000
    return {
        "clicks": sum(user["clicks"] for user in users),
        "unique_users": len(users),
        "measured_views": measured,
        "time_spent_seconds": seconds,
        "average_time_spent": seconds / measured if measured else None,
    }
