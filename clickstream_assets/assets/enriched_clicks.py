"""``enriched_clicks``: rows of ``raw_clicks`` with country, city, browser, os and device beside them."""

from collections.abc import Iterator

import dagster as dg

from clickstream_assets.assets.common import add_row_counts, asset_spec, evaluate_behind, hourly_step, work_of
from clickstream_assets.checks.enriched_clicks import checks
from clickstream_assets.settings import Settings
from clickstream_assets.stores.elasticsearch.resource import ElasticsearchResource
from clickstream_assets.stores.geoip.resource import GeoIPResource
from clickstream_assets.stores.hbase.resource import HBaseResource
from clickstream_assets.stores.spark.resource import SparkResource

ASSET = "enriched_clicks"


def enriched_clicks(settings: Settings) -> dg.AssetsDefinition:
    return dg.asset(
        **hourly_step(ASSET, settings),
        **asset_spec(ASSET, settings),
        kinds={"spark", "hbase"},
        description="Country, city, browser, os and device of each event, in families of their own of the HBase table "
        "`clickstream_data`, and the events by column that metrics are computed from in `clickstream_blocks`. "
        "Only what is new, or was enriched by another GeoIP build or other user-agent rules, is written.",
    )(_materialize)


def _materialize(
    context: dg.AssetExecutionContext,
    hbase: HBaseResource,
    spark: SparkResource,
    geoip: GeoIPResource,
    elasticsearch: ElasticsearchResource,
    configured: dg.ResourceParam[Settings],
) -> Iterator[dg.MaterializeResult]:
    from clickstream_assets.books.hour_states import ENRICHED
    from clickstream_assets.enrich.enriching import Enriched, enrich
    from clickstream_assets.enrich.enrichment import EnrichmentUnfit

    rules = geoip.rules()
    with hbase.books() as books:
        work = work_of(context, ASSET, books)
        try:
            done = enrich(spark.session, books, work.hours, rules, work.whole) if work.hours else Enriched()
        except EnrichmentUnfit as unfit:
            raise dg.Failure(str(unfit)) from unfit
        books.hours.mark(ENRICHED, {hour: work.states[hour].touched for hour in work.hours})
        add_row_counts(context, {hour: counts.kept for hour, counts in books.ledger.counts(work.states).items()})
    enriched_by = dict(zip(("geoip_version", "user_agent_version"), rules.versions, strict=True))
    context.add_asset_metadata({**enriched_by, "rows_enriched": done.rows})
    yield dg.MaterializeResult()
    looked_at = [*work.hours, *work.held]
    evaluate_behind(context, checks, looked_at, work.new(done.parts), hbase, elasticsearch, configured)
