"""The fields of an hour's document, and the index template that declares them."""

from typing import Any

from clickstream_assets.events.fields import Field, by_name
from clickstream_assets.index.document_fields import template


def _field(name: str, kind: str, description: str, **more: Any) -> Field:
    return Field(name=name, type=kind, description=description, upstream=(), **more)


HOUR_DOCUMENT = by_name(
    _field("hour", "date", "event hour, its start", unit="UTC"),
    _field("state", "keyword", "`open`, `final`, `stale` or `held`"),
    _field("reason", "keyword", "why it is stale or held, in words", nullable=True),
    _field("checks_passed", "integer", "checks that passed when they last looked at the hour"),
    _field("checks_failed", "integer", "checks that failed then"),
    _field("failed_checks", "keyword", "those, as `asset.check: words`"),
    _field("day_checks_passed", "integer", "checks of the hour's day that passed when they last looked at that"),
    _field("day_checks_failed", "integer", "checks of the hour's day that failed then"),
    _field("day_failed_checks", "keyword", "those, as `asset.check: words`"),
    _field("read", "long", "messages read: kept, duplicates and refused", unit="messages"),
    _field("kept", "long", "events stored, by event hour", unit="events"),
    _field("duplicates", "long", "messages of events that were stored before, by record hour", unit="messages"),
    _field("refused", "long", "dead letters, by record hour", unit="messages"),
    _field("refused_by_reason", "flattened", "those by reason", unit="messages", nullable=True),
    _field("late", "long", "of the events, those that came late", unit="events"),
    _field("bots", "long", "of the events that are enriched, those of bots", unit="events", nullable=True),
    _field("clicks", "long", "what the clicks of the hour's metrics add up to", unit="clicks", nullable=True),
    _field("unique_users", "long", "people of the hour, exact", unit="users", nullable=True),
    _field("lag", "long", "messages that were unread in Kafka", unit="messages", nullable=True),
    _field("watermark", "date", "event time that every Kafka partition had come to", nullable=True),
    _field("written_at", "date", "when the document was written"),
    _field("run_id", "keyword", "the Dagster run that last brought the hour up to date", nullable=True),
    _field("contract_version", "integer", "the edition of the contract"),
)
"""An hour's document in Elasticsearch, in Elasticsearch's types; its id is the hour's partition key."""
HOURS_MAPPING: dict[str, Any] = {
    "dynamic": "strict",
    "properties": {name: {"type": field.type} for name, field in HOUR_DOCUMENT.items()},
}
HOURS_VERSION = 2
"""Of the index template: to be raised with each change of a field, which indices that are there get too."""


def hours_template(alias: str) -> dict[str, Any]:
    """The index template of the yearly indices ``<alias>-YYYY`` behind ``alias``."""
    return template(alias, HOURS_MAPPING, HOURS_VERSION, {})
