"""Checks on ``dead_letters``: every refused message is there."""

from collections.abc import Mapping, Sequence

import dagster as dg

from clickstream_assets.checks.reporting import Finding, Findings, HourCheck, Reported, look, record, report
from clickstream_assets.domain.hours import HOUR_MS
from clickstream_assets.partitions import hours_of
from clickstream_assets.resources.hbase import HBaseResource
from clickstream_assets.settings import settings

ASSET = "dead_letters"
CHECKS = (
    HourCheck(
        "letters_match_ledger",
        "The hour's dead letters in HBase are as many as the ledger says, counted by reason.",
    ),
)


def findings(hours: Sequence[int], hbase: HBaseResource) -> Mapping[str, Findings]:
    """Compare the dead letters with the ledger."""
    from clickstream_assets.domain.hour_counts import count_letters
    from clickstream_assets.domain.ledger import Ledger
    from clickstream_assets.domain.table_schemas import DEAD_LETTERS, LEDGER

    with hbase.client() as client:
        ledger = Ledger(client, hbase.table(LEDGER.name))
        shares = ledger.shares_by_hour(hours)

        def letters_match_ledger() -> Findings:
            # A replay that was killed leaves letters that the ledger has as mended.
            some = (part for parts in shares.values() for part in parts if part.dead_lettered or part.mended)
            entries = ledger.entries_of(some)
            first_hour = settings().first_hour_ms // HOUR_MS
            known = {(entry.topic_id, entry.partition, entry.first): entry for entry in entries.values() if entry}
            letters = count_letters(client, hbase.table(DEAD_LETTERS.name), known.values(), hours, first_hour)
            findings = {}
            for hour, reasons in letters.items():
                booked = sum(part.dead_lettered for part in shares[hour])
                by_reason = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
                words = f"{reasons.total()} dead letters in HBase, {booked} in the ledger"
                findings[hour] = Finding(
                    reasons.total() == booked, f"{words}: {by_reason}" if by_reason else words, dict(reasons)
                )
            return findings

        return look(hours, {"letters_match_ledger": letters_match_ledger})


@dg.multi_asset_check(name="check_dead_letters", specs=[check.spec(ASSET) for check in CHECKS], can_subset=True)
def check_dead_letters(context: dg.AssetCheckExecutionContext, hbase: HBaseResource) -> Reported:
    """Look at the hours of the run."""
    yield from report(context, ASSET, CHECKS, findings(hours_of(context), hbase))


def evaluate(context: dg.AssetExecutionContext, hbase: HBaseResource) -> None:
    """Look at the hours that the asset's own step has just done."""
    record(context, ASSET, CHECKS, lambda: findings(hours_of(context), hbase))
