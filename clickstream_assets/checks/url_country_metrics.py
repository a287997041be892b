"""Checks on ``url_country_metrics``: the metrics add up, make sense, and are as many as is usual."""

from collections.abc import Mapping, Sequence
from time import time

import dagster as dg

from clickstream_assets.checks.producers import few_urls
from clickstream_assets.checks.reporting import (
    WARN,
    Finding,
    Findings,
    HourCheck,
    Reported,
    failed_by_hour,
    held_back,
    held_findings,
    look,
    record,
    report,
)
from clickstream_assets.domain.hours import HOUR_MS
from clickstream_assets.partitions import hours_of
from clickstream_assets.resources.hbase import HBaseResource
from clickstream_assets.settings import settings

ASSET = "url_country_metrics"
CHECKS = (
    held_back(ASSET),
    HourCheck(
        "clicks_add_up",
        "The clicks of the hour's metrics add up to its enriched events of a click type that are no bot's.",
        blocking=True,
    ),
    HourCheck(
        "within_bounds",
        "In each metric: unique users and measured views are no more than clicks, time spent is at most 30 minutes for "
        "each measured view, and the average is their ratio.",
        blocking=True,
    ),
    HourCheck("few_urls", "The hour's metrics are not of unusually many distinct urls.", WARN),
    HourCheck(
        "usual_volume",
        "The hour has about as many clicks as the same hour of earlier weeks, or else as the hours before it.",
        WARN,
    ),
)


def findings(hours: Sequence[int], hbase: HBaseResource) -> Mapping[str, Findings]:
    """Compare the metrics with the rows, with themselves and with other hours."""
    from functools import cache

    from clickstream_assets.domain.hour_counts import MetricCounts, count_human_clicks, count_metrics
    from clickstream_assets.domain.stale_hours import HourStates
    from clickstream_assets.domain.table_schemas import CLICKS, LEDGER, METRICS
    from clickstream_assets.domain.volume import compare, hours_before, same_hour_of_earlier_weeks

    with hbase.client() as client:
        states = HourStates(client, hbase.table(LEDGER.name))
        before = states.read(hours)

        @cache
        def metrics() -> dict[int, MetricCounts]:
            return count_metrics(client, hbase.table(METRICS.name), hours)

        def clicks_add_up() -> Findings:
            findings = {}
            for hour, enriched in count_human_clicks(client, hbase.table(CLICKS.name), hours).items():
                clicks = metrics()[hour].clicks
                findings[hour] = Finding(
                    clicks == enriched,
                    f"{clicks} clicks in the metrics, {enriched} in the enriched clicks",
                    {"clicks": clicks, "enriched_clicks": enriched},
                )
            return findings

        def within_bounds() -> Findings:
            findings = {}
            for hour, count in metrics().items():
                wrong = count.contradictions
                words = (
                    f"{len(wrong)} metrics contradict themselves; {'; '.join(wrong[:3])}" if wrong else "all make sense"
                )
                findings[hour] = Finding(not wrong, words, {"contradictions": len(wrong)})
            return findings

        def usual_volume() -> Findings:
            open_hour = int(time() * 1000) // HOUR_MS
            others = {o for hour in hours for o in (*same_hour_of_earlier_weeks(hour), *hours_before(hour))}
            clicks = {hour: state.clicks for hour, state in states.read({*hours, *others}).items()}
            findings = {}
            for hour in hours:
                passed, words, figures = compare(hour, clicks, open_hour, settings().warn_volume_factor)
                findings[hour] = Finding(passed, words, figures)
            return findings

        found = look(
            hours,
            {
                "held_back": lambda: held_findings(ASSET, before),
                "clicks_add_up": clicks_add_up,
                "within_bounds": within_bounds,
                "few_urls": lambda: {
                    hour: few_urls(count.urls, settings().warn_urls) for hour, count in metrics().items()
                },
                "usual_volume": usual_volume,
            },
        )
        states.hold(ASSET, before, failed_by_hour(CHECKS, found))
    return found


@dg.multi_asset_check(name="check_url_country_metrics", specs=[check.spec(ASSET) for check in CHECKS], can_subset=True)
def check_url_country_metrics(context: dg.AssetCheckExecutionContext, hbase: HBaseResource) -> Reported:
    """Look at the hours of the run."""
    yield from report(context, ASSET, CHECKS, findings(hours_of(context), hbase))


def evaluate(context: dg.AssetExecutionContext, hbase: HBaseResource) -> None:
    """Look at the hours that the asset's own step has just done."""
    record(context, ASSET, CHECKS, lambda: findings(hours_of(context), hbase))
