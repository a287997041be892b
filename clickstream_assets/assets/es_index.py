"""``es_index``: the metrics as documents that dashboards query."""

from collections.abc import Iterator

import dagster as dg

from clickstream_assets.assets.common import (
    add_row_counts,
    evaluate_behind,
    hourly_spec,
    hourly_step,
    hours_to_do,
    states_of,
)
from clickstream_assets.assets.overviews import of_clicks
from clickstream_assets.checks.es_index import checks
from clickstream_assets.domain.hours import key_of_hour
from clickstream_assets.resources.elasticsearch import ElasticsearchResource
from clickstream_assets.resources.hbase import HBaseResource
from clickstream_assets.resources.preflight import require_fit
from clickstream_assets.resources.spark import SparkResource
from clickstream_assets.settings import Settings

ASSET = "es_index"


def es_index(settings: Settings) -> dg.AssetsDefinition:
    return dg.asset(
        **hourly_step(ASSET, settings),
        **hourly_spec(ASSET, settings),
        deps=["url_country_metrics"],
        kinds={"spark", "elasticsearch"},
        description="One document for each hour, url and country behind the alias `clickstream-metrics`. "
        "An hour is replaced whole: no document of it that the metrics lack stays behind.",
    )(_materialize)


def _materialize(
    context: dg.AssetExecutionContext,
    hbase: HBaseResource,
    spark: SparkResource,
    elasticsearch: ElasticsearchResource,
    configured: dg.ResourceParam[Settings],
) -> Iterator[dg.MaterializeResult]:
    """Index the metrics that differ from their documents, delete documents without one, mark hours as up to date."""
    from clickstream_assets.domain import documents, metrics
    from clickstream_assets.domain.overviews import documents_url, overviews
    from clickstream_assets.domain.stale_hours import INDEXED
    from clickstream_assets.domain.table_schemas import METRICS

    require_fit(elasticsearch)
    alias = elasticsearch.alias
    with hbase.books() as books, elasticsearch.client() as es:
        states = states_of(context, ASSET, books)
        hours = hours_to_do(context, ASSET, states)
        if not documents.indices_exist(es, alias, hours):
            documents.ensure_template(es, alias)
        filled = [hour for hour, count in documents.count_documents(es, alias, hours).items() if count]
        at_most = sum(states[hour].clicks or 0 for hour in hours)  # a metric has one at least
        if hours:
            with spark.alone(alias) as session:
                rows = hbase.read(session, METRICS, ranges=metrics.MetricsTasks.of(hours, at_most).tasks())
                elasticsearch.write(metrics.documents(rows, alias), documents.COMPARED if filled else ())
        counts = documents.count_documents(es, alias, states)
        deleted = documents.delete_left_over(es, alias, books, {hour: counts[hour] for hour in filled})
        books.hours.mark(INDEXED, {hour: states[hour].computed for hour in hours})
        seen = overviews(es, alias, states)
    add_row_counts(context, {hour: count - deleted.get(hour, 0) for hour, count in counts.items()})
    for hour in states:
        overview = of_clicks(hour, seen[hour], documents_url(elasticsearch.url, alias, hour))
        context.add_asset_metadata(overview, partition_key=key_of_hour(hour))
    context.add_asset_metadata({"documents_left_over": sum(deleted.values())})
    yield dg.MaterializeResult()
    evaluate_behind(context, checks, hours, states, hbase, elasticsearch, configured)
