"""The one hourly definition that all assets share."""

import dagster as dg

from clickstream_assets.domain.hours import KEY_FORMAT, hour_of_key
from clickstream_assets.settings import settings

hourly = dg.HourlyPartitionsDefinition(
    start_date=settings().first_hour,
    fmt=KEY_FORMAT,
    timezone="UTC",
    # The open hour is written to, and so is the next one by a producer whose clock runs ahead (Kafka lets it
    # by up to an hour).
    end_offset=2,
)


def hours_of(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> list[int]:
    """The hours a run is to do, in hours since the epoch."""
    return [hour_of_key(key) for key in context.partition_keys]
