"""Checks on ``enriched_clicks``: nothing was left out, and what enrichment could tell."""

from collections.abc import Mapping, Sequence

import dagster as dg

from clickstream_assets.checks.reporting import (
    WARN,
    Finding,
    Findings,
    HourCheck,
    Reported,
    both,
    failed_by_hour,
    held_back,
    held_findings,
    look,
    record,
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
    HourCheck(
        "clients_known",
        "The shares of rows without a country, and with the browser `Other`, are not unusually high.",
        WARN,
    ),
)


def findings(hours: Sequence[int], hbase: HBaseResource) -> Mapping[str, Findings]:
    """Count rows and what enrichment made of them."""
    from functools import cache

    from clickstream_assets.domain.hour_counts import ClickCounts, count_clicks
    from clickstream_assets.domain.stale_hours import HourStates
    from clickstream_assets.domain.table_schemas import CLICKS, LEDGER

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

        def clients_known() -> Findings:
            limits = settings()
            findings = {}
            for hour, count in counts().items():
                findings[hour] = both(
                    share(count.unknown_country, count.enriched, limits.warn_unknown_country_share, "have no country"),
                    share(count.other_browser, count.enriched, limits.warn_other_browser_share, "have browser `Other`"),
                )
            return findings

        found = look(
            hours,
            {
                "held_back": lambda: held_findings(ASSET, before),
                "every_row_enriched": every_row_enriched,
                "one_version": one_version,
                "clients_known": clients_known,
            },
        )
        states.hold(ASSET, before, failed_by_hour(CHECKS, found))
    return found


@dg.multi_asset_check(name="check_enriched_clicks", specs=[check.spec(ASSET) for check in CHECKS], can_subset=True)
def check_enriched_clicks(context: dg.AssetCheckExecutionContext, hbase: HBaseResource) -> Reported:
    """Look at the hours of the run."""
    yield from report(context, ASSET, CHECKS, findings(hours_of(context), hbase))


def evaluate(context: dg.AssetExecutionContext, hbase: HBaseResource) -> None:
    """Look at the hours that the asset's own step has just done."""
    record(context, ASSET, CHECKS, lambda: findings(hours_of(context), hbase))
