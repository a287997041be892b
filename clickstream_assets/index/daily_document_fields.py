"""The fields of a document of a day's totals, and the index template that declares them."""

from dataclasses import replace
from typing import Any

from clickstream_assets.books.table_schemas import DAILY, key_field
from clickstream_assets.events.fields import Field, by_name
from clickstream_assets.index.document_fields import WRITTEN_BY_TASKS, template

DAILY_VERSION = 1
"""Of the index template: to be raised with each new field, which indices that are there get too; `added` in
index/aliases.py names those."""
STATE = Field(
    name="state",
    type="keyword",
    description="`open` while the day had not ended when it was written, else `final`",
    upstream=("day",),
)
DAILY_DOCUMENT = by_name(
    replace(key_field("SHA-256, in hex, of day, scope, site, url and country", "row_key"), name="_id", type="string"),
    *(
        Field(
            name=column.name,
            type="date"
            if column.name in ("day", "computed_at")
            else {"string": "keyword"}.get(column.type, column.type),
            description=column.description,
            unit="UTC" if column.name == "day" else column.unit,
            nullable=column.nullable,
            upstream=(column.name,),
        )
        for column in DAILY.columns.values()
    ),
    STATE,
)
"""A document of a day's totals, in Elasticsearch's types."""
MAPPING: dict[str, Any] = {
    "dynamic": "strict",
    "properties": {name: {"type": field.type} for name, field in DAILY_DOCUMENT.items() if name != "_id"},
}


def daily_template(alias: str) -> dict[str, Any]:
    """The index template of the yearly indices ``<alias>-YYYY`` behind ``alias``."""
    return template(alias, MAPPING, DAILY_VERSION, WRITTEN_BY_TASKS)
