"""The fields of a metrics document, and the index template that declares them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from clickstream_assets.books.column_types import Column
from clickstream_assets.books.table_schemas import METRICS, key_field
from clickstream_assets.events.fields import Field, by_name

_IN_DOCUMENT: Mapping[str, Mapping[str, str]] = {
    "hour": {"type": "date", "description": "event hour, its start", "unit": "UTC"},
    "computed_at": {"type": "date"},
}
"""Where a document's field is not what its row's column is."""


def _document_field(column: Column) -> Field:
    kind = {"string": "keyword"}.get(column.type, column.type)
    as_in_row: dict[str, Any] = {
        "type": kind,
        "description": column.description,
        "unit": column.unit,
        "nullable": column.nullable,
    }
    return Field(name=column.name, upstream=(column.name,), **{**as_in_row, **_IN_DOCUMENT.get(column.name, {})})


DOCUMENT = by_name(
    replace(key_field("SHA-256, in hex, of hour, url and country", "row_key"), name="_id", type="string"),
    *map(_document_field, METRICS.columns.values()),
    Field(
        name="state",
        type="keyword",
        description="`open` if the hour had not ended when the document was written, else `final`",
        upstream=("hour",),
    ),
)
"""A metrics document in Elasticsearch, in Elasticsearch's types."""
INDEX_MAPPING: dict[str, Any] = {
    "dynamic": "strict",
    "properties": {name: {"type": field.type} for name, field in DOCUMENT.items() if name != "_id"},
}
"""Elasticsearch's mapping of a metrics document."""
ADDED = frozenset({"state"})
"""Fields that indices of an earlier edition lack: they are added to those that are there."""
VERSION = 2
"""Of the index template: to be raised with each field in :data:`ADDED`."""


def index_template(alias: str) -> dict[str, Any]:
    """The index template of the monthly indices ``<alias>-YYYY-MM`` behind ``alias``."""
    return template(alias, INDEX_MAPPING, VERSION, WRITTEN_BY_TASKS)


WRITTEN_BY_TASKS: Mapping[str, str] = {
    "refresh_interval": "30s",
    "gc_deletes": "1h",  # what is forgotten to be deleted, a task that writes late would bring back
}
"""Settings of indices whose documents Spark's tasks write."""


def template(alias: str, mapping: Mapping[str, Any], version: int, more: Mapping[str, str]) -> dict[str, Any]:
    """An index template of the indices ``<alias>-…`` behind ``alias``; ``more`` are settings of theirs."""
    return {
        "index_patterns": [f"{alias}-*"],
        "priority": 200,
        "version": version,
        "template": {
            "settings": {"number_of_shards": 1, "number_of_replicas": 0, **more},
            "mappings": mapping,
            "aliases": {alias: {}},
        },
    }
