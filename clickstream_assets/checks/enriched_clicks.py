"""Checks on ``enriched_clicks``: nothing was left out, and what enrichment could tell."""

from clickstream_assets.checks.evidence import Evidence
from clickstream_assets.checks.findings import Finding, Findings, both, each, share
from clickstream_assets.checks.hour_checks import WARN, HourChecks

checks = HourChecks("enriched_clicks")


@checks.add(
    "Every row has country, city, browser, os and device, and the versions that gave them. Runs of the sensor look at "
    "the rows that they enriched, all others at the whole hour; the audit enriches it anew and compares.",
    blocking=True,
    audited=True,
)
def every_row_enriched(evidence: Evidence) -> Findings:
    return {
        hour: Finding(
            counts.enriched == counts.rows,
            f"{evidence.extent(hour)}: {counts.enriched} of {counts.rows} rows are enriched",
            {"rows": counts.rows, "enriched": counts.enriched},
        )
        for hour, counts in evidence.clicks.items()
    }


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
