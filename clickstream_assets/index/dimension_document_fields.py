"""The fields of a document of a dimension's totals, and the index template that declares them."""

from typing import Any

from clickstream_assets.books.audience import DIMENSIONS
from clickstream_assets.events.fields import EPOCH_MS, Field, by_name
from clickstream_assets.index.document_fields import WRITTEN_BY_TASKS, template

_SPAN = ("timestamp",)
_VALUE = (*DIMENSIONS, "bot")
_KEY = (*_SPAN, *_VALUE)


def _field(name: str, kind: str, description: str, *upstream: str, **more: Any) -> Field:
    return Field(name=name, type=kind, description=description, upstream=upstream, **more)


DIMENSION_DOCUMENT = by_name(
    _field("_id", "string", "SHA-256, in hex, of span, start, dimension and value", *_KEY, unique=True),
    _field("span", "keyword", "what the totals are of: `hour` or `day`", *_SPAN),
    _field("start", "date", "the start of the hour or of the day", *_SPAN, unit="UTC"),
    _field("day", "date", "the day, also of an hour", *_SPAN, unit="UTC"),
    _field("dimension", "keyword", "a column of `enriched_clicks`; `bot` is of bots, all others of people", *_VALUE),
    _field(
        "value",
        "keyword",
        "the column's value, of a bot its browser family; `(none)` for none, `(other)` for all that have no document",
        *_VALUE,
    ),
    _field("events", "long", "events of any type", *_KEY, unit="events"),
    _field("clicks", "long", "events of a click type among them", *_KEY, unit="clicks"),
    _field(
        "unique_users",
        "long",
        "exact number of distinct user keys of these clicks, in the dimension `event_type` of these events; never to "
        "be summed; not counted of bots and of `(other)`",
        *_KEY,
        "user_id",
        "anonymous_id",
        unit="users",
        nullable=True,
    ),
    _field("state", "keyword", "`open` while the span had not ended when its day was rolled up, else `final`", *_SPAN),
    _field("computed_at", "date", "when it was computed and found to be new or changed", *_KEY, unit=EPOCH_MS),
    _field("run_id", "keyword", "the Dagster run that computed it then", *_KEY),
)
"""A document of a dimension's totals, in Elasticsearch's types."""
DIMENSION_MAPPING: dict[str, Any] = {
    "dynamic": "strict",
    "properties": {name: {"type": field.type} for name, field in DIMENSION_DOCUMENT.items() if name != "_id"},
}
DIMENSIONS_VERSION = 1
"""Of the index template: to be raised with each change of a field. Indices that are there get it too, if `added` in
index/aliases.py names it."""


def dimensions_template(alias: str) -> dict[str, Any]:
    """The index template of the yearly indices ``<alias>-YYYY`` behind ``alias``."""
    return template(alias, DIMENSION_MAPPING, DIMENSIONS_VERSION, WRITTEN_BY_TASKS)
