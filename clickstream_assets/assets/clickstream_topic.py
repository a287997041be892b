"""``clickstream_topic``: where the clicks come from. Written by producers, not by Dagster."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from clickstream_assets.assets.at_a_glance import table
from clickstream_assets.assets.column_schema import described
from clickstream_assets.assets.common import GROUP, OWNERS, TOPIC_FRESHNESS, tags_of_asset
from clickstream_assets.checks.clickstream_topic import ASSET
from clickstream_assets.events.hours import rfc3339
from clickstream_assets.settings import Settings

if TYPE_CHECKING:
    from clickstream_assets.books.resumption import PartitionProgress


def clickstream_topic(settings: Settings) -> dg.AssetSpec:
    return dg.AssetSpec(
        ASSET,
        description="Kafka topic of click events, one UTF-8 JSON object a message. Producers write it; the sensor "
        "`kafka_offsets` watches its end offsets and observes how far ingestion is.",
        group_name=GROUP,
        owners=OWNERS,
        tags=tags_of_asset("clickstream_topic"),
        kinds={"kafka", "json"},
        metadata={
            "topic": settings.topic,
            "consumer_group": settings.consumer_group,
            **described("clickstream_topic", settings),
        },
        freshness_policy=TOPIC_FRESHNESS,
    )


TopicEvent = dg.AssetObservation | dg.AssetMaterialization


def freshness(written: int) -> dg.AssetMaterialization:
    """The topic as materialized: producers have ``written`` so many offsets since it last was.

    Dagster's freshness knows materializations alone: the topic is fresh while producers write to it.
    """
    return dg.AssetMaterialization(ASSET, metadata={"new_offsets": written})


def observation(progress: "Sequence[PartitionProgress]", now_ms: int) -> dg.AssetObservation:
    """How far ingestion is: offsets, lag in events and in seconds, watermarks, by Kafka partition too."""
    marks = [p.watermark_ms for p in progress if p.watermark_ms is not None]
    waits = [seconds for p in progress if (seconds := p.lag_seconds(now_ms)) is not None]
    figures: dict[str, dg.MetadataValue] = {
        "lag_events": dg.MetadataValue.int(sum(p.lag for p in progress)),
        "end_offsets": dg.MetadataValue.int(sum(p.end for p in progress)),
        "partitions": table(_COLUMNS, (_figures(p, now_ms) for p in progress)),
    }
    if waits:
        figures["lag_seconds"] = dg.MetadataValue.float(max(waits))
    if marks:
        figures["watermark"] = dg.MetadataValue.timestamp(min(marks) / 1000)
    return dg.AssetObservation(ASSET, metadata=figures)


_COLUMNS = {
    **dict.fromkeys(("partition", "end", "committed", "lag_events"), "int"),
    "lag_seconds": "float",
    "watermark": "string",
}


def _figures(p: "PartitionProgress", now_ms: int) -> tuple[int | float | str | None, ...]:
    watermark = None if p.watermark_ms is None else rfc3339(p.watermark_ms)
    return p.partition, p.end, p.committed, p.lag, p.lag_seconds(now_ms), watermark
