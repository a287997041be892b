"""Checks on ``clickstream_topic``: nothing is lost before it is read, and no log was cut back behind what was read."""

from collections.abc import Mapping, Sequence
from time import time
from typing import TYPE_CHECKING

import dagster as dg

from clickstream_assets.assets.clickstream_topic import clickstream_topic
from clickstream_assets.checks.reporting import Finding
from clickstream_assets.resources.hbase import HBaseResource
from clickstream_assets.resources.kafka import KafkaResource

if TYPE_CHECKING:
    from clickstream_assets.domain.log_cuts import Cut
    from clickstream_assets.domain.resumption import Resumption

CUT_SHOWN_DAYS = 3
"""A cut is over as soon as it is booked: nothing is left to be mended by us. So long it is told: over a weekend."""


@dg.asset_check(
    asset=clickstream_topic.key,
    name="nothing_lost_unread",
    description="Kafka still holds every offset that has not been read: retention has not overtaken ingestion. Looked "
    "at by the sensor `kafka_offsets`, and once an hour.",
)
def nothing_lost_unread(kafka: KafkaResource, hbase: HBaseResource) -> dg.AssetCheckResult:
    """Compare where reading goes on with where Kafka's log begins."""
    from clickstream_assets.domain.resumption import resumption
    from clickstream_assets.domain.table_schemas import LEDGER

    with kafka.client() as topic, hbase.client() as client:
        ends = topic.ends(topic.partitions())
        whole = resumption(topic, client, hbase.table(LEDGER.name), ends)
    finding = unread(whole, ends)
    return dg.AssetCheckResult(passed=finding.passed, description=finding.words, metadata=finding.figures)


def unread(whole: "Resumption", ends: Mapping[int, int]) -> Finding:
    """Where reading goes on in each partition, against the first and the last offset that Kafka holds."""
    lost = {p: whole.earliest[p] - at for p, at in whole.begins.items() if at < whole.earliest[p]}
    words = "; ".join(f"partition {p}: {count} offsets" for p, count in sorted(lost.items()))
    return Finding(
        passed=not lost,
        words=f"lost to retention before they were read: {words}" if lost else "every unread offset is still there",
        figures={"lost": sum(lost.values()), "unread": whole.lag(ends)},
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


@dg.asset_check(
    asset=clickstream_topic.key,
    name="no_log_cut_back",
    description="No partition's log ended before what had been read of it, under the same topic id: after an unclean "
    "leader election, or when Kafka came back with older files. Kafka then gives offsets out again. Fails for "
    f"{CUT_SHOWN_DAYS} days after it was noticed.",
)
def no_log_cut_back(kafka: KafkaResource, hbase: HBaseResource) -> dg.AssetCheckResult:
    """Look at what is booked, and for what is not yet."""
    from clickstream_assets.domain.resumption import resumption
    from clickstream_assets.domain.table_schemas import LEDGER

    with kafka.client() as topic, hbase.client() as client:
        found = resumption(topic, client, hbase.table(LEDGER.name), topic.ends(topic.partitions()))
    cuts = [*found.cuts, *found.unbooked]
    passed, description, metadata = cuts_in_words(cuts, int(time() * 1000))
    return dg.AssetCheckResult(passed=passed, description=description, metadata=metadata)


def evaluation_of_cuts(cuts: "Sequence[Cut]", now_ms: int) -> dg.AssetCheckEvaluation:
    """What the sensor says of all cuts, and a run of those it has just booked: nobody waits for the check's turn."""
    passed, description, metadata = cuts_in_words(cuts, now_ms)
    (key,) = no_log_cut_back.check_keys
    return dg.AssetCheckEvaluation(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=passed,
        description=description,
        metadata=metadata,
        severity=dg.AssetCheckSeverity.ERROR,
    )


def cuts_in_words(cuts: "Sequence[Cut]", now_ms: int) -> tuple[bool, str, dict[str, dg.MetadataValue]]:
    """Whether all cuts are as long ago as they are told of, the sentence that says so, and all of them in a table."""
    fresh = [cut for cut in cuts if now_ms - cut.noticed_ms < CUT_SHOWN_DAYS * 86_400_000]
    told = "; ".join(cut.in_words() for cut in sorted(fresh, key=lambda cut: cut.noticed_ms, reverse=True))
    rows = [
        dg.TableRecord(
            {
                "partition": cut.partition,
                "generation": cut.generation,
                "cut_back_from": cut.read_to,
                "to": cut.at,
                "booked_by_run": cut.run_id,
            }
        )
        for cut in cuts
    ]
    metadata: dict[str, dg.MetadataValue] = {"cuts": dg.MetadataValue.table(rows)} if rows else {}
    return not fresh, told or f"no log was cut back in the last {CUT_SHOWN_DAYS} days", metadata
