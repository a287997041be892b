"""What all hourly assets share: partitions, one run for any list of hours, one writer at a time."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from clickstream_assets.assets.columns import described
from clickstream_assets.automation import follows_hand_made_hours
from clickstream_assets.domain.hours import key_of_hour
from clickstream_assets.partitions import hourly

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from clickstream_assets.clients.hbase import HBaseClient
    from clickstream_assets.domain.stale_hours import HourState
    from clickstream_assets.resources.hbase import HBaseResource

GROUP = "clickstream"
OWNERS = ["team:data-engineering"]

HOURLY_FRESHNESS = dg.FreshnessPolicy.time_window(
    warn_window=timedelta(hours=2, minutes=15), fail_window=timedelta(hours=4)
)
"""An hour is written when events reach it, or when it has closed without any. So the longest rest is an hour with
events in its first moments only, then one without: two hours. A warning says that the sensor is late, a failure that
two closed hours were passed over. See docs/decisions/0008-freshness-lag-and-alerts.md."""

TOPIC_FRESHNESS = dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=1), fail_window=timedelta(hours=6))
"""Producers that are silent for an hour are worth a look; for six, something is broken, at night too."""


def hourly_asset(name: str) -> dict[str, Any]:
    """Arguments of ``@dg.asset`` that make an asset hourly and let it follow what is materialized by hand.

    One run does many hours, and one run at a time.
    """
    return {
        "name": name,
        "group_name": GROUP,
        "owners": OWNERS,
        "metadata": described(name),
        "partitions_def": hourly,
        "backfill_policy": dg.BackfillPolicy.single_run(),
        "pool": name,
        "freshness_policy": HOURLY_FRESHNESS,
        "automation_condition": follows_hand_made_hours(),
    }


def free_hours(context: dg.AssetExecutionContext, asset: str, states: "Mapping[int, HourState]") -> list[int]:
    """The hours that no earlier asset's check holds; says which ones ``asset`` leaves as they are."""
    held = [hour for hour, state in states.items() if state.held_before(asset)]
    if held:
        keys = ", ".join(map(key_of_hour, held))
        context.log.warning(f"left as they are, because checks of earlier assets failed: {keys}")
    return [hour for hour in states if hour not in held]


def tasks_of(hours: Iterable[int], hbase: "HBaseResource", client: "HBaseClient") -> "list[list[tuple[bytes, bytes]]]":
    """The key ranges that each Spark task scans, for the clicks of some hours and of those that follow.

    Time spent looks into the following hour.
    """
    from clickstream_assets.domain.ledger import Ledger
    from clickstream_assets.domain.row_keys import scan_tasks
    from clickstream_assets.domain.table_schemas import LEDGER

    read = {following for hour in hours for following in (hour, hour + 1)}
    return scan_tasks(read, Ledger(client, hbase.table(LEDGER.name)).rows(read))


def clicks_of(
    hours: Iterable[int], hbase: "HBaseResource", client: "HBaseClient", spark: "SparkSession"
) -> "DataFrame":
    """What metrics are computed from: the clicks of some hours and of the ones that follow."""
    from clickstream_assets.domain.metrics import INPUT
    from clickstream_assets.domain.table_schemas import CLICKS

    return hbase.read(spark, CLICKS, INPUT, tasks_of(hours, hbase, client))
