"""``raw_clicks`` and ``dead_letters``: one step reads Kafka once and writes both."""

from collections.abc import Iterator
from time import time
from typing import TYPE_CHECKING, Any

import dagster as dg

from clickstream_assets.assets.at_a_glance import of_ingestion, of_refusals
from clickstream_assets.assets.common import asset_spec, evaluate_behind, hourly_step
from clickstream_assets.checks.clickstream_topic import NO_LOG_CUT_BACK, cut_back, evaluation
from clickstream_assets.checks.dead_letters import checks as letters_checks
from clickstream_assets.checks.raw_clicks import checks
from clickstream_assets.events.hours import HOUR_MS, key_of_hour
from clickstream_assets.partitions import hours_of
from clickstream_assets.settings import Settings
from clickstream_assets.stores.elasticsearch.resource import ElasticsearchResource
from clickstream_assets.stores.hbase.resource import HBaseResource
from clickstream_assets.stores.kafka.resource import KafkaResource
from clickstream_assets.stores.preflight import require_fit
from clickstream_assets.stores.spark.resource import SparkResource

if TYPE_CHECKING:
    from clickstream_assets.books.books import Books
    from clickstream_assets.ingest.ingestion import IngestReport

_NEXT = "enriched_clicks"
"""The asset behind this one."""


class IngestConfig(dg.Config):
    """What of Kafka a run reads."""

    until: dict[str, int] | None = None
    """By Kafka partition, the offset to read up to from where the consumer group is; an empty one reads nothing.
    Left out, as in a run started by hand, the hours' own offsets are read again."""
    more: int = 0
    """So many messages behind ``until`` at most are read as well: those that were recorded in the run's hours and are
    there when it reads. What came while the run waited for its turn need not wait for the next one."""


def raw_clicks(settings: Settings) -> dg.AssetsDefinition:
    kept = dg.AssetSpec(
        "raw_clicks",
        description="Accepted events in the HBase table `clickstream_data`, one row an event, by event hour. "
        "Materialized by hand, an hour's offsets are read from Kafka again and end in the same rows. In the metadata, "
        "counts and offset ranges are the run's; the row count is the hour's.",
        kinds={"kafka", "hbase"},
        **asset_spec("raw_clicks", settings),
    )
    refused = dg.AssetSpec(
        "dead_letters",
        description="Refused messages in the HBase table `clickstream_dead_letters`: bytes, record time, reason and "
        "detail, by the hour of the Kafka record (the first partition for older ones).",
        kinds={"kafka", "hbase"},
        **asset_spec("dead_letters", settings),
    )
    return dg.multi_asset(specs=[kept, refused], **hourly_step("raw_clicks", settings))(_materialize)


def _materialize(
    context: dg.AssetExecutionContext,
    config: IngestConfig,
    kafka: KafkaResource,
    hbase: HBaseResource,
    spark: SparkResource,
    elasticsearch: ElasticsearchResource,
    configured: dg.ResourceParam[Settings],
) -> Iterator[dg.MaterializeResult]:
    """Read offsets, write rows, dead letters and both books.

    First of all steps, it looks whether the stores of all of them are fit: nothing is written for an end that cannot be
    reached.
    """
    from clickstream_assets.ingest.ingestion import Ingestion
    from clickstream_assets.ingest.reading import Wide

    hours = hours_of(context)
    require_fit(kafka, hbase, elasticsearch)
    with kafka.client() as topic, hbase.books() as books:
        wide = Wide(lambda: spark.session, configured.spark_ingest_events)
        rules = configured.url_rules, configured.max_age_ms
        ingestion = Ingestion(topic, books, configured.first_hour_ms, context.run_id, wide, *rules)
        if config.until is None:
            report = ingestion.read_hours(hours)
        else:
            report = ingestion.read_until({int(p): end for p, end in config.until.items()}, hours, config.more)
        stale, whole = _behind(books, hours)
        new = {hour: report.parts[hour] for hour in stale if hour not in whole}
        _tell_counts(context, books, hours, configured.first_hour_ms // HOUR_MS)
    _tell(context, report)
    yield dg.MaterializeResult(asset_key="raw_clicks", metadata=of_ingestion(report))
    yield dg.MaterializeResult(asset_key="dead_letters")
    for of_asset in (checks, letters_checks):
        evaluate_behind(context, of_asset, stale, new, hbase, elasticsearch, configured)


def _behind(books: "Books", hours: list[int]) -> tuple[list[int], set[int]]:
    """Hours that the later assets are to follow, and those that checks are to look at from end to end.

    Hours that the run passes over are touched, as empty ones: they are present like those done one by one. An hour that
    a check holds is released by a look at all of it alone.
    """
    states = books.hours.read(hours)
    empty = [hour for hour, state in states.items() if not state.touched]
    books.hours.touch(empty)
    stale = [*empty, *(hour for hour, state in states.items() if state.stale)]
    whole = {hour for hour, state in states.items() if "raw_clicks" in state.holds or state.is_whole_due(_NEXT)}
    return stale, whole


def _tell(context: dg.AssetExecutionContext, report: "IngestReport") -> None:
    """Say in the run's log what was read, and what could not be."""
    context.log.info(report.in_words())
    if report.cuts:
        log_event: Any = context.log_event  # takes evaluations, though its type does not say so
        log_event(evaluation(NO_LOG_CUT_BACK, cut_back(report.cuts, int(time() * 1000))))
    if report.unavailable:
        context.log.warning(
            f"{report.unavailable} offsets of these hours are no longer in Kafka: what is stored of them was left alone"
        )


def _tell_counts(context: dg.AssetExecutionContext, books: "Books", hours: list[int], first_hour: int) -> None:
    """Say in each hour's materializations how many rows and letters it has, and why those were refused.

    Their reasons are kept for the hour's own document too: nobody has to look for them again.
    """
    from clickstream_assets.books.ledger_entries import counts_of
    from clickstream_assets.evidence.overviews import refused_by_reason

    parts, before = books.ledger.parts(hours), books.hours.read(hours)
    reasons = refused_by_reason(books, parts, first_hour)
    changed = {hour for hour in hours if reasons[hour] != (before[hour].refused_by_reason or {})}
    books.hours.remember_refusals({hour: reasons[hour] for hour in changed})
    for hour, of_hour in counts_of(parts).items():
        key, refused = key_of_hour(hour), of_refusals(hour, reasons[hour])
        context.add_asset_metadata({"dagster/partition_row_count": of_hour.kept}, "raw_clicks", key)
        context.add_asset_metadata(
            {"dagster/partition_row_count": of_hour.dead_lettered, **refused}, "dead_letters", key
        )
