"""Checks on ``enriched_clicks``: nothing was left out, and what enrichment could tell."""

from clickstream_assets.checks.evidence import Evidence, Finding, Findings, both, share
from clickstream_assets.checks.hour_checks import HourChecks
from clickstream_assets.checks.partition_checks import WARN

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
    findings = {}
    for hour, counts in evidence.clicks.items():
        words = "; ".join(f"{rows} rows by {version}" for version, rows in sorted(counts.versions.items()))
        figures = {"versions": len(counts.versions)}
        findings[hour] = Finding(len(counts.versions) <= 1, words or "no enriched rows", figures)
    return findings


@checks.add(
    "The shares of rows without a country, and with the browser `Other`, are not unusually high.", severity=WARN
)
def clients_known(evidence: Evidence) -> Findings:
    limits = evidence.limits
    return {
        hour: both(
            share(counts.unknown_country, counts.enriched, limits.warn_unknown_country_share, "have no country"),
            share(counts.other_browser, counts.enriched, limits.warn_other_browser_share, "have browser `Other`"),
        )
        for hour, counts in evidence.clicks.items()
    }
