"""Checks on ``url_country_metrics``: the metrics add up."""

import dagster as dg

from clickstream_assets.checks.reporting import Finding, report
from clickstream_assets.partitions import hourly, hours_of
from clickstream_assets.resources.hbase import HBaseResource


@dg.asset_check(
    asset="url_country_metrics",
    name="clicks_add_up",
    partitions_def=hourly,
    description="The clicks of the hour's metrics add up to its enriched events of a click type that are no bot's.",
)
def clicks_add_up(context: dg.AssetCheckExecutionContext, hbase: HBaseResource) -> dg.AssetCheckResult:
    """Compare the sum of the metrics with the rows."""
    from clickstream_assets.domain.documents import HourTotals
    from clickstream_assets.domain.hour_counts import count_clicks, metric_totals
    from clickstream_assets.domain.table_schemas import CLICKS, METRICS

    hours = hours_of(context)
    with hbase.client() as client:
        counts = count_clicks(client, hbase.table(CLICKS.name), hours)
        totals = metric_totals(client, hbase.table(METRICS.name), hours)
    findings = {}
    for hour, count in counts.items():
        clicks = totals.get(hour, HourTotals()).clicks
        findings[hour] = Finding(
            passed=clicks == count.human_clicks,
            words=f"{clicks} clicks in the metrics, {count.human_clicks} in the enriched clicks",
            figures={"clicks": clicks, "enriched_clicks": count.human_clicks},
        )
    return report(context, "url_country_metrics", "clicks_add_up", findings)
