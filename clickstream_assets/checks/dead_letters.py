"""Checks on ``dead_letters``: every refused message is there."""

from clickstream_assets.checks.evidence import Evidence, Finding, Findings
from clickstream_assets.checks.hour_checks import HourChecks
from clickstream_assets.events.hours import HOUR_MS

checks = HourChecks("dead_letters", is_first=True)


@checks.add(
    "The hour's dead letters in HBase are as many as the ledger says, counted by reason. Runs of the sensor look at "
    "their own offsets, all others at the whole hour."
)
def letters_match_ledger(evidence: Evidence) -> Findings:
    from clickstream_assets.evidence.hour_counts import count_letters

    # A replay that was killed leaves letters that the ledger has as mended.
    parts = (part for hour in evidence.hours for part in evidence.looked_at(hour))
    with_letters = (part for part in parts if part.counts.dead_lettered or part.counts.mended)
    ranges = {entry.offsets for part in with_letters if (entry := evidence.entries[part])}
    first_hour = evidence.limits.first_hour_ms // HOUR_MS
    findings = {}
    for hour, reasons in count_letters(evidence.books, ranges, evidence.hours, first_hour).items():
        booked = sum(part.counts.dead_lettered for part in evidence.looked_at(hour))
        by_reason = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        words = f"{evidence.extent(hour)}: {reasons.total()} dead letters in HBase, {booked} in the ledger"
        if by_reason:
            words += f": {by_reason}"
        if reasons.total() != booked:
            words += "; heal it with `clickstream rebuild`"
        findings[hour] = Finding(reasons.total() == booked, words, dict(reasons))
    return findings
