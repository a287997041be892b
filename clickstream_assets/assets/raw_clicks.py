"""``raw_clicks`` and ``dead_letters``: one step reads Kafka once and writes both."""

from collections.abc import Iterator
from time import time
from typing import Any

import dagster as dg

from clickstream_assets.assets.clickstream_topic import clickstream_topic
from clickstream_assets.assets.columns import described
from clickstream_assets.assets.common import GROUP, HOURLY_FRESHNESS, OWNERS
from clickstream_assets.assets.dead_letters import dead_letters
from clickstream_assets.assets.overviews import of_ingestion, of_refusals
from clickstream_assets.checks import dead_letters as letters_checks
from clickstream_assets.checks import latest_closed_hour
from clickstream_assets.checks import raw_clicks as checks
from clickstream_assets.checks.clickstream_topic import cut_back, evaluation, no_log_cut_back
from clickstream_assets.domain.hours import HOUR_MS, key_of_hour
from clickstream_assets.partitions import hourly, hours_of
from clickstream_assets.resources.elasticsearch import ElasticsearchResource
from clickstream_assets.resources.hbase import HBaseResource
from clickstream_assets.resources.kafka import KafkaResource
from clickstream_assets.resources.preflight import require_fit
from clickstream_assets.resources.spark import SparkResource
from clickstream_assets.settings import settings


class IngestConfig(dg.Config):
    """What of Kafka a run reads."""

    until: dict[str, int] | None = None
    """By Kafka partition, the offset to read up to from where the consumer group is; an empty one reads nothing.
    Left out, as in a run started by hand, the hours' own offsets are read again."""
    more: int = 0
    """So many messages behind ``until`` at most are read as well: those that were recorded in the run's hours and are
    there when it reads. What came while the run waited for its turn need not wait for the next one."""


raw_clicks_spec = dg.AssetSpec(
    "raw_clicks",
    deps=[clickstream_topic],
    description="Accepted events in the HBase table `clickstream_data`, one row an event, by event hour. "
    "Materialized by hand, an hour's offsets are read from Kafka again and end in the same rows. In the metadata, "
    "counts and offset ranges are the run's; the row count is the hour's.",
    group_name=GROUP,
    owners=OWNERS,
    kinds={"kafka", "hbase"},
    metadata=described("raw_clicks"),
    freshness_policy=HOURLY_FRESHNESS,
)


@dg.multi_asset(
    name="raw_clicks",
    specs=[raw_clicks_spec, dead_letters],
    partitions_def=hourly,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool="raw_clicks",
)
def raw_clicks(
    context: dg.AssetExecutionContext,
    config: IngestConfig,
    kafka: KafkaResource,
    hbase: HBaseResource,
    spark: SparkResource,
    elasticsearch: ElasticsearchResource,
) -> Iterator[dg.MaterializeResult]:
    """Read offsets, write rows, dead letters and both books.

    First of all steps, it looks whether the stores of all of them are fit: nothing is written for an end that cannot be
    reached.
    """
    from clickstream_assets.domain.ingestion import Ingestion
    from clickstream_assets.domain.ledger import Ledger
    from clickstream_assets.domain.overviews import refused_by_reason
    from clickstream_assets.domain.reading import Wide
    from clickstream_assets.domain.run_plan import read_on
    from clickstream_assets.domain.stale_hours import HourStates
    from clickstream_assets.domain.table_schemas import DEAD_LETTERS, LEDGER

    hours = hours_of(context)
    require_fit(kafka, hbase, elasticsearch)
    hbase.ensure_tables()
    with kafka.client() as topic, hbase.client() as client:
        wide = Wide(lambda: spark.session, settings().spark_ingest_events)
        ingestion = Ingestion(
            topic, client, hbase.table, settings().first_hour_ms, context.run_id, wide, settings().url_rules
        )
        if config.until is None:
            report = ingestion.read_hours(hours)
        else:
            until = {int(p): end for p, end in config.until.items()}
            if config.more:
                ends = topic.ends(until)
                until = read_on(until, topic.offsets_at((hours[-1] + 1) * HOUR_MS, ends, until), config.more)
            report = ingestion.read_until(until, hours)
        # Hours that the run passes over are done too, as empty: they are present like those done one by one.
        states = HourStates(client, hbase.table(LEDGER.name))
        states.touch(hour for hour, state in states.read(hours).items() if not state.touched)
        ledger = Ledger(client, hbase.table(LEDGER.name))
        shares = ledger.shares_by_hour(hours)
        first_hour = settings().first_hour_ms // HOUR_MS
        reasons = refused_by_reason(client, hbase.table(DEAD_LETTERS.name), ledger, shares, first_hour)
    for hour, found in shares.items():
        key, refused = key_of_hour(hour), of_refusals(hour, reasons[hour])
        context.add_asset_metadata({"dagster/partition_row_count": sum(s.kept for s in found)}, "raw_clicks", key)
        count = sum(s.dead_lettered for s in found)
        context.add_asset_metadata({"dagster/partition_row_count": count, **refused}, "dead_letters", key)
    context.log.info(report.in_words())
    if report.cuts:
        log_event: Any = context.log_event  # takes evaluations, though its type does not say so
        log_event(evaluation(no_log_cut_back, cut_back(report.cuts, int(time() * 1000))))
    if report.unavailable:
        context.log.warning(
            f"{report.unavailable} offsets of these hours are no longer in Kafka: what is stored of them was left alone"
        )
    yield dg.MaterializeResult(asset_key="raw_clicks", metadata=of_ingestion(report))
    yield dg.MaterializeResult(asset_key="dead_letters")
    checks.evaluate(context, hbase)
    letters_checks.evaluate(context, hbase)
    for asset in ("raw_clicks", "dead_letters"):
        latest_closed_hour.evaluate(context, asset, hbase)
