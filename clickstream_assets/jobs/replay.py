"""``replay_dead_letters``: dead letters decoded once more, after a fix in code or settings."""

from time import monotonic

import dagster as dg
from pydantic import Field

from clickstream_assets.domain.click_event import REASONS
from clickstream_assets.domain.hours import hour_of_key
from clickstream_assets.resources.hbase import HBaseResource
from clickstream_assets.resources.kafka import KafkaResource
from clickstream_assets.settings import Settings

JOB = "replay_dead_letters"
OP = "replay"
_TELL_SECONDS = 5


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
    from clickstream_assets.domain.dead_letters import Replay, ReplayReport, Selection

    if unknown := sorted(set(config.reasons) - set(REASONS)):
        raise dg.Failure(f"no such reason: {', '.join(unknown)}. There are: {', '.join(REASONS)}")
    last_told = monotonic()

    def progress(so_far: ReplayReport) -> None:
        nonlocal last_told
        if monotonic() - last_told > _TELL_SECONDS:
            last_told = monotonic()
            context.log.info(f"So far: {so_far.in_words()}")

    wanted = Selection(
        frozenset(config.reasons),
        None if config.first is None else hour_of_key(config.first),
        None if config.end is None else hour_of_key(config.end),
        config.limit,
    )
    with kafka.client() as topic, hbase.books() as books:
        first_hour_ms, urls = configured.first_hour_ms, configured.url_rules
        mending = Replay(topic.topic, topic.topic_id(), books, first_hour_ms, context.run_id, urls)
        report = mending.run(wanted, progress)
    context.log.info(report.in_words())
    context.log_event(dg.AssetObservation("dead_letters", description=report.in_words(), metadata=report.metadata()))


@dg.job(
    name=JOB,
    description="Mends dead letters after a fix in code or settings: see docs/runbook.md. The sensor `kafka_offsets` "
    "then computes the hours that got rows again.",
)
def replay_dead_letters() -> None:
    """The one step."""
    replay()
