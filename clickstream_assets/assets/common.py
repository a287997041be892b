"""What all hourly assets share: partitions, one run for any list of hours, one writer at a time."""

from typing import Any

import dagster as dg

from clickstream_assets.partitions import hourly

GROUP = "clickstream"
OWNERS = ["team:data-engineering"]


def hourly_asset(name: str) -> dict[str, Any]:
    """Arguments of ``@dg.asset`` that make an asset hourly: one run for many hours, one run at a time."""
    return {
        "name": name,
        "group_name": GROUP,
        "owners": OWNERS,
        "partitions_def": hourly,
        "backfill_policy": dg.BackfillPolicy.single_run(),
        "pool": name,
    }
