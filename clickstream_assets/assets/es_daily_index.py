"""``es_daily_index``: the totals of days as documents that dashboards query."""

from collections.abc import Iterator
from time import time

import dagster as dg

from clickstream_assets.assets.common import add_row_counts, asset_spec, daily_step, is_by_hand
from clickstream_assets.checks.es_daily_index import checks
from clickstream_assets.events.days import key_of_day
from clickstream_assets.partitions import days_of
from clickstream_assets.settings import Settings
from clickstream_assets.stores.elasticsearch.resource import ElasticsearchResource
from clickstream_assets.stores.hbase.resource import HBaseResource
from clickstream_assets.stores.spark.resource import SparkResource

ASSET = "es_daily_index"


def es_daily_index(settings: Settings) -> dg.AssetsDefinition:
    return dg.asset(
        **daily_step(ASSET, settings),
        **asset_spec(ASSET, settings),
        kinds={"spark", "elasticsearch"},
        description="One document for each day and total behind the alias `clickstream-daily`. Written, or deleted, is "
        "what differs from `daily_metrics`.",
    )(_materialize)


def _materialize(
    context: dg.AssetExecutionContext,
    hbase: HBaseResource,
    spark: SparkResource,
    elasticsearch: ElasticsearchResource,
    configured: dg.ResourceParam[Settings],
) -> Iterator[dg.MaterializeResult]:
    """Bring days' documents up to date, and delete those without a row."""
    from clickstream_assets.index import daily_documents
    from clickstream_assets.index.indexing import Target

    target = Target(elasticsearch.url, configured.daily_alias, int(time() * 1000))
    with hbase.books() as books, elasticsearch.client() as es, spark.alone(target.alias) as session:
        daily_documents.ensure_template(es, target.alias)
        for day, state in books.days.read(days_of(context)).items():
            whole = is_by_hand(context) or state.doubted_ms > state.indexed_ms
            written, rows = daily_documents.index_day(session, books, target, day, state, whole=whole)
            deleted = daily_documents.delete_left_over(es, target.alias, books, day, rows)
            books.days.mark_indexed(day, state.rolled_up_ms)
            figures = {"documents_written": written, "documents_left_over": deleted}
            context.add_asset_metadata(figures, partition_key=key_of_day(day))
            add_row_counts(context, {day: rows}, key_of_day)
    yield dg.MaterializeResult()
    if not is_by_hand(context):
        checks.evaluate(context, hbase, elasticsearch, configured)
