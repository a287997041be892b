"""What the project's own rules make of messages, without a server: to be held against golden.py's reading."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from clickstream_assets.books.blocks import EVENTS, columns_of
from clickstream_assets.enrich.enriching import _enriched
from clickstream_assets.enrich.enrichment import Enricher
from clickstream_assets.events.hours import HOUR_MS, rfc3339_of_hour
from clickstream_assets.events.message_files import parse_envelope
from clickstream_assets.ingest.outcomes import Decoded, Rules, Tally, decoded
from clickstream_assets.ingest.outcomes import outcome as outcome_of
from clickstream_assets.metrics.hourly_metrics import changes
from clickstream_assets.stores.hbase.client import RowMutation
from clickstream_assets.stores.kafka.client import Record


def outcome(lines: Iterable[str], enricher: Enricher, first_hour_ms: int) -> dict[str, Any]:
    """Envelopes to what golden.py's ``expect`` says of them, by outcomes, enrichment and metrics as they are."""
    envelopes = [parse_envelope(line.encode()) for line in lines]
    messages = [Record(0, at, one.timestamp_ms or 0, one.value) for at, one in enumerate(envelopes)]
    kept, letters, decided = _decided(messages, Rules("topic", "id", first_hour_ms, "run"))
    clicks = _clicks(kept, enricher)
    return {
        "read": decided.read,
        "stored": len(kept),
        "duplicates": sum(counts.duplicates for counts in decided.hours.values()),
        "dead_lettered": len(letters),
        "refused": dict(Counter(letter.puts[b"letter:reason"].decode() for letter in letters)),
        "bots": sum(clicks.column("bot").to_pylist()),
        "metrics": _metrics(clicks),
    }


def _decided(messages: Sequence[Record], rules: Rules) -> tuple[list[Decoded], list[RowMutation], Tally]:
    """The messages that are kept, the dead letters, and what became of all."""
    kept: list[Decoded] = []
    letters: list[RowMutation] = []
    decided, sources = Tally(), dict[bytes, bytes]()
    for message in decoded(messages, rules):
        change, is_kept = outcome_of(message, decided, sources, rules)
        if is_kept:
            kept.append(message)
        elif change is not None:
            letters.append(change)
    return kept, letters, decided


def _clicks(kept: Sequence[Decoded], enricher: Enricher) -> pa.Table:
    """What metrics need of the messages that are kept."""
    rows = [columns_of(message.offset, message.key, message.event) for message in kept if message.event is not None]
    columns = zip(*rows, strict=True) if rows else [()] * len(EVENTS)
    arrays = [pa.array(list(column), of.type) for column, of in zip(columns, EVENTS, strict=True)]
    _, clicks = _enriched(pa.RecordBatch.from_arrays(arrays, schema=EVENTS), enricher)
    return pa.Table.from_batches([clicks])


def _metrics(clicks: pa.Table) -> dict[str, dict[str, Any]]:
    metrics = {}
    for hour in {time_ms // HOUR_MS for time_ms in clicks.column("time_ms").to_pylist()}:
        for row in changes(clicks, np.ones(len(clicks), np.bool_), hour).counts.to_pylist():
            metrics[f"{rfc3339_of_hour(hour)}|{row['url']}|{row['country']}"] = _row(row)
    return metrics


def _row(counted: dict[str, Any]) -> dict[str, Any]:
    measured, seconds = counted["measured_views"], counted["spent_ms"] / 1000
    return {
        "clicks": counted["clicks"],
        "unique_users": counted["unique_users"],
        "measured_views": measured,
        "time_spent_seconds": seconds,
        "average_time_spent": seconds / measured if measured else None,
    }
