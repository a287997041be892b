"""The one hourly definition that all assets share."""

import dagster as dg

from clickstream_assets.domain.hours import KEY_FORMAT, hour_of_key, key_of_hour
from clickstream_assets.settings import settings

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"

hourly = dg.HourlyPartitionsDefinition(
    start_date=settings().first_hour,
    fmt=KEY_FORMAT,
    timezone="UTC",
    # The open hour is written to. So is the next one, by a producer whose clock runs ahead (Kafka lets it by up to an
    # hour): its rows are stored, and wait for their partition to begin.
    end_offset=1,
)


def hours_of(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> list[int]:
    """The hours a run is to do, in hours since the epoch."""
    return [hour_of_key(key) for key in context.partition_keys]


def tags_of(first: int, last: int) -> dict[str, str]:
    """The tags of a run over the hours ``first`` to ``last``, both included, in hours since the epoch."""
    return {RANGE_START: key_of_hour(first), RANGE_END: key_of_hour(last)}
