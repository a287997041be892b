"""The declared lineage is the one that the code has."""

import json

import pytest

from clickstream_assets.books import blocks
from clickstream_assets.books.audience import DIMENSIONS
from clickstream_assets.books.table_schemas import CLICKS, METRICS
from clickstream_assets.enrich import enrichment, from_rows
from clickstream_assets.events.fields import FIELDS, TOPIC
from clickstream_assets.evidence.lineage import ASSETS, topic_fields
from clickstream_assets.index.document_fields import DOCUMENT, INDEX_MAPPING
from clickstream_assets.ingest.outcomes import Rules
from clickstream_assets.stores.kafka.client import Record
from clickstream_assets_tests.fakes.outcomes import outcomes

HOUR = 3_600_000
NOW = 1_795_402_800_000 + HOUR // 2
RULES = Rules("clickstream_topic", "topic-id", NOW // HOUR * HOUR - 48 * HOUR, "run-1")
FULL = {
    "timestamp": NOW - 5_000,
    "sent_at": NOW - 4_000,
    "received_at": NOW - 3_000,
    "url": "https://h/a#x",
    "user_id": "u",
    "anonymous_id": "a",
    "event_id": "e",
    "event_type": "click",
    "engagement_time_ms": 7,
    "ip": "1.2.3.4",
    "user_agent": "Mozilla",
    "referrer": "https://r",
    "plan": "free",
}
KEYLESS = {name: value for name, value in FULL.items() if name not in ("event_id", "sent_at")}
EXACT = FULL | {"received_at": NOW - 4_000}
"""Of a device whose clock is right."""
ANONYMOUS = {name: value for name, value in FULL.items() if name != "user_id"}
AHEAD = KEYLESS | {"timestamp": NOW + 60_000}
OTHER = {
    "timestamp": NOW - 2 * HOUR,
    "sent_at": NOW + 2 * HOUR,
    "received_at": NOW - HOUR,
    "url": "https://h/b?utm_source=m&utm_medium=n&utm_campaign=o#y",
    "user_id": "v",
    "anonymous_id": "b",
    "event_id": "f",
    "event_type": "scroll",
    "engagement_time_ms": 8,
    "ip": "5.6.7.8",
    "user_agent": "curl",
    "referrer": "https://s",
    "other_fields": None,
    "record_time": NOW + 3 * HOUR,
    "record_partition": 3,
    "record_offset": 20,
}


def stored(event, **record):
    """The row that a message becomes: column name to value, ``row_key`` included."""
    message = Record(
        record.get("record_partition", 0),
        record.get("record_offset", 5),
        record.get("record_time", NOW),
        json.dumps(event).encode(),
    )
    decided = outcomes([message], RULES, lambda keys: {})
    assert not decided.letters
    (row,) = decided.rows
    names = {column.key: name for name, column in CLICKS.columns.items()}
    return {"row_key": row.key} | {names[cell]: value for cell, value in row.puts.items()}


def changed(event, field):
    """Columns that differ once ``field`` does."""
    before = stored(event)
    if field == "other_fields":
        after = stored(event | {"plan": "paid"})
    elif field.startswith("record_"):
        after = stored(event, **{field: OTHER[field]})
    else:
        after = stored(event | {field: OTHER[field]})
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


@pytest.mark.parametrize("field", sorted(set(TOPIC) - {"record_value"}))
def test_a_field_of_a_message_changes_the_columns_of_raw_clicks_that_the_lineage_says(field):
    seen = set().union(*(changed(event, field) for event in (FULL, EXACT, KEYLESS, ANONYMOUS, AHEAD)))
    declared = {column for column in ASSETS["raw_clicks"].columns if field in topic_fields("raw_clicks", column)}
    assert seen == declared


def test_the_topic_has_every_field_that_decoding_looks_for():
    assert set(FIELDS) == {name for name in TOPIC if name != "other_fields" and not name.startswith("record_")}


def test_enrichment_reads_and_writes_what_the_lineage_says():
    raw, enriched = ASSETS["raw_clicks"].columns, ASSETS["enriched_clicks"].columns
    assert set(enrichment.OUTPUT) == enriched.keys() - raw.keys()
    looked_up = {"ip", "user_agent"}
    assert looked_up <= set(blocks.EVENTS.names) & set(from_rows.READ)
    assert set(DIMENSIONS) <= {*from_rows.READ, *enrichment.OUTPUT}
    assert {above for name in enrichment.OUTPUT for above in enriched[name].upstream} == looked_up
    assert all(enriched[name].upstream == (name,) for name in raw)


IN_BLOCKS = {
    "time_ms": {"timestamp"},
    "user_key": {"user_id", "anonymous_id"},
    "url": {"url"},
    "kind": {"event_type"},
    "engaged_ms": {"engagement_time_ms"},
    "country": {"country"},
    "bot": {"bot"},
}
"""What of a row stands in each column of a block."""


def test_metrics_read_what_the_lineage_says():
    assert IN_BLOCKS.keys() == set(blocks.CLICKS.names)
    read = set().union(*IN_BLOCKS.values())
    assert {name for column in METRICS.columns.values() for name in column.upstream} == read
    assert read <= {*from_rows.READ, *enrichment.OUTPUT}


def test_a_document_has_every_metric_and_the_mapping_every_field():
    assert {name for field in DOCUMENT.values() for name in field.upstream} >= METRICS.columns.keys()
    assert INDEX_MAPPING["properties"].keys() == DOCUMENT.keys() - {"_id"}


def test_a_column_that_does_not_exist_has_no_lineage():
    with pytest.raises(KeyError):
        topic_fields("raw_clicks", "country")
