"""A check on every hourly asset: the latest closed hour is present, be it empty.

It is about now, not about the hours of a run; so it has a schedule of its own, and fails too when nothing else runs.
"""

from collections.abc import Iterator
from time import time

import dagster as dg

from clickstream_assets.checks.clickstream_topic import no_log_cut_back, nothing_lost_unread
from clickstream_assets.domain.hours import HOUR_MS, key_of_hour
from clickstream_assets.resources.hbase import HBaseResource

NAME = "latest_closed_hour"
GRACE_MINUTES = 10
"""Time for the run that does an hour that has just closed."""
ASSETS = ("raw_clicks", "dead_letters", "enriched_clicks", "url_country_metrics", "es_index")

SPECS = [
    dg.AssetCheckSpec(
        NAME,
        asset=asset,
        description=f"The latest hour that closed {GRACE_MINUTES} minutes ago or more is present in `{asset}`, "
        "with all that was ingested for it.",
    )
    for asset in ASSETS
]


@dg.multi_asset_check(name="check_latest_closed_hour", specs=SPECS, can_subset=True)
def check_latest_closed_hour(
    context: dg.AssetCheckExecutionContext, hbase: HBaseResource
) -> Iterator[dg.AssetCheckResult]:
    """Ask the books how far each asset is with that hour."""
    from clickstream_assets.domain.stale_hours import STEPS, HourStates
    from clickstream_assets.domain.table_schemas import LEDGER

    hour = (int(time() * 1000) - GRACE_MINUTES * 60_000) // HOUR_MS - 1
    with hbase.client() as client:
        state = HourStates(client, hbase.table(LEDGER.name)).read([hour])[hour]
    for key in context.selected_asset_check_keys:
        asset = key.asset_key.to_user_string()
        mark = getattr(state, STEPS["raw_clicks" if asset == "dead_letters" else asset])
        words = f"{key_of_hour(hour)} was touched {state.touched} times; {asset} is as of touch {mark}"
        yield dg.AssetCheckResult(
            passed=mark == state.touched > 0,
            asset_key=asset,
            check_name=NAME,
            description=words
            if state.touched
            else f"{key_of_hour(hour)} was never ingested, not even as an empty hour",
            metadata={"hour": key_of_hour(hour), "touched": state.touched, "mark": mark},
        )


clickstream_now = dg.define_asset_job(
    "clickstream_now",
    selection=dg.AssetSelection.checks(
        *nothing_lost_unread.check_keys, *no_log_cut_back.check_keys, *(spec.key for spec in SPECS)
    ),
    description="The checks that are about now: is the latest closed hour present, is anything lost unread, was a log "
    "cut back?",
)

hourly_look = dg.ScheduleDefinition(
    name="hourly_look",
    job=clickstream_now,
    cron_schedule=f"{GRACE_MINUTES + 1} * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Looks once an hour whether the hour that has just closed is present, and nothing is lost unread.",
)
