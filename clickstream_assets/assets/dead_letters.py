"""``dead_letters``: what was refused. The step of ``raw_clicks`` writes it."""

import dagster as dg

from clickstream_assets.assets.columns import described
from clickstream_assets.assets.common import GROUP, HOURLY_FRESHNESS, OWNERS
from clickstream_assets.settings import Settings


def dead_letters(settings: Settings) -> dg.AssetSpec:
    return dg.AssetSpec(
        "dead_letters",
        deps=["clickstream_topic"],
        description="Refused messages in the HBase table `clickstream_dead_letters`: bytes, record time, reason and "
        "detail, by the hour of the Kafka record (the first partition for older ones).",
        group_name=GROUP,
        owners=OWNERS,
        kinds={"kafka", "hbase"},
        metadata=described("dead_letters", settings),
        freshness_policy=HOURLY_FRESHNESS,
    )
