"""``daily_metrics``: the totals of days, put together from their hours."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from clickstream_assets.assets.common import (
    add_row_counts,
    asset_spec,
    daily_step,
    is_by_hand,
    is_held_day,
    wait_for_hours,
)
from clickstream_assets.checks.daily_metrics import checks
from clickstream_assets.events.days import key_of_day
from clickstream_assets.partitions import days_of
from clickstream_assets.settings import Settings
from clickstream_assets.stores.elasticsearch.resource import ElasticsearchResource
from clickstream_assets.stores.hbase.resource import HBaseResource
from clickstream_assets.stores.spark.resource import SparkResource

if TYPE_CHECKING:
    from clickstream_assets.metrics.day_rows import DayTotals

ASSET = "daily_metrics"


def daily_metrics(settings: Settings) -> dg.AssetsDefinition:
    return dg.asset(
        **daily_step(ASSET, settings),
        **asset_spec(ASSET, settings),
        kinds={"spark", "hbase"},
        description="Clicks, exact unique users and time spent of each day in UTC, without bots: by url and country, "
        "by url, by country, by site, and in all. Put together from what its hours have by column, so no event is read "
        "again; in the HBase table `clickstream_daily_metrics`. The open day is brought up to date every few minutes.",
    )(_materialize)


def _materialize(
    context: dg.AssetExecutionContext,
    hbase: HBaseResource,
    spark: SparkResource,
    elasticsearch: ElasticsearchResource,
    configured: dg.ResourceParam[Settings],
) -> Iterator[dg.MaterializeResult]:
    """Roll days up. Hours whose columns are not what the books say are doubted, and their day waits for them."""
    from clickstream_assets.metrics.rolling_up import roll_up

    done: dict[int, DayTotals] = {}
    with hbase.books() as books, spark.alone(books.tables.daily) as session:
        for day in days_of(context):
            if is_held_day(context, books, day):
                continue
            totals = roll_up(session, books, day, context.run_id, whole=is_by_hand(context))
            if totals.unfit:
                wait_for_hours(context, books, day, totals.unfit)
                continue
            done[day] = totals
    add_row_counts(context, {day: totals.rows for day, totals in done.items()}, key_of_day)
    for day, totals in done.items():
        figures = {"clicks": totals.clicks, "unique_users": totals.users, "rows_written": totals.written}
        context.add_asset_metadata({**figures, "rows_left_over": totals.deleted}, partition_key=key_of_day(day))
    yield dg.MaterializeResult()
    if not is_by_hand(context):
        checks.evaluate(context, hbase, elasticsearch, configured)
