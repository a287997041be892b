"""``clickstream_hours``, ``clickstream_checks`` and ``clickstream_now``: all assets, or their checks alone."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from clickstream_assets.assets.common import SENSOR_JOB
from clickstream_assets.checks import dead_letters, enriched_clicks, es_index, raw_clicks, url_country_metrics
from clickstream_assets.checks.clickstream_topic import NO_LOG_CUT_BACK, NOTHING_LOST_UNREAD
from clickstream_assets.checks.hour_checks import LATEST_CLOSED_HOUR
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

clickstream_now = dg.define_asset_job(
    "clickstream_now",
    selection=dg.AssetSelection.checks(
        NOTHING_LOST_UNREAD, NO_LOG_CUT_BACK, *(checks.key(LATEST_CLOSED_HOUR) for checks in CHECKS)
    ),
    description="The checks that are about now: is the latest closed hour present, is anything lost unread, was a log "
    "cut back?",
)


def clickstream_checks(settings: Settings) -> UnresolvedAssetJobDefinition:
    """All checks of hours, without materializing anything."""
    return dg.define_asset_job(
        "clickstream_checks",
        selection=dg.AssetSelection.checks(
            *(checks.key(name) for checks in CHECKS for name in checks.checks if name != LATEST_CLOSED_HOUR)
        ),
        partitions_def=hourly(settings.first_hour),
        description="Looks at hours and changes nothing but what is held back. Name the hours by the run's tags "
        "`dagster/asset_partition_range_start` and `dagster/asset_partition_range_end`.",
    )
