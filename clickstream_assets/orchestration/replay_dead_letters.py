"""``replay_dead_letters``: dead letters decoded once more, after a fix in code or settings."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from clickstream_assets.events.hours import hour_of_key
from clickstream_assets.events.refusals import REASONS
from clickstream_assets.settings import Settings
from clickstream_assets.stores.hbase.resource import HBaseResource
from clickstream_assets.stores.kafka.resource import KafkaResource

if TYPE_CHECKING:
    from clickstream_assets.ingest.dead_letters import Selection
    from clickstream_assets.ingest.replay import ReplayReport

JOB = "replay_dead_letters"
OP = "replay"


class ReplayConfig(dg.Config):
    """Which dead letters are to be mended; all of them, if nothing is said."""

    reasons: list[str] = Field([], description=f"Reasons of refusal, of: {', '.join(REASONS)}. None named: all.")
    first: str | None = Field(None, description="First hour of Kafka records, like 2026-01-31-12:00.")
    end: str | None = Field(None, description="Hour behind the last one.")
    limit: int | None = Field(None, ge=1, description="At most so many, by topic id, Kafka partition and offset.")


@dg.op(
    name=OP,
    pool="raw_clicks",
    description="Decodes dead letters with the code and settings of now, under the coordinates they came with. What is "
    "refused no more becomes a row or a duplicate. Waits its turn behind runs that ingest.",
)
def replay(
    context: dg.OpExecutionContext,
    config: ReplayConfig,
    kafka: KafkaResource,
    hbase: HBaseResource,
    configured: dg.ResourceParam[Settings],
) -> None:
    from clickstream_assets.ingest.dead_letters import Selection

    if unknown := sorted(set(config.reasons) - set(REASONS)):
        raise dg.Failure(f"no such reason: {', '.join(unknown)}. There are: {', '.join(REASONS)}")
    wanted = Selection(
        frozenset(config.reasons),
        None if config.first is None else hour_of_key(config.first),
        None if config.end is None else hour_of_key(config.end),
        config.limit,
    )
    report = replayed(kafka, hbase, configured, wanted, context.run_id, context.log.info)
    context.log.info(report.in_words())
    context.log_event(dg.AssetObservation("dead_letters", description=report.in_words(), metadata=report.metadata()))


def replayed(
    kafka: KafkaResource,
    hbase: HBaseResource,
    configured: Settings,
    wanted: "Selection",
    run_id: str,
    tell: Callable[[str], None],
    *,
    dry_run: bool = False,
) -> "ReplayReport":
    """Mend the letters that are wanted; ``tell`` is given the report so far every few seconds."""
    from clickstream_assets.ingest.replay import Replay

    with kafka.client() as topic, hbase.books() as books:
        first_hour_ms, urls = configured.first_hour_ms, configured.url_rules
        replay = Replay(topic.topic, topic.topic_id(), books, first_hour_ms, run_id, urls, dry_run=dry_run)
        return replay.run(wanted, tell)


@dg.job(
    name=JOB,
    description="Mends dead letters after a fix in code or settings: see docs/runbook.md. The sensor `kafka_offsets` "
    "then computes the hours that got rows again.",
)
def replay_dead_letters() -> None:
    replay()
