"""Checks on ``clickstream_topic``: nothing is lost before it is read, and no log was cut back behind what was read."""

from collections.abc import Mapping, Sequence
from time import time
from typing import TYPE_CHECKING

import dagster as dg

from clickstream_assets.checks.evidence import Finding
from clickstream_assets.stores.hbase.resource import HBaseResource
from clickstream_assets.stores.kafka.resource import KafkaResource

if TYPE_CHECKING:
    from clickstream_assets.books.log_cuts import Cut

ASSET = dg.AssetKey("clickstream_topic")
CUT_SHOWN_DAYS = 3
"""A cut is over as soon as it is booked: nothing is left to be mended by us. So long it is told: over a weekend."""


NOTHING_LOST_UNREAD, NO_LOG_CUT_BACK = (
    dg.AssetCheckKey(ASSET, name) for name in ("nothing_lost_unread", "no_log_cut_back")
)


@dg.asset_check(
    asset=ASSET,
    name=NOTHING_LOST_UNREAD.name,
    description="Kafka still holds every offset that has not been read: retention has not overtaken ingestion. Looked "
    "at by the sensor `kafka_offsets`, and once an hour.",
)
def nothing_lost_unread(kafka: KafkaResource, hbase: HBaseResource) -> dg.AssetCheckResult:
    from clickstream_assets.books.resumption import resumption

    with kafka.client() as topic, hbase.books() as books:
        ends = topic.ends(topic.partitions())
        reading = resumption(topic, books, ends)
    finding = unread(reading.begins, reading.earliest, ends)
    return dg.AssetCheckResult(passed=finding.passed, description=finding.words, metadata=finding.figures)


def unread(reading_from: Mapping[int, int], earliest: Mapping[int, int], ends: Mapping[int, int]) -> Finding:
    """By partition the offset at which reading goes on, against the first and the last that Kafka holds."""
    lost = {p: earliest[p] - at for p, at in reading_from.items() if at < earliest[p]}
    words = "; ".join(f"partition {p}: {count} offsets" for p, count in sorted(lost.items()))
    return Finding(
        passed=not lost,
        words=f"lost to retention before they were read: {words}" if lost else "every unread offset is still there",
        figures={"lost": sum(lost.values()), "unread": sum(max(0, ends[p] - at) for p, at in reading_from.items())},
    )


def evaluation(key: dg.AssetCheckKey, finding: Finding) -> dg.AssetCheckEvaluation:
    """What was found outside of the check's own step: by the sensor, or by the run that booked a cut.

    Dagster shows a check's result as long as its asset was not materialized since by another run. The topic is
    materialized by the sensor, whenever producers have written to it; so it takes the sensor's own word to stay.
    """
    return dg.AssetCheckEvaluation(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=finding.passed,
        description=finding.words,
        metadata=dict(finding.figures),
    )


@dg.asset_check(
    asset=ASSET,
    name=NO_LOG_CUT_BACK.name,
    description="No partition's log ended before what had been read of it, under the same topic id: after an unclean "
    "leader election, or when Kafka came back with older files. Kafka then gives offsets out again. Fails for "
    f"{CUT_SHOWN_DAYS} days after it was noticed.",
)
def no_log_cut_back(kafka: KafkaResource, hbase: HBaseResource) -> dg.AssetCheckResult:
    from clickstream_assets.books.resumption import resumption

    with kafka.client() as topic, hbase.books() as books:
        reading = resumption(topic, books, topic.ends(topic.partitions()))
    finding = cut_back([*reading.cuts, *reading.unbooked], int(time() * 1000))
    return dg.AssetCheckResult(passed=finding.passed, description=finding.words, metadata=finding.figures)


def cut_back(cuts: "Sequence[Cut]", now_ms: int) -> Finding:
    """Whether all cuts are as long ago as they are told of, the sentence that says so, and all of them in a table."""
    fresh = [cut for cut in cuts if now_ms - cut.noticed_ms < CUT_SHOWN_DAYS * 86_400_000]
    sentences = "; ".join(cut.in_words() for cut in sorted(fresh, key=lambda cut: cut.noticed_ms, reverse=True))
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
    figures = {"cuts": dg.MetadataValue.table(rows)} if rows else {}
    return Finding(not fresh, sentences or f"no log was cut back in the last {CUT_SHOWN_DAYS} days", figures)
