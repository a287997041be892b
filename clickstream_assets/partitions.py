"""The hourly partitions that all assets share, and the hours of a run."""

from collections.abc import Mapping

import dagster as dg

from clickstream_assets.events.days import day_of_key
from clickstream_assets.events.hours import KEY_FORMAT, hour_of_key, key_of_hour

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def hourly(first_hour: str) -> dg.HourlyPartitionsDefinition:
    """All hours from the first partition, spelled like its key, to the open one."""
    return dg.HourlyPartitionsDefinition(
        start_date=first_hour,
        fmt=KEY_FORMAT,
        timezone="UTC",
        # The open hour is written to. So is the next one, by a producer whose clock runs ahead (Kafka lets it by up to
        # an hour): its rows are stored, and wait for their partition to begin.
        end_offset=1,
    )


def daily(first_hour: str) -> dg.DailyPartitionsDefinition:
    """All days in UTC from the one of the first hour to the open one."""
    return dg.DailyPartitionsDefinition(start_date=first_hour[:10], timezone="UTC", end_offset=1)


def days_of(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> list[int]:
    """The days a run is to do, in days since the epoch."""
    return [day_of_key(key) for key in context.partition_keys]


def hours_of(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> list[int]:
    """The hours a run is to do, in hours since the epoch."""
    return [hour_of_key(key) for key in context.partition_keys]


def tags_of(first: int, last: int) -> dict[str, str]:
    """The tags of a run over the hours ``first`` to ``last``, both included, in hours since the epoch."""
    return {RANGE_START: key_of_hour(first), RANGE_END: key_of_hour(last)}


def hours_in(tags: Mapping[str, str]) -> range:
    """The hours that the tags of a run name; none where they name none."""
    if RANGE_START not in tags or RANGE_END not in tags:
        return range(0)
    return range(hour_of_key(tags[RANGE_START]), hour_of_key(tags[RANGE_END]) + 1)
