"""``url_country_metrics``: clicks, users and time spent by hour, url and country."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from clickstream_assets.assets.common import Work, add_row_counts, asset_spec, evaluate_behind, hourly_step, work_of
from clickstream_assets.checks.url_country_metrics import checks
from clickstream_assets.events.hours import key_of_hour
from clickstream_assets.events.url_limits import UrlLimits
from clickstream_assets.settings import Settings
from clickstream_assets.stores.elasticsearch.resource import ElasticsearchResource
from clickstream_assets.stores.geoip.resource import GeoIPResource
from clickstream_assets.stores.hbase.resource import HBaseResource
from clickstream_assets.stores.spark.resource import SparkResource

if TYPE_CHECKING:
    from clickstream_assets.books.books import Books
    from clickstream_assets.metrics.hour_tasks import Computed

ASSET = "url_country_metrics"


def url_country_metrics(settings: Settings) -> dg.AssetsDefinition:
    return dg.asset(
        **hourly_step(ASSET, settings),
        **asset_spec(ASSET, settings),
        kinds={"spark", "hbase"},
        description="Clicks, exact unique users and time spent of each hour, url and country, without bots, in the "
        "HBase table `clickstream_metrics`. Urls that do not count by name, if limits are set, are one, `(other)`. "
        "What new events change is added to what was computed before; an hour that somebody doubts is computed whole. "
        "Rows that stay the same keep the run that computed them.",
    )(_materialize)


def _materialize(
    context: dg.AssetExecutionContext,
    hbase: HBaseResource,
    spark: SparkResource,
    geoip: GeoIPResource,
    elasticsearch: ElasticsearchResource,
    configured: dg.ResourceParam[Settings],
) -> Iterator[dg.MaterializeResult]:
    """Bring the hours' rows up to date, delete what they no longer have."""
    from clickstream_assets.books.hour_states import COMPUTED
    from clickstream_assets.books.row_keys import metrics_key_range

    with hbase.books() as books:
        work = work_of(context, ASSET, books)
        states = work.states
        done = _computed(context, books, spark, geoip, work, configured.url_limits) if work.hours else {}
        books.hours.mark(COMPUTED, {hour: states[hour].enriched for hour in done})
        books.hours.remember_clicks({hour: of_hour.clicks for hour, of_hour in done.items() if states[hour].touched})
        rows = {hour: computed.rows for hour, computed in done.items()}
        others = (hour for hour in states if hour not in rows)
        rows |= {hour: books.hbase.count(books.tables.metrics, *metrics_key_range(hour, hour)) for hour in others}
        add_row_counts(context, rows)
    for hour, computed in done.items():
        if computed.other_clicks:
            figure = {"clicks_on_other_urls": computed.other_clicks}
            context.add_asset_metadata(figure, partition_key=key_of_hour(hour))
    written, deleted = (sum(getattr(computed, name) for computed in done.values()) for name in ("written", "deleted"))
    context.add_asset_metadata({"rows_written": written, "rows_left_over": deleted})
    yield dg.MaterializeResult()
    evaluate_behind(context, checks, [*work.hours, *work.held], work.new({}), hbase, elasticsearch, configured)


def _computed(
    context: dg.AssetExecutionContext,
    books: "Books",
    spark: SparkResource,
    geoip: GeoIPResource,
    work: Work,
    limits: UrlLimits,
) -> "dict[int, Computed]":
    """Compute hours; blocks that are not what the ledger says are made again from their rows first."""
    from clickstream_assets.enrich.enriching import enrich
    from clickstream_assets.metrics.computing import compute

    with spark.alone(books.tables.metrics) as session:
        done, unfit = compute(session, books, work.hours, context.run_id, work.whole, limits=limits)
        if unfit:
            context.log.warning(f"{len(unfit)} blocks are not what the ledger says: made again from their rows")
            left = [hour for hour in work.hours if hour not in done]
            enrich(session, books, left, geoip.rules(), {place.hour for place in unfit})
            done |= compute(session, books, left, context.run_id, left, limits=limits)[0]
    if undone := [key_of_hour(hour) for hour in work.hours if hour not in done]:
        raise dg.Failure(f"blocks are not what the ledger says, though they were made again: {', '.join(undone)}")
    return done
