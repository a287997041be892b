"""``clickstream_topic``: where the clicks come from. Written by producers, not by Dagster."""

import dagster as dg

from clickstream_assets.assets.columns import described
from clickstream_assets.assets.common import GROUP, OWNERS
from clickstream_assets.settings import settings

clickstream_topic = dg.AssetSpec(
    "clickstream_topic",
    description="Kafka topic of click events, one UTF-8 JSON object a message. Producers write it; the sensor "
    "`kafka_offsets` watches its end offsets.",
    group_name=GROUP,
    owners=OWNERS,
    kinds={"kafka", "json"},
    metadata={
        "topic": settings().topic,
        "consumer_group": settings().consumer_group,
        **described("clickstream_topic"),
    },
)
