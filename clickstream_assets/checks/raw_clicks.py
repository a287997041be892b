"""Checks on ``raw_clicks``: the books balance, nothing was skipped, little was refused or late."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import dagster as dg

from clickstream_assets.checks import producers
from clickstream_assets.checks.reporting import (
    WARN,
    Finding,
    Findings,
    HourCheck,
    Reported,
    failed_by_hour,
    look,
    record,
    report,
    share,
)
from clickstream_assets.partitions import hours_of
from clickstream_assets.resources.hbase import HBaseResource
from clickstream_assets.settings import settings

if TYPE_CHECKING:
    from clickstream_assets.domain.ledger import HourShare

_Limit = TypeVar("_Limit", int, float)
ASSET = "raw_clicks"
CHECKS = (
    HourCheck(
        "books_balance",
        "For every offset range that touched the hour, read = kept + duplicates + dead-lettered; the hour's rows in "
        "HBase are the sum of what the ledger kept.",
        blocking=True,
    ),
    HourCheck(
        "offsets_complete",
        "Behind every offset range that touched the hour the ledger goes on without a gap; offsets without a record "
        "and those lost to retention have entries of their own.",
    ),
    HourCheck("few_dead_letters", "The share of the hour's messages that was refused is not unusually high.", WARN),
    HourCheck("has_clicks", "Of many events in the hour some are of a type that counts as a click.", WARN),
    HourCheck(
        "few_duplicates",
        "The share of duplicates among the hour's messages is not high. A duplicate counts in the hour of its Kafka "
        "record, whatever the event's.",
        WARN,
    ),
    HourCheck("clocks_near", "The share of the hour's events whose clock was off by over an hour is not high.", WARN),
    HourCheck("few_late", "The share of the hour's events that came over 10 minutes after its end is not high.", WARN),
)


def findings(hours: Sequence[int], hbase: HBaseResource) -> Mapping[str, Findings]:
    """Compare the ledger with the rows, and with itself."""
    from clickstream_assets.domain.hour_counts import count_rows
    from clickstream_assets.domain.ledger import Ledger
    from clickstream_assets.domain.stale_hours import HourStates
    from clickstream_assets.domain.table_schemas import CLICKS, LEDGER

    limits = settings()
    with hbase.client() as client:
        table = hbase.table(LEDGER.name)
        ledger, states = Ledger(client, table), HourStates(client, table)
        before = states.read(hours)
        shares = ledger.shares_by_hour(hours)
        entries = ledger.entries_of(part for hour in hours for part in shares[hour])

        def books_balance() -> Findings:
            findings = {}
            for hour, rows in count_rows(client, hbase.table(CLICKS.name), hours).items():
                kept = sum(part.kept for part in shares[hour])
                booked = [entries[part] for part in shares[hour]]
                off = sum(entry is not None and not entry.balances for entry in booked)
                gone = booked.count(None)
                findings[hour] = Finding(
                    rows == kept and not off and not gone,
                    f"{rows} rows in HBase, {kept} in the ledger; of {len(booked)} offset ranges {off} do not balance, "
                    f"{gone} have lost their ledger row",
                    {"rows": rows, "rows_in_ledger": kept, "unbalanced_ranges": off, "lost_ranges": gone},
                )
            return findings

        def offsets_complete() -> Findings:
            alone = ledger.not_followed(entry for entry in entries.values() if entry)
            gaps = {(entry.topic_id, entry.partition, entry.first): entry.end for entry in alone}
            findings = {}
            for hour in hours:
                here = [entry for part in shares[hour] if (entry := entries[part])]
                places = {(entry.topic_id, entry.partition, entry.first) for entry in here} & gaps.keys()
                gone = len(shares[hour]) - len(here)
                missing = ", ".join(f"partition {place[1]} from offset {gaps[place]}" for place in sorted(places))
                words = f"{len(here)} ranges, {gone} more without their ledger row; not booked: {missing or 'nothing'}"
                findings[hour] = Finding(not places and not gone, words, {"ranges": len(here), "gaps": len(places)})
            return findings

        def few_dead_letters() -> Findings:
            findings = {}
            for hour in hours:
                refused = sum(part.dead_lettered for part in shares[hour])
                whole = refused + sum(part.kept for part in shares[hour])
                findings[hour] = share(refused, whole, limits.warn_dead_letter_share, "were refused")
            return findings

        def few_late() -> Findings:
            return {
                hour: share(
                    sum(part.late for part in shares[hour]),
                    sum(part.kept for part in shares[hour]),
                    limits.warn_late_share,
                    "came late",
                )
                for hour in hours
            }

        def each(judge: "Callable[[list[HourShare], _Limit], Finding]", limit: _Limit) -> Findings:
            return {hour: judge(shares[hour], limit) for hour in hours}

        found = look(
            hours,
            {
                "books_balance": books_balance,
                "offsets_complete": offsets_complete,
                "few_dead_letters": few_dead_letters,
                "few_late": few_late,
                "has_clicks": lambda: each(producers.has_clicks, limits.warn_events_without_clicks),
                "few_duplicates": lambda: each(producers.few_duplicates, limits.warn_duplicate_share),
                "clocks_near": lambda: each(producers.clocks_near, limits.warn_corrected_clock_share),
            },
        )
        states.hold(ASSET, before, failed_by_hour(CHECKS, found))
    return found


@dg.multi_asset_check(name="check_raw_clicks", specs=[check.spec(ASSET) for check in CHECKS], can_subset=True)
def check_raw_clicks(context: dg.AssetCheckExecutionContext, hbase: HBaseResource) -> Reported:
    """Look at the hours of the run."""
    yield from report(context, ASSET, CHECKS, findings(hours_of(context), hbase))


def evaluate(context: dg.AssetExecutionContext, hbase: HBaseResource) -> None:
    """Look at the hours that the asset's own step has just done."""
    record(context, ASSET, CHECKS, lambda: findings(hours_of(context), hbase))
