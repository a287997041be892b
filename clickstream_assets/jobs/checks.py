"""``clickstream_checks``: all checks of hours, without materializing anything."""

import dagster as dg

from clickstream_assets.checks import dead_letters, enriched_clicks, es_index, raw_clicks, url_country_metrics
from clickstream_assets.partitions import hourly

_MODULES = (raw_clicks, dead_letters, enriched_clicks, url_country_metrics, es_index)

clickstream_checks = dg.define_asset_job(
    "clickstream_checks",
    selection=dg.AssetSelection.checks(*(check.spec(part.ASSET).key for part in _MODULES for check in part.CHECKS)),
    partitions_def=hourly,
    description="Looks at hours and changes nothing but what is held back. Name the hours by the run's tags "
    "`dagster/asset_partition_range_start` and `dagster/asset_partition_range_end`.",
)
