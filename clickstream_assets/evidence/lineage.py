"""From any asset's column back to what was sent: the columns of each asset, and which ones they come from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from clickstream_assets.books.column_types import Column
from clickstream_assets.books.table_schemas import (
    CLICKS,
    CLICKS_KEY,
    DAILY,
    DAILY_KEY,
    DEAD_LETTERS,
    DEAD_LETTERS_KEY,
    ENRICHED_FAMILIES,
    METRICS,
    METRICS_KEY,
)
from clickstream_assets.events.fields import TOPIC, Field
from clickstream_assets.index.daily_document_fields import DAILY_DOCUMENT
from clickstream_assets.index.dimension_document_fields import DIMENSION_DOCUMENT
from clickstream_assets.index.document_fields import DOCUMENT


@dataclass(frozen=True, slots=True)
class AssetColumns:
    """An asset's columns by name, where they are stored, and the asset that they come from (None: from outside)."""

    store: str
    """``kafka``, ``hbase`` or ``elasticsearch``."""
    name: str
    """Of the topic, table or alias, as the contract has it."""
    upstream: str | None
    columns: Mapping[str, Field]
    rules: tuple[str, ...] = ()
    """What holds between columns."""
    behind: tuple[str, ...] = ()
    """Other assets that it waits for, and has no column of."""


def _is_enriched(column: Column) -> bool:
    return column.cell.startswith(tuple(f"{family}:" for family in ENRICHED_FAMILIES))


_SENT = {"row_key": CLICKS_KEY} | {name: column for name, column in CLICKS.columns.items() if not _is_enriched(column)}
_ENRICHED = {name: column for name, column in CLICKS.columns.items() if _is_enriched(column)}
_CARRIED = {name: replace(field, upstream=(name,)) for name, field in _SENT.items()}
ASSETS: Mapping[str, AssetColumns] = {
    "clickstream_topic": AssetColumns("kafka", "clickstream_topic", None, TOPIC),
    "raw_clicks": AssetColumns("hbase", CLICKS.name, "clickstream_topic", _SENT),
    "dead_letters": AssetColumns(
        "hbase", DEAD_LETTERS.name, "clickstream_topic", {"row_key": DEAD_LETTERS_KEY, **DEAD_LETTERS.columns}
    ),
    "enriched_clicks": AssetColumns("hbase", CLICKS.name, "raw_clicks", _CARRIED | _ENRICHED),
    "url_country_metrics": AssetColumns(
        "hbase",
        METRICS.name,
        "enriched_clicks",
        {"row_key": METRICS_KEY, **METRICS.columns},
        ("one row an hour, url, country", "unique_users ≤ clicks", "measured_views ≤ clicks"),
    ),
    "es_index": AssetColumns(
        "elasticsearch",
        "clickstream-metrics",
        "url_country_metrics",
        DOCUMENT,
        ("one per hour, url, country", "unique_users ≤ clicks", "measured_views ≤ clicks"),
    ),
    "daily_metrics": AssetColumns(
        "hbase",
        DAILY.name,
        "url_country_metrics",
        {"row_key": DAILY_KEY, **DAILY.columns},
        ("one row a day, scope and what it names", "unique_users ≤ clicks", "measured_views ≤ clicks"),
    ),
    "es_daily_index": AssetColumns(
        "elasticsearch",
        "clickstream-daily",
        "daily_metrics",
        DAILY_DOCUMENT,
        ("one per day, scope and what it names", "unique_users ≤ clicks", "measured_views ≤ clicks"),
    ),
    "es_dimensions_index": AssetColumns(
        "elasticsearch",
        "clickstream-dimensions",
        "enriched_clicks",
        DIMENSION_DOCUMENT,
        ("one per span, start, dimension and value", "clicks ≤ events", "unique_users ≤ events"),
        behind=("daily_metrics",),
    ),
}


def topic_fields(asset: str, column: str) -> tuple[str, ...]:
    """Fields of ``clickstream_topic`` that can change a column, in the order of ``TOPIC``.

    Raises KeyError where the asset, the column or one on the way does not exist.
    """
    of_asset = ASSETS[asset]
    field = of_asset.columns[column]
    if of_asset.upstream is None:
        return (field.name,)
    sent = {name for above in field.upstream for name in topic_fields(of_asset.upstream, above)}
    return tuple(name for name in TOPIC if name in sent)
