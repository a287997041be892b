"""The jobs that mend what was stored: ``replay_dead_letters`` after a fix in code or settings, ``rebuild_hours`` where
checks say that a hand has changed hours in the database.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from clickstream_assets.events.hours import hour_of_key, key_of_hour
from clickstream_assets.events.refusals import REASONS
from clickstream_assets.settings import Settings
from clickstream_assets.stores.hbase.resource import HBaseResource
from clickstream_assets.stores.kafka.resource import KafkaResource

if TYPE_CHECKING:
    from clickstream_assets.ingest.dead_letters import Selection
    from clickstream_assets.ingest.replay import ReplayReport


class ReplayConfig(dg.Config):
    """Which dead letters are to be mended; all of them, if nothing is said."""

    reasons: list[str] = Field([], description=f"Reasons of refusal, of: {', '.join(REASONS)}. None named: all.")
    first: str | None = Field(None, description="First hour of Kafka records, like 2026-01-31-12:00.")
    end: str | None = Field(None, description="Hour behind the last one.")
    limit: int | None = Field(None, ge=1, description="At most so many, by topic id, Kafka partition and offset.")


@dg.op(
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
        rules = configured.first_hour_ms, run_id, configured.url_rules, configured.max_age_ms
        replay = Replay(topic.topic, topic.topic_id(), books, *rules, dry_run=dry_run)
        return replay.run(wanted, tell)


@dg.job(
    description="Mends dead letters after a fix in code or settings: see docs/runbook.md. The sensor `kafka_offsets` "
    "then computes the hours that got rows again.",
)
def replay_dead_letters() -> None:
    replay()


class RebuildConfig(dg.Config):
    """Which hours."""

    first: str = Field(description="First hour, like 2026-01-31-12:00.")
    end: str = Field(description="Hour behind the last one.")


@dg.op(
    pool="raw_clicks",
    description="Drops the rows of the hours and the parts of the ledger that contradict it, and reads them again from "
    "Kafka. Refuses, before anything is dropped, what Kafka no longer has. Waits its turn behind runs that ingest.",
)
def rebuild(
    context: dg.OpExecutionContext,
    config: RebuildConfig,
    kafka: KafkaResource,
    hbase: HBaseResource,
    configured: dg.ResourceParam[Settings],
) -> None:
    from clickstream_assets.ingest.rebuilding import NotInKafka

    hours = range(hour_of_key(config.first), hour_of_key(config.end))
    try:
        for words in rebuilt(kafka, hbase, configured, hours, context.run_id):
            context.log.info(words)
    except NotInKafka as error:
        raise dg.Failure(str(error), allow_retries=False) from error


def rebuilt(
    kafka: KafkaResource,
    hbase: HBaseResource,
    configured: Settings,
    hours: range,
    run_id: str,
    *,
    dry_run: bool = False,
) -> Iterator[str]:
    """Plan all hours, then rebuild each unless it is a dry run; a sentence on each step. Raises ``NotInKafka``."""
    from clickstream_assets.ingest.ingestion import Ingestion
    from clickstream_assets.ingest.rebuilding import Rebuild, totals

    with kafka.client() as topic, hbase.books() as books:
        rules = configured.first_hour_ms, run_id, None, configured.url_rules, configured.max_age_ms
        rebuild = Rebuild(topic, books, lambda: Ingestion(topic, books, *rules))
        sums = totals(rebuild.plan(hour) for hour in hours)
        planned = ", ".join(f"{count:,} {name}" for name, count in sums.items())
        yield f"To drop and read again: {planned}."
        if dry_run:
            return
        for done, hour in enumerate(hours, 1):
            yield f"{key_of_hour(hour)} ({done} of {len(hours)}): {rebuild.run(hour).in_words()}"
        yield "The sensor brings metrics and documents up to date, within five minutes while new events come."


@dg.job(
    description="Heals hours that a hand has changed in the database: see docs/runbook.md. The sensor `kafka_offsets` "
    "then computes them again.",
)
def rebuild_hours() -> None:
    rebuild()
