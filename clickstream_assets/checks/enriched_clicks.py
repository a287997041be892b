"""Checks on ``enriched_clicks``: nothing was left out, and what enrichment could tell."""

from collections.abc import Iterator

import dagster as dg

from clickstream_assets.checks.reporting import (
    WARN,
    Finding,
    Findings,
    HourCheck,
    failed_by_hour,
    held_back,
    held_findings,
    look,
    report,
    share,
)
from clickstream_assets.partitions import hours_of
from clickstream_assets.resources.hbase import HBaseResource
from clickstream_assets.settings import settings

ASSET = "enriched_clicks"
CHECKS = (
    held_back(ASSET),
    HourCheck(
        "every_row_enriched",
        "Every row of the hour has country, city, browser, os and device, and the versions that gave them.",
        blocking=True,
    ),
    HourCheck("one_version", "One build of GeoIP and one release of user-agent rules enriched the whole hour.", WARN),
    HourCheck("countries_known", "The share of rows without a country is not unusually high.", WARN),
    HourCheck("browsers_known", "The share of rows with the browser `Other` is not unusually high.", WARN),
)


@dg.multi_asset_check(name="check_enriched_clicks", specs=[check.spec(ASSET) for check in CHECKS], can_subset=True)
def check_enriched_clicks(
    context: dg.AssetCheckExecutionContext, hbase: HBaseResource
) -> Iterator[dg.AssetCheckResult]:
    """Count rows and what enrichment made of them."""
    from functools import cache

    from clickstream_assets.domain.hour_counts import ClickCounts, count_clicks
    from clickstream_assets.domain.stale_hours import HourStates
    from clickstream_assets.domain.table_schemas import CLICKS, LEDGER

    hours = hours_of(context)
    with hbase.client() as client:
        states = HourStates(client, hbase.table(LEDGER.name))
        before = states.read(hours)

        @cache
        def counts() -> dict[int, ClickCounts]:
            return count_clicks(client, hbase.table(CLICKS.name), hours)

        def every_row_enriched() -> Findings:
            return {
                hour: Finding(
                    count.enriched == count.rows,
                    f"{count.enriched} of {count.rows} rows are enriched",
                    {"rows": count.rows, "enriched": count.enriched},
                )
                for hour, count in counts().items()
            }

        def one_version() -> Findings:
            return {
                hour: Finding(
                    len(count.versions) <= 1,
                    "; ".join(f"{rows} rows by {version}" for version, rows in sorted(count.versions.items()))
                    or "no enriched rows",
                    {"versions": len(count.versions)},
                )
                for hour, count in counts().items()
            }

        def countries_known() -> Findings:
            most = settings().warn_unknown_country_share
            return {
                hour: share(count.unknown_country, count.enriched, most, "rows have no country")
                for hour, count in counts().items()
            }

        def browsers_known() -> Findings:
            most = settings().warn_other_browser_share
            return {
                hour: share(count.other_browser, count.enriched, most, "rows have the browser `Other`")
                for hour, count in counts().items()
            }

        found = look(
            hours,
            {
                "held_back": lambda: held_findings(ASSET, before),
                "every_row_enriched": every_row_enriched,
                "one_version": one_version,
                "countries_known": countries_known,
                "browsers_known": browsers_known,
            },
        )
        states.hold(ASSET, before, failed_by_hour(CHECKS, found))
    yield from report(context, ASSET, CHECKS, found)
