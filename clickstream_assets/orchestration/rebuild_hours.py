"""``rebuild_hours``: hours dropped and read again from Kafka, where checks say that a hand has changed them."""

from collections.abc import Iterator

import dagster as dg
from pydantic import Field

from clickstream_assets.events.hours import hour_of_key
from clickstream_assets.settings import Settings
from clickstream_assets.stores.hbase.resource import HBaseResource
from clickstream_assets.stores.kafka.resource import KafkaResource

JOB = "rebuild_hours"
OP = "rebuild"


class RebuildConfig(dg.Config):
    """Which hours."""

    first: str = Field(description="First hour, like 2026-01-31-12:00.")
    end: str = Field(description="Hour behind the last one.")


@dg.op(
    name=OP,
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
    from clickstream_assets.events.hours import key_of_hour
    from clickstream_assets.ingest.ingestion import Ingestion
    from clickstream_assets.ingest.rebuilding import Rebuild, totals

    with kafka.client() as topic, hbase.books() as books:
        rebuild = Rebuild(
            topic,
            books,
            lambda: Ingestion(topic, books, configured.first_hour_ms, run_id, urls=configured.url_rules),
        )
        sums = totals(rebuild.plan(hour) for hour in hours)
        planned = ", ".join(f"{count:,} {name}" for name, count in sums.items())
        yield f"To drop and read again: {planned}."
        if dry_run:
            return
        for done, hour in enumerate(hours, 1):
            yield f"{key_of_hour(hour)} ({done} of {len(hours)}): {rebuild.run(hour).in_words()}"
        yield "The sensor brings metrics and documents up to date, within five minutes while new events come."


@dg.job(
    name=JOB,
    description="Heals hours that a hand has changed in the database: see docs/runbook.md. The sensor `kafka_offsets` "
    "then computes them again.",
)
def rebuild_hours() -> None:
    rebuild()
