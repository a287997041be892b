"""The jobs over hours: all assets, or their checks alone."""

import dagster as dg

from clickstream_assets.assets.common import SENSOR_JOB
from clickstream_assets.checks import dead_letters, enriched_clicks, es_index, raw_clicks, url_country_metrics
from clickstream_assets.checks.clickstream_topic import NO_LOG_CUT_BACK, NOTHING_LOST_UNREAD
from clickstream_assets.checks.hour_checks import AUDIT_JOB, LATEST_CLOSED_HOUR, NOW_JOB
from clickstream_assets.dagster_internals import UnresolvedAssetJobDefinition
from clickstream_assets.partitions import hourly
from clickstream_assets.settings import Settings

CHECKS = tuple(module.checks for module in (raw_clicks, dead_letters, enriched_clicks, url_country_metrics, es_index))
"""Of the hourly assets, in their order."""
HOURLY_ASSETS = tuple(checks.asset for checks in CHECKS)

clickstream_hours = dg.define_asset_job(
    SENSOR_JOB,
    # Each asset's step looks at its checks behind its own materialization.
    selection=dg.AssetSelection.assets(*HOURLY_ASSETS).without_checks(),
    description="New offsets, or stale hours, through all the assets. The sensor `kafka_offsets` runs it.",
)


def clickstream_now(settings: Settings) -> UnresolvedAssetJobDefinition:
    """Checks of the topic, and all of the hour that has just closed."""
    return dg.define_asset_job(
        NOW_JOB,
        selection=dg.AssetSelection.checks(NOTHING_LOST_UNREAD, NO_LOG_CUT_BACK, *_keys()),
        partitions_def=hourly(settings.first_hour),
        description="The checks that are about now: is anything lost unread, was a log cut back? Is the latest closed "
        "hour present, and all right from end to end?",
    )


def clickstream_audit(settings: Settings) -> UnresolvedAssetJobDefinition:
    """All checks of hours, each compared with what computing it again would give."""
    return dg.define_asset_job(
        AUDIT_JOB,
        selection=dg.AssetSelection.checks(*_keys()),
        partitions_def=hourly(settings.first_hour),
        description="Computes hours again from the layer below each asset and compares, record by record: what a hand "
        "has changed or deleted is named, and the sensor heals it. Names the hours as `clickstream_checks` does.",
    )


def _keys(*but: str) -> list[dg.AssetCheckKey]:
    return [checks.key(name) for checks in CHECKS for name in checks.checks if name not in but]


def clickstream_checks(settings: Settings) -> UnresolvedAssetJobDefinition:
    """All checks of hours, without materializing anything."""
    return dg.define_asset_job(
        "clickstream_checks",
        selection=dg.AssetSelection.checks(*_keys(LATEST_CLOSED_HOUR)),
        partitions_def=hourly(settings.first_hour),
        description="Looks at hours and changes nothing but what is held back. Name the hours by the run's tags "
        "`dagster/asset_partition_range_start` and `dagster/asset_partition_range_end`.",
    )
