"""Checks on ``raw_clicks`` and ``dead_letters``: the books balance."""

import dagster as dg

from clickstream_assets.checks.reporting import Finding, report
from clickstream_assets.domain.hours import HOUR_MS
from clickstream_assets.partitions import hourly, hours_of
from clickstream_assets.resources.hbase import HBaseResource
from clickstream_assets.settings import settings


@dg.asset_check(
    asset="raw_clicks",
    name="books_balance",
    partitions_def=hourly,
    description="For every offset range that touched the hour, read = kept + duplicates + dead-lettered; the hour's "
    "rows in HBase are the sum of what the ledger kept, its dead letters the sum of what the ledger refused.",
)
def books_balance(context: dg.AssetCheckExecutionContext, hbase: HBaseResource) -> dg.AssetCheckResult:
    """Compare the ledger with the tables."""
    from clickstream_assets.domain.hour_counts import count_letters, count_rows
    from clickstream_assets.domain.ledger import Ledger
    from clickstream_assets.domain.table_schemas import CLICKS, DEAD_LETTERS, LEDGER

    first_hour = settings().first_hour_ms // HOUR_MS
    findings = {}
    with hbase.client() as client:
        ledger = Ledger(client, hbase.table(LEDGER.name))
        rows = count_rows(client, hbase.table(CLICKS.name), hours_of(context))
        for hour, stored in rows.items():
            shares = ledger.shares(hour)
            kept, refused = sum(share.kept for share in shares), sum(share.dead_lettered for share in shares)
            letters = count_letters(client, hbase.table(DEAD_LETTERS.name), ledger, hour, first_hour)
            entries = [ledger.at(share) for share in shares]
            off = sum(entry is not None and not entry.balances for entry in entries)
            gone = entries.count(None)
            findings[hour] = Finding(
                passed=stored == kept and letters == refused and not off and not gone,
                words=f"{stored} rows in HBase, {kept} in the ledger; {letters} dead letters in HBase, {refused} in "
                f"the ledger; of {len(shares)} offset ranges {off} do not balance, {gone} have lost their ledger row",
                figures={
                    "rows": stored,
                    "rows_in_ledger": kept,
                    "dead_letters": letters,
                    "unbalanced_ranges": off,
                    "lost_ranges": gone,
                },
            )
    return report(context, "raw_clicks", "books_balance", findings)
