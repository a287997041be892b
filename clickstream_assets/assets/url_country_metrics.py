"""``url_country_metrics``: clicks, users and time spent by hour, url and country."""

from collections.abc import Iterator

import dagster as dg

from clickstream_assets.assets.common import clicks_of, free_hours, hourly_asset
from clickstream_assets.checks import latest_closed_hour
from clickstream_assets.checks import url_country_metrics as checks
from clickstream_assets.domain.hours import key_of_hour
from clickstream_assets.partitions import hours_of
from clickstream_assets.resources.hbase import HBaseResource
from clickstream_assets.resources.spark import SparkResource


@dg.asset(
    **hourly_asset("url_country_metrics"),
    deps=["enriched_clicks"],
    kinds={"spark", "hbase"},
    description="Clicks, exact unique users and time spent of each hour, url and country, without bots, in the HBase "
    "table `clickstream_metrics`. An hour is replaced whole: rows that stay the same keep the run that computed them.",
)
def url_country_metrics(
    context: dg.AssetExecutionContext, hbase: HBaseResource, spark: SparkResource
) -> Iterator[dg.MaterializeResult]:
    """Compute the hours, write what differs from what is stored, delete what they no longer have."""
    from time import time

    from clickstream_assets.domain.ledger import Ledger
    from clickstream_assets.domain.metrics import compute, metrics_key_range
    from clickstream_assets.domain.replacing import replace
    from clickstream_assets.domain.stale_hours import COMPUTED, HourStates
    from clickstream_assets.domain.table_schemas import LEDGER, METRICS

    hbase.ensure_tables()
    with hbase.client() as client:
        states = HourStates(client, hbase.table(LEDGER.name))
        known = states.read(hours_of(context))
        hours = free_hours(context, "url_country_metrics", known)
        marks = {hour: known[hour].enriched for hour in hours}
        table, events = hbase.table(METRICS.name), Ledger(client, hbase.table(LEDGER.name)).rows(hours)
        with spark.alone(table) as session:
            clicks = clicks_of(hours, hbase, client, session)
            computed = compute(clicks, hours, int(time() * 1000), context.run_id)
            done = replace(computed, client, table, hours, events)
        states.mark(COMPUTED, marks)
        states.remember_clicks({hour: done[hour].clicks for hour in hours if known[hour].touched})
        held = {hour: client.count(table, *metrics_key_range(hour, hour)) for hour in known if hour not in done}
    for hour, rows in {**{hour: one.rows for hour, one in done.items()}, **held}.items():
        context.add_asset_metadata({"dagster/partition_row_count": rows}, partition_key=key_of_hour(hour))
    written, deleted = (sum(getattr(one, name) for one in done.values()) for name in ("written", "deleted"))
    context.add_asset_metadata({"rows_written": written, "rows_left_over": deleted})
    yield dg.MaterializeResult()
    checks.evaluate(context, hbase)
    latest_closed_hour.evaluate(context, "url_country_metrics", hbase)
