"""``enriched_clicks``: rows of ``raw_clicks`` with country, city, browser, os and device beside them."""

from collections.abc import Iterator

import dagster as dg

from clickstream_assets.assets.common import (
    add_row_counts,
    evaluate_behind,
    hourly_spec,
    hourly_step,
    hours_to_do,
    scan_tasks_of,
    states_of,
)
from clickstream_assets.checks.enriched_clicks import checks
from clickstream_assets.resources.elasticsearch import ElasticsearchResource
from clickstream_assets.resources.geoip import GeoIPResource
from clickstream_assets.resources.hbase import HBaseResource
from clickstream_assets.resources.spark import SparkResource
from clickstream_assets.settings import Settings

ASSET = "enriched_clicks"


def enriched_clicks(settings: Settings) -> dg.AssetsDefinition:
    return dg.asset(
        **hourly_step(ASSET, settings),
        **hourly_spec(ASSET, settings),
        deps=["raw_clicks"],
        kinds={"spark", "hbase"},
        description="Country, city, browser, os and device of each event, in families of their own of the HBase table "
        "`clickstream_data`. Only rows that lack the current GeoIP build or user-agent rules are written.",
    )(_materialize)


def _materialize(
    context: dg.AssetExecutionContext,
    hbase: HBaseResource,
    spark: SparkResource,
    geoip: GeoIPResource,
    elasticsearch: ElasticsearchResource,
    configured: dg.ResourceParam[Settings],
) -> Iterator[dg.MaterializeResult]:
    from clickstream_assets.domain.enrichment import EnrichmentUnfit, enrich
    from clickstream_assets.domain.stale_hours import ENRICHED

    versions = geoip.versions()
    with hbase.books() as books:
        states = states_of(context, ASSET, books)
        hours = hours_to_do(context, ASSET, states)
        try:
            # The hour that follows too: time spent has to know the bots there.
            tasks = scan_tasks_of(hours, books)
            rows = enrich(spark.session, books, tasks, versions, geoip.database, geoip.trusted) if hours else 0
        except EnrichmentUnfit as unfit:
            raise dg.Failure(str(unfit)) from unfit
        books.hours.mark(ENRICHED, {hour: states[hour].touched for hour in hours})
        add_row_counts(context, {hour: counts.kept for hour, counts in books.ledger.counts(states).items()})
    context.add_asset_metadata({"geoip_version": versions[0], "user_agent_version": versions[1], "rows_enriched": rows})
    yield dg.MaterializeResult()
    evaluate_behind(context, checks, hours, states, hbase, elasticsearch, configured)
