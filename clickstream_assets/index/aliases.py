"""All aliases with the indices behind them: who writes to one looks first whether what is there fits."""

from elasticsearch import Elasticsearch

from clickstream_assets.index import daily_documents, documents
from clickstream_assets.index.daily_document_fields import MAPPING
from clickstream_assets.index.dimension_document_fields import DIMENSION_MAPPING
from clickstream_assets.index.dimension_documents import ensure_dimensions_template
from clickstream_assets.index.document_fields import ADDED, INDEX_MAPPING
from clickstream_assets.index.hour_documents import ensure_hours_template
from clickstream_assets.index.hour_fields import HOURS_ADDED, HOURS_MAPPING
from clickstream_assets.settings import Settings
from clickstream_assets.stores.elasticsearch.new_indices import NewIndices

_MONTH, _YEAR = r"-\d{4}-\d{2}", r"-\d{4}"


def metrics_indices(alias: str) -> NewIndices:
    return NewIndices(alias, INDEX_MAPPING, _MONTH, "es_index", ADDED)


def daily_indices(alias: str) -> NewIndices:
    return NewIndices(alias, MAPPING, _YEAR, "es_daily_index")


def dimensions_indices(alias: str) -> NewIndices:
    return NewIndices(alias, DIMENSION_MAPPING, _YEAR, "es_dimensions_index")


def hours_indices(alias: str) -> NewIndices:
    """They are written at the end of runs of ``es_index``."""
    return NewIndices(alias, HOURS_MAPPING, _YEAR, "es_index", HOURS_ADDED)


def all_indices(configured: Settings) -> tuple[NewIndices, ...]:
    return (
        metrics_indices(configured.alias),
        daily_indices(configured.daily_alias),
        hours_indices(configured.hours_alias),
        dimensions_indices(configured.dimensions_alias),
    )


def ensure_templates(es: Elasticsearch, configured: Settings) -> None:
    """Put the index template of each alias."""
    documents.ensure_template(es, configured.alias)
    daily_documents.ensure_template(es, configured.daily_alias)
    ensure_hours_template(es, configured.hours_alias)
    ensure_dimensions_template(es, configured.dimensions_alias)
