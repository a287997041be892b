"""Checks on ``url_country_metrics``: the metrics add up, make sense, and are as many as is usual."""

from time import time

from clickstream_assets.checks.evidence import Evidence, Finding, Findings, share
from clickstream_assets.checks.hour_checks import HourChecks
from clickstream_assets.checks.partition_checks import WARN
from clickstream_assets.events.hours import HOUR_MS

checks = HourChecks("url_country_metrics")


@checks.add(
    "The clicks of the hour's metrics add up to its enriched events of a click type that are no bot's. Runs of the "
    "sensor compare the sums of their computation, all others count the whole hour; the audit computes it anew.",
    blocking=True,
    audited=True,
)
def clicks_add_up(evidence: Evidence) -> Findings:
    findings = {}
    for hour, (counts, enriched) in evidence.metrics.items():
        clicks = counts.clicks
        words = f"{clicks} clicks in the metrics, {enriched} in the enriched clicks"
        findings[hour] = Finding(clicks == enriched, words, {"clicks": clicks, "enriched_clicks": enriched})
    return findings


@checks.add(
    "In each metric: unique users and measured views are no more than clicks, time spent is at most 30 minutes for "
    "each measured view, and the average is their ratio. Runs of the sensor look at what changed, all others at all.",
    blocking=True,
)
def within_bounds(evidence: Evidence) -> Findings:
    findings = {}
    for hour, (counts, _) in evidence.metrics.items():
        wrong = counts.contradictions
        words = f"{len(wrong)} metrics contradict themselves; {'; '.join(wrong[:3])}" if wrong else "all make sense"
        findings[hour] = Finding(not wrong, words, {"contradictions": len(wrong)})
    return findings


@checks.add("The hour's metrics are not of unusually many distinct urls.", severity=WARN)
def few_urls(evidence: Evidence) -> Findings:
    most = evidence.limits.warn_urls
    return {
        hour: Finding(counts.urls <= most, f"{counts.urls} distinct urls (warns above {most})", {"urls": counts.urls})
        for hour, (counts, _) in evidence.metrics.items()
    }


@checks.add("The share of the hour's clicks on urls that do not count by name is not high.", severity=WARN)
def few_other_urls(evidence: Evidence) -> Findings:
    most = evidence.limits.warn_other_url_share
    return {
        hour: share(counts.other_clicks, counts.clicks, most, "are on urls that do not count by name")
        for hour, (counts, _) in evidence.metrics.items()
    }


@checks.add(
    "The hour has about as many clicks as the same hour of earlier weeks, or else as the hours before it.",
    severity=WARN,
)
def usual_volume(evidence: Evidence) -> Findings:
    from clickstream_assets.evidence.volume import compare, hours_before, same_hour_of_earlier_weeks

    open_hour = int(time() * 1000) // HOUR_MS
    others = {other for hour in evidence.hours for other in (*same_hour_of_earlier_weeks(hour), *hours_before(hour))}
    clicks = {hour: state.clicks for hour, state in evidence.books.hours.read({*evidence.hours, *others}).items()}
    return {
        hour: Finding(*compare(hour, clicks, open_hour, evidence.limits.warn_volume_factor)) for hour in evidence.hours
    }
