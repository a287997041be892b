"""Checks on ``enriched_clicks``: nothing was left out, and what enrichment could tell."""

from clickstream_assets.checks.evidence import Evidence
from clickstream_assets.checks.findings import Finding, Findings, both, each, share
from clickstream_assets.checks.hour_checks import WARN, HourChecks

checks = HourChecks("enriched_clicks")


@checks.add(
    "Every row of the hour has country, city, browser, os and device, and the versions that gave them.", blocking=True
)
def every_row_enriched(evidence: Evidence) -> Findings:
    return each(
        evidence.clicks,
        lambda hour: Finding(
            hour.enriched == hour.rows,
            f"{hour.enriched} of {hour.rows} rows are enriched",
            {"rows": hour.rows, "enriched": hour.enriched},
        ),
    )


@checks.add("One build of GeoIP and one release of user-agent rules enriched the whole hour.", severity=WARN)
def one_version(evidence: Evidence) -> Findings:
    return each(
        evidence.clicks,
        lambda hour: Finding(
            len(hour.versions) <= 1,
            "; ".join(f"{rows} rows by {version}" for version, rows in sorted(hour.versions.items()))
            or "no enriched rows",
            {"versions": len(hour.versions)},
        ),
    )


@checks.add(
    "The shares of rows without a country, and with the browser `Other`, are not unusually high.", severity=WARN
)
def clients_known(evidence: Evidence) -> Findings:
    limits = evidence.limits
    return each(
        evidence.clicks,
        lambda hour: both(
            share(hour.unknown_country, hour.enriched, limits.warn_unknown_country_share, "have no country"),
            share(hour.other_browser, hour.enriched, limits.warn_other_browser_share, "have browser `Other`"),
        ),
    )
