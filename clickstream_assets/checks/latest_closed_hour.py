"""A check on every hourly asset: an hour that has closed is present, be it empty.

It looks at the hours of each run, and at the latest closed one once an hour by a schedule of its own: so it fails too
when nothing else runs.
"""

from collections.abc import Mapping, Sequence
from time import time
from typing import TYPE_CHECKING

import dagster as dg

from clickstream_assets.checks.clickstream_topic import no_log_cut_back, nothing_lost_unread
from clickstream_assets.checks.reporting import Finding, Findings, HourCheck, Reported, record, report
from clickstream_assets.domain.hours import HOUR_MS, key_of_hour
from clickstream_assets.partitions import hourly, hours_of, tags_of
from clickstream_assets.resources.hbase import HBaseResource

if TYPE_CHECKING:
    from clickstream_assets.domain.stale_hours import HourState

GRACE_MINUTES = 10
"""Time for the run that does an hour that has just closed."""
ASSETS = ("raw_clicks", "dead_letters", "enriched_clicks", "url_country_metrics", "es_index")
CHECK = HourCheck(
    "latest_closed_hour",
    f"The hour, once it has been closed for {GRACE_MINUTES} minutes, is present with all that was ingested for it. "
    "Looked at in each run, and once an hour for the latest such hour.",
)


def latest_closed_hour(now: float) -> int:
    """The latest hour that closed the time of grace ago or earlier. ``now`` in seconds since the epoch."""
    return (int(now * 1000) - GRACE_MINUTES * 60_000) // HOUR_MS - 1


def findings(asset: str, hours: Sequence[int], hbase: HBaseResource) -> Mapping[str, Findings]:
    """Ask the books how far an asset is with each hour."""
    from clickstream_assets.domain.stale_hours import HourStates
    from clickstream_assets.domain.table_schemas import LEDGER

    closed = latest_closed_hour(time())
    with hbase.client() as client:
        states = HourStates(client, hbase.table(LEDGER.name)).read(hours)
    return {CHECK.name: {hour: presence(asset, hour, state, closed) for hour, state in states.items()}}


@dg.multi_asset_check(name="check_latest_closed_hour", specs=[CHECK.spec(asset) for asset in ASSETS], can_subset=True)
def check_latest_closed_hour(context: dg.AssetCheckExecutionContext, hbase: HBaseResource) -> Reported:
    """Look at the hours of the run, asset by asset."""
    for asset in sorted({key.asset_key.to_user_string() for key in context.selected_asset_check_keys}):
        yield from report(context, asset, [CHECK], findings(asset, hours_of(context), hbase))


def evaluate(context: dg.AssetExecutionContext, asset: str, hbase: HBaseResource) -> None:
    """Look at the hours that the asset's own step has just done."""
    record(context, asset, [CHECK], lambda: findings(asset, hours_of(context), hbase))


def presence(asset: str, hour: int, state: "HourState", closed: int) -> Finding:
    """Whether ``asset`` has the hour as it was last touched; nothing is asked of hours after ``closed``."""
    from clickstream_assets.domain.stale_hours import STEPS

    mark = getattr(state, STEPS["raw_clicks" if asset == "dead_letters" else asset])
    words = f"{key_of_hour(hour)} was touched {state.touched} times; {asset} is as of touch {mark}"
    if hour > closed:
        words += f". It has not been closed for {GRACE_MINUTES} minutes yet"
    elif not state.touched:
        words = f"{key_of_hour(hour)} was never ingested, not even as an empty hour"
    passed = hour > closed or mark == state.touched > 0
    return Finding(passed, words, {"touched": state.touched, "mark": mark})


clickstream_now = dg.define_asset_job(
    "clickstream_now",
    selection=dg.AssetSelection.checks(
        *nothing_lost_unread.check_keys, *no_log_cut_back.check_keys, *(CHECK.spec(asset).key for asset in ASSETS)
    ),
    description="The checks that are about now: is the latest closed hour present, is anything lost unread, was a log "
    "cut back?",
)


@dg.schedule(
    job=clickstream_now,
    cron_schedule=f"{GRACE_MINUTES + 1} * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Looks once an hour whether the hour that has just closed is present, and nothing is lost unread.",
)
def hourly_look(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Ask for the latest closed hour."""
    hour = latest_closed_hour(context.scheduled_execution_time.timestamp())
    if not hourly.has_partition_key(key_of_hour(hour)):
        return dg.SkipReason(f"{key_of_hour(hour)} is before the first partition")
    return dg.RunRequest(tags=tags_of(hour, hour))
