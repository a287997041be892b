"""Checks on ``raw_clicks``: the books balance, nothing was skipped, little was refused, late, doubled or misdated."""

from clickstream_assets.checks.evidence import Evidence, Finding, Findings, share
from clickstream_assets.checks.hour_checks import HourChecks
from clickstream_assets.checks.partition_checks import WARN

checks = HourChecks("raw_clicks", is_first=True)
_REBUILD = "heal it with `clickstream rebuild`"


@checks.add(
    "For every offset range that touched the hour, read = kept + duplicates + dead-lettered; the rows in HBase are the "
    "sum of what the ledger kept. Runs of the sensor look at their own ranges, all others at the whole hour.",
    blocking=True,
)
def books_balance(evidence: Evidence) -> Findings:
    findings = {}
    for hour, rows in evidence.rows.items():
        parts = evidence.looked_at(hour)
        kept = sum(part.counts.kept for part in parts)
        entries = [evidence.entries[part] for part in parts]
        off = sum(entry is not None and not entry.balances for entry in entries)
        gone = entries.count(None)
        words = (
            f"{evidence.extent(hour)}: {rows} rows in HBase, {kept} in the ledger; of {len(entries)} offset ranges "
            f"{off} do not balance, {gone} have lost their ledger row"
        )
        passed = rows == kept and not off and not gone
        figures = {"rows": rows, "rows_in_ledger": kept, "unbalanced_ranges": off, "lost_ranges": gone}
        findings[hour] = Finding(passed, words if passed else f"{words}: {_REBUILD}", figures)
    return findings


@checks.add(
    "Behind every offset range that touched the hour the ledger goes on without a gap; offsets without a record and "
    "those lost to retention have entries of their own."
)
def offsets_complete(evidence: Evidence) -> Findings:
    alone = evidence.books.ledger.not_followed(entry for entry in evidence.entries.values() if entry)
    gaps = {entry.offsets for entry in alone}
    findings = {}
    for hour in evidence.hours:
        parts = evidence.looked_at(hour)
        entries = [entry for part in parts if (entry := evidence.entries[part])]
        gone = len(parts) - len(entries)
        broken = sorted({entry.offsets for entry in entries} & gaps)
        missing = ", ".join(f"partition {offsets.partition} from offset {offsets.end}" for offsets in broken)
        words = f"{len(entries)} ranges, {gone} more without their ledger row; not booked: {missing or 'nothing'}"
        passed = not broken and not gone
        figures = {"ranges": len(entries), "gaps": len(broken)}
        findings[hour] = Finding(passed, words if passed else f"{words}: {_REBUILD}", figures)
    return findings


@checks.add("The share of the hour's messages that was refused is not unusually high.", severity=WARN)
def few_dead_letters(evidence: Evidence) -> Findings:
    most = evidence.limits.warn_dead_letter_share
    return {
        hour: share(counts.dead_lettered, counts.dead_lettered + counts.kept, most, "were refused")
        for hour, counts in evidence.counts.items()
    }


@checks.add("Of many events in the hour some are of a type that counts as a click.", severity=WARN)
def has_clicks(evidence: Evidence) -> Findings:
    most = evidence.limits.warn_events_without_clicks
    findings = {}
    for hour, counts in evidence.counts.items():
        clicks = counts.kept - counts.other_types
        words = f"{clicks} of {counts.kept} events are of a click type (warns where none of more than {most} is)"
        findings[hour] = Finding(
            counts.kept <= most or clicks > 0, words, {"events": counts.kept, "of a click type": clicks}
        )
    return findings


@checks.add(
    "The share of duplicates among the hour's messages is not high. A duplicate counts in the hour of its Kafka "
    "record, whatever the event's: that is when a producer sent it once more.",
    severity=WARN,
)
def few_duplicates(evidence: Evidence) -> Findings:
    most = evidence.limits.warn_duplicate_share
    return {
        hour: share(counts.duplicates, counts.duplicates + counts.kept, most, "are duplicates")
        for hour, counts in evidence.counts.items()
    }


@checks.add("The share of the hour's events whose clock was off by over an hour is not high.", severity=WARN)
def clocks_near(evidence: Evidence) -> Findings:
    most, words = evidence.limits.warn_corrected_clock_share, "have a clock that was off by over an hour"
    return {hour: share(counts.corrected, counts.kept, most, words) for hour, counts in evidence.counts.items()}


@checks.add("The share of the hour's events that came over 10 minutes after its end is not high.", severity=WARN)
def few_late(evidence: Evidence) -> Findings:
    most = evidence.limits.warn_late_share
    return {hour: share(counts.late, counts.kept, most, "came late") for hour, counts in evidence.counts.items()}
