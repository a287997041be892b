"""``enriched_clicks``: rows of ``raw_clicks`` with country, city, browser, os and device beside them."""

from collections.abc import Iterator

import dagster as dg

from clickstream_assets.assets.common import free_hours, hourly_asset, tasks_of
from clickstream_assets.checks import enriched_clicks as checks
from clickstream_assets.checks import latest_closed_hour
from clickstream_assets.domain.hours import key_of_hour
from clickstream_assets.partitions import hours_of
from clickstream_assets.resources.geoip import GeoIPResource
from clickstream_assets.resources.hbase import HBaseResource
from clickstream_assets.resources.spark import SparkResource


@dg.asset(
    **hourly_asset("enriched_clicks"),
    deps=["raw_clicks"],
    kinds={"spark", "hbase"},
    description="Country, city, browser, os and device of each event, in families of their own of the HBase table "
    "`clickstream_data`. Only rows that lack the current GeoIP build or user-agent rules are written.",
)
def enriched_clicks(
    context: dg.AssetExecutionContext, hbase: HBaseResource, spark: SparkResource, geoip: GeoIPResource
) -> Iterator[dg.MaterializeResult]:
    """Enrich what lacks the current versions."""
    from clickstream_assets.domain.enrichment import EnrichmentUnfit, enrich
    from clickstream_assets.domain.ledger import Ledger
    from clickstream_assets.domain.stale_hours import ENRICHED, HourStates
    from clickstream_assets.domain.table_schemas import CLICKS, LEDGER

    versions = geoip.versions()
    hbase.ensure_tables()
    with hbase.client() as client:
        states = HourStates(client, hbase.table(LEDGER.name))
        known = states.read(hours_of(context))
        hours = free_hours(context, "enriched_clicks", known)
        marks = {hour: known[hour].touched for hour in hours}
        # The hour that follows too: time spent has to know the bots there.
        tasks = tasks_of(hours, hbase, client)
        table = hbase.table(CLICKS.name)
        try:
            rows = enrich(spark.session, client, table, tasks, versions, geoip.database, geoip.trusted)
        except EnrichmentUnfit as unfit:
            raise dg.Failure(str(unfit)) from unfit
        states.mark(ENRICHED, marks)
        shares = Ledger(client, hbase.table(LEDGER.name)).shares_by_hour(known)
    for hour, found in shares.items():
        kept = sum(share.kept for share in found)
        context.add_asset_metadata({"dagster/partition_row_count": kept}, partition_key=key_of_hour(hour))
    context.add_asset_metadata({"geoip_version": versions[0], "user_agent_version": versions[1], "rows_enriched": rows})
    yield dg.MaterializeResult()
    checks.evaluate(context, hbase)
    latest_closed_hour.evaluate(context, "enriched_clicks", hbase)
