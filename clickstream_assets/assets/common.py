"""What all hourly assets share: partitions, one run for any list of hours, one writer at a time."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from clickstream_assets.assets.columns import described
from clickstream_assets.domain.hours import key_of_hour
from clickstream_assets.partitions import hourly

if TYPE_CHECKING:
    from clickstream_assets.domain.stale_hours import HourState

GROUP = "clickstream"
OWNERS = ["team:data-engineering"]


def hourly_asset(name: str) -> dict[str, Any]:
    """Arguments of ``@dg.asset`` that make an asset hourly: one run for many hours, one run at a time."""
    return {
        "name": name,
        "group_name": GROUP,
        "owners": OWNERS,
        "metadata": described(name),
        "partitions_def": hourly,
        "backfill_policy": dg.BackfillPolicy.single_run(),
        "pool": name,
    }


def free_hours(context: dg.AssetExecutionContext, asset: str, states: "Mapping[int, HourState]") -> list[int]:
    """The hours that no earlier asset's check holds; says which ones ``asset`` leaves as they are."""
    held = [hour for hour, state in states.items() if state.held_before(asset)]
    if held:
        keys = ", ".join(map(key_of_hour, held))
        context.log.warning(f"left as they are, because checks of earlier assets failed: {keys}")
    return [hour for hour in states if hour not in held]
