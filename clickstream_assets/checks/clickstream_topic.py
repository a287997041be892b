"""A check on ``clickstream_topic``: nothing is lost before it is read."""

from collections.abc import Mapping

import dagster as dg

from clickstream_assets.assets.clickstream_topic import clickstream_topic
from clickstream_assets.checks.reporting import Finding
from clickstream_assets.resources.hbase import HBaseResource
from clickstream_assets.resources.kafka import KafkaResource


@dg.asset_check(
    asset=clickstream_topic.key,
    name="nothing_lost_unread",
    description="Kafka still holds every offset that has not been read: retention has not overtaken ingestion. Looked "
    "at by the sensor `kafka_offsets`, and once an hour.",
)
def nothing_lost_unread(kafka: KafkaResource, hbase: HBaseResource) -> dg.AssetCheckResult:
    """Compare where reading goes on with where Kafka's log begins."""
    from clickstream_assets.domain.ingestion import begins
    from clickstream_assets.domain.ledger import Ledger
    from clickstream_assets.domain.table_schemas import LEDGER

    with kafka.client() as topic, hbase.client() as client:
        ends = topic.ends(topic.partitions())
        finding = unread(begins(topic, Ledger(client, hbase.table(LEDGER.name)), ends), topic.earliest(ends), ends)
    return dg.AssetCheckResult(passed=finding.passed, description=finding.words, metadata=finding.figures)


def unread(reading_from: Mapping[int, int], earliest: Mapping[int, int], ends: Mapping[int, int]) -> Finding:
    """By partition the offset at which reading goes on, against the first and the last that Kafka holds."""
    lost = {p: earliest[p] - at for p, at in reading_from.items() if at < earliest[p]}
    words = "; ".join(f"partition {p}: {count} offsets" for p, count in sorted(lost.items()))
    return Finding(
        passed=not lost,
        words=f"lost to retention before they were read: {words}" if lost else "every unread offset is still there",
        figures={"lost": sum(lost.values()), "unread": sum(ends[p] - at for p, at in reading_from.items())},
    )


def evaluation(finding: Finding) -> dg.AssetCheckEvaluation:
    """What the sensor found, outside of any run.

    Dagster shows a check's result as long as its asset was not materialized since by another run. The topic is
    materialized by the sensor, whenever producers have written to it; so it takes the sensor's own word to stay.
    """
    (key,) = nothing_lost_unread.check_keys
    return dg.AssetCheckEvaluation(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=finding.passed,
        description=finding.words,
        metadata=dict(finding.figures),
    )
