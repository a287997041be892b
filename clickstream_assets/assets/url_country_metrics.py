"""``url_country_metrics``: clicks, users and time spent by hour, url and country."""

import dagster as dg

from clickstream_assets.assets.common import clicks_of, free_hours, hourly_asset
from clickstream_assets.domain.hours import key_of_hour
from clickstream_assets.partitions import hours_of
from clickstream_assets.resources.hbase import HBaseResource
from clickstream_assets.resources.spark import SparkResource


@dg.asset(
    **hourly_asset("url_country_metrics"),
    deps=["enriched_clicks"],
    kinds={"spark", "hbase"},
    description="Clicks, exact unique users and time spent of each hour, url and country, without bots, in the HBase "
    "table `clickstream_metrics`. An hour is replaced whole.",
)
def url_country_metrics(context: dg.AssetExecutionContext, hbase: HBaseResource, spark: SparkResource) -> None:
    """Compute the hours, write them, delete what they held before."""
    from time import time

    from clickstream_assets.domain.hour_counts import count_metrics, delete_left_over_metrics
    from clickstream_assets.domain.metrics import compute
    from clickstream_assets.domain.stale_hours import COMPUTED, HourStates
    from clickstream_assets.domain.table_schemas import LEDGER, METRICS

    hbase.ensure_tables()
    with hbase.client() as client:
        states = HourStates(client, hbase.table(LEDGER.name))
        known = states.read(hours_of(context))
        hours = free_hours(context, "url_country_metrics", known)
        marks = {hour: known[hour].enriched for hour in hours}
        clicks = clicks_of(hours, hbase, client, spark.session)
        hbase.write(compute(clicks, hours, int(time() * 1000), context.run_id), METRICS)
        table = hbase.table(METRICS.name)
        deleted = delete_left_over_metrics(client, table, hours, context.run_id)
        states.mark(COMPUTED, marks)
        counts = count_metrics(client, table, known, closely=False)
        states.remember_clicks({hour: counts[hour].clicks for hour in hours if known[hour].touched})
    for hour, count in counts.items():
        context.add_asset_metadata({"dagster/partition_row_count": count.rows}, partition_key=key_of_hour(hour))
    context.add_asset_metadata({"rows_left_over": deleted})
