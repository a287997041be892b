"""``url_country_metrics``: clicks, users and time spent by hour, url and country."""

from collections.abc import Iterator
from time import time

import dagster as dg

from clickstream_assets.assets.common import (
    add_row_counts,
    clicks_of,
    evaluate_behind,
    hourly_spec,
    hourly_step,
    hours_to_do,
    states_of,
)
from clickstream_assets.checks.url_country_metrics import checks
from clickstream_assets.resources.elasticsearch import ElasticsearchResource
from clickstream_assets.resources.hbase import HBaseResource
from clickstream_assets.resources.spark import SparkResource
from clickstream_assets.settings import Settings

ASSET = "url_country_metrics"


def url_country_metrics(settings: Settings) -> dg.AssetsDefinition:
    return dg.asset(
        **hourly_step(ASSET, settings),
        **hourly_spec(ASSET, settings),
        deps=["enriched_clicks"],
        kinds={"spark", "hbase"},
        description="Clicks, exact unique users and time spent of each hour, url and country, without bots, in the "
        "HBase table `clickstream_metrics`. An hour is replaced whole: rows that stay the same keep the run that "
        "computed them.",
    )(_materialize)


def _materialize(
    context: dg.AssetExecutionContext,
    hbase: HBaseResource,
    spark: SparkResource,
    elasticsearch: ElasticsearchResource,
    configured: dg.ResourceParam[Settings],
) -> Iterator[dg.MaterializeResult]:
    """Compute the hours, write what differs from what is stored, delete what they no longer have."""
    from clickstream_assets.domain.metrics import compute, metrics_key_range
    from clickstream_assets.domain.replacing import replace
    from clickstream_assets.domain.stale_hours import COMPUTED

    with hbase.books() as books:
        states = states_of(context, ASSET, books)
        hours = hours_to_do(context, ASSET, states)
        done = {}
        if hours:
            with spark.alone(books.tables.metrics) as session:
                clicks = clicks_of(hours, hbase, books, session)
                computed = compute(clicks, hours, int(time() * 1000), context.run_id)
                done = replace(computed, books, hours, books.ledger.rows(hours))
        books.hours.mark(COMPUTED, {hour: states[hour].enriched for hour in hours})
        books.hours.remember_clicks({hour: done[hour].clicks for hour in hours if states[hour].touched})
        rows = {hour: replaced.rows for hour, replaced in done.items()}
        others = (hour for hour in states if hour not in rows)
        rows |= {hour: books.hbase.count(books.tables.metrics, *metrics_key_range(hour, hour)) for hour in others}
        add_row_counts(context, rows)
    written, deleted = (sum(getattr(replaced, name) for replaced in done.values()) for name in ("written", "deleted"))
    context.add_asset_metadata({"rows_written": written, "rows_left_over": deleted})
    yield dg.MaterializeResult()
    evaluate_behind(context, checks, hours, states, hbase, elasticsearch, configured)
