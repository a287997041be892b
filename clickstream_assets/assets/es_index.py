"""``es_index``: the metrics as documents that dashboards query."""

from collections.abc import Iterator

import dagster as dg

from clickstream_assets.assets.common import free_hours, hourly_asset
from clickstream_assets.assets.overviews import of_clicks
from clickstream_assets.checks import es_index as checks
from clickstream_assets.checks import latest_closed_hour
from clickstream_assets.domain.hours import key_of_hour
from clickstream_assets.partitions import hours_of
from clickstream_assets.resources.elasticsearch import ElasticsearchResource
from clickstream_assets.resources.hbase import HBaseResource
from clickstream_assets.resources.preflight import require_fit
from clickstream_assets.resources.spark import SparkResource


@dg.asset(
    **hourly_asset("es_index"),
    deps=["url_country_metrics"],
    kinds={"spark", "elasticsearch"},
    description="One document for each hour, url and country behind the alias `clickstream-metrics`. "
    "An hour is replaced whole: no document of it that the metrics lack stays behind.",
)
def es_index(
    context: dg.AssetExecutionContext, hbase: HBaseResource, spark: SparkResource, elasticsearch: ElasticsearchResource
) -> Iterator[dg.MaterializeResult]:
    """Index the metrics that differ from their documents, delete documents without one, mark hours as up to date."""
    from clickstream_assets.domain.documents import (
        COMPARED,
        count_documents,
        delete_left_over,
        ensure_template,
        indices_exist,
    )
    from clickstream_assets.domain.metrics import MetricsShares, documents
    from clickstream_assets.domain.overviews import documents_url, overviews
    from clickstream_assets.domain.stale_hours import INDEXED, HourStates
    from clickstream_assets.domain.table_schemas import LEDGER, METRICS

    require_fit(elasticsearch)
    hbase.ensure_tables()
    with hbase.client() as client, elasticsearch.client() as es:
        states = HourStates(client, hbase.table(LEDGER.name))
        known = states.read(hours_of(context))
        hours = free_hours(context, "es_index", known)
        if not indices_exist(es, elasticsearch.alias, hours):
            ensure_template(es, elasticsearch.alias)
        marks = {hour: known[hour].computed for hour in hours}
        filled = [hour for hour, count in count_documents(es, elasticsearch.alias, hours).items() if count]
        at_most = sum(known[hour].clicks or 0 for hour in hours)  # a metric has one at least
        with spark.alone(elasticsearch.alias) as session:
            rows = hbase.read(session, METRICS, ranges=MetricsShares.of(hours, at_most).tasks() if hours else ())
            elasticsearch.write(documents(rows, elasticsearch.alias), COMPARED if filled else ())
        counts = count_documents(es, elasticsearch.alias, known)
        written_over = {hour: counts[hour] for hour in filled}
        deleted = delete_left_over(es, elasticsearch.alias, client, hbase.table(METRICS.name), written_over)
        states.mark(INDEXED, marks)
        seen = overviews(es, elasticsearch.alias, known)
    for hour in known:
        count = counts[hour] - deleted.get(hour, 0)
        overview = of_clicks(hour, seen[hour], documents_url(elasticsearch.url, elasticsearch.alias, hour))
        context.add_asset_metadata({"dagster/partition_row_count": count, **overview}, partition_key=key_of_hour(hour))
    context.add_asset_metadata({"documents_left_over": sum(deleted.values())})
    yield dg.MaterializeResult()
    checks.evaluate(context, hbase, elasticsearch)
    latest_closed_hour.evaluate(context, "es_index", hbase)
