"""``es_dimensions_index``: who came with what and from where, in hours and days, as documents that dashboards query."""

from collections.abc import Iterator
from time import time

import dagster as dg

from clickstream_assets.assets.common import (
    add_row_counts,
    asset_spec,
    daily_step,
    is_by_hand,
    is_held_day,
    wait_for_hours,
)
from clickstream_assets.checks.es_dimensions_index import checks
from clickstream_assets.events.days import key_of_day
from clickstream_assets.partitions import days_of
from clickstream_assets.settings import Settings
from clickstream_assets.stores.elasticsearch.resource import ElasticsearchResource
from clickstream_assets.stores.hbase.resource import HBaseResource
from clickstream_assets.stores.preflight import require_fit
from clickstream_assets.stores.spark.resource import SparkResource

ASSET = "es_dimensions_index"


def es_dimensions_index(settings: Settings) -> dg.AssetsDefinition:
    return dg.asset(
        **daily_step(ASSET, settings),
        **asset_spec(ASSET, settings),
        kinds={"spark", "elasticsearch"},
        description="Events, clicks and exact unique users of each hour and each day by event type, browser, operating "
        "system, device, city, referring host and campaign, and bots by name: documents behind the alias "
        "`clickstream-dimensions`. Counted from what enrichment knows of the hours' users by column, so no event is "
        "read again. Written, or deleted, is what differs.",
    )(_materialize)


def _materialize(
    context: dg.AssetExecutionContext,
    hbase: HBaseResource,
    spark: SparkResource,
    elasticsearch: ElasticsearchResource,
    configured: dg.ResourceParam[Settings],
) -> Iterator[dg.MaterializeResult]:
    """Count days' dimensions. Hours whose audience is not what the books say are doubted, and their day waits."""
    from clickstream_assets.index.aliases import dimensions_indices
    from clickstream_assets.index.dimension_documents import DimensionDay, ensure_dimensions_template, write_dimensions
    from clickstream_assets.index.indexing import Target
    from clickstream_assets.metrics.counting_dimensions import count_dimensions

    require_fit(elasticsearch.behind(dimensions_indices(configured.dimensions_alias)))
    target = Target(elasticsearch.url, configured.dimensions_alias, int(time() * 1000))
    with hbase.books() as books, elasticsearch.client() as es, spark.alone(target.alias) as session:
        ensure_dimensions_template(es, target.alias)
        for day, state in books.days.read(days_of(context)).items():
            if is_held_day(context, books, day):
                continue
            totals, unfit = count_dimensions(session, books, day)
            if unfit:
                wait_for_hours(context, books, day, unfit)
                continue
            of_day = DimensionDay(day, state.rolled_up_ms, context.run_id)
            counts = write_dimensions(es, target, of_day, totals)
            books.days.mark_dimensions(day, state.rolled_up_ms)
            add_row_counts(context, {day: counts.pop("documents")}, key_of_day)
            context.add_asset_metadata(counts, partition_key=key_of_day(day))
    yield dg.MaterializeResult()
    if not is_by_hand(context):
        checks.evaluate(context, hbase, elasticsearch, configured)
