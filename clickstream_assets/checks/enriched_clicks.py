"""Checks on ``enriched_clicks``: nothing was left out."""

import dagster as dg

from clickstream_assets.checks.reporting import Finding, report
from clickstream_assets.partitions import hourly, hours_of
from clickstream_assets.resources.hbase import HBaseResource


@dg.asset_check(
    asset="enriched_clicks",
    name="every_row_enriched",
    partitions_def=hourly,
    description="Every row of the hour has country, browser, os and device, with the versions that gave them.",
)
def every_row_enriched(context: dg.AssetCheckExecutionContext, hbase: HBaseResource) -> dg.AssetCheckResult:
    """Count rows and enriched rows."""
    from clickstream_assets.domain.hour_counts import count_clicks
    from clickstream_assets.domain.table_schemas import CLICKS

    with hbase.client() as client:
        counts = count_clicks(client, hbase.table(CLICKS.name), hours_of(context))
    findings = {
        hour: Finding(
            passed=count.enriched == count.rows,
            words=f"{count.enriched} of {count.rows} rows are enriched",
            figures={"rows": count.rows, "enriched": count.enriched},
        )
        for hour, count in counts.items()
    }
    return report(context, "enriched_clicks", "every_row_enriched", findings)
