"""A check on ``clickstream_topic``: nothing is lost before it is read."""

import dagster as dg

from clickstream_assets.resources.hbase import HBaseResource
from clickstream_assets.resources.kafka import KafkaResource


@dg.asset_check(
    asset="clickstream_topic",
    name="nothing_lost_unread",
    description="Kafka still holds every offset that has not been read: retention has not overtaken ingestion.",
)
def nothing_lost_unread(kafka: KafkaResource, hbase: HBaseResource) -> dg.AssetCheckResult:
    """Compare where reading goes on with where Kafka's log begins."""
    from clickstream_assets.domain.ingestion import begins
    from clickstream_assets.domain.ledger import Ledger
    from clickstream_assets.domain.table_schemas import LEDGER

    with kafka.client() as topic, hbase.client() as client:
        ends = topic.ends(topic.partitions())
        earliest = topic.earliest(ends)
        reading = begins(topic, Ledger(client, hbase.table(LEDGER.name)), ends)
    lost = {p: earliest[p] - at for p, at in reading.items() if at < earliest[p]}
    words = "; ".join(f"partition {p}: {count} offsets" for p, count in sorted(lost.items()))
    return dg.AssetCheckResult(
        passed=not lost,
        description=f"lost to retention before they were read: {words}"
        if lost
        else "every unread offset is still there",
        metadata={"lost": sum(lost.values()), "unread": sum(ends[p] - at for p, at in reading.items())},
    )
