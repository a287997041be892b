"""What ``--day`` measures: a day put together from its hours, afresh, and after an hour was added to it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter, time

from benchmarks import golden
from benchmarks.bench import Bench
from benchmarks.feed import SEED
from benchmarks.pipeline import Pipeline
from benchmarks.report import Line, facts_table, targets_table
from benchmarks.statistics import Summary, Target
from benchmarks.traffic import Shop
from clickstream_assets.events.days import HOURS_A_DAY, day_of_hour, hours_of_day
from clickstream_assets.events.hours import HOUR_MS
from clickstream_assets.index import daily_documents
from clickstream_assets.index.indexing import Target as Index
from clickstream_assets.metrics.day_rows import DayTotals
from clickstream_assets.metrics.rolling_up import roll_up
from clickstream_assets.stores.kafka.client import ensure_topic
from clickstream_assets.stores.kafka.producer import send

_SECONDS = Target(15, at_least=False)


def day_part(bench: Bench, events: int, facts: Mapping[str, str]) -> tuple[str, list[str]]:
    """The table, and documents that differ from the independent computation, hourly and daily."""
    pipeline = Pipeline(bench.settings, "bench-day-")
    day = day_of_hour(int(time() * 1000) // HOUR_MS) - 1
    hours, shop = hours_of_day(day), Shop(SEED, events)
    sent = bench.home / "bench-day-sent.jsonl"

    def measured(name: str, of_hours: range, of_each: int) -> tuple[float, float, DayTotals]:
        ends = bench.show(f"Sending {name}", lambda: _send(pipeline, shop, of_hours, of_each, sent))
        # Time spent looks ahead: events of an hour change the hour before it.
        first = max(hours[0], of_hours[0] - 1)
        bench.show(f"Their hours: {name}", lambda: pipeline.run_hours(first, of_hours[-1], ends))
        return bench.show(
            f"The day of {name}",
            lambda: _timed(pipeline, day),
            lambda took: f"{took[0]:.1f} s, documents {took[1]:.1f} s, {took[2].written:,} rows written",
        )

    measured("a warm-up: 24,000 events", hours, 1_000)
    afresh = measured(f"{events:,} events", hours, events // HOURS_A_DAY)
    added = measured("an hour more", hours[-1:], events // HOURS_A_DAY)
    wrong = bench.show(
        "Comparing hours and days with the independent computation",
        lambda: golden.differences(sent, pipeline.settings, daily=True),
        lambda wrong: f"{len(wrong)} differences",
    )
    lines = [
        Line("a day from its hours' columns", Summary.of([afresh[0]]), "s", target=_SECONDS),
        Line("its documents", Summary.of([afresh[1]]), "s"),
        Line("the day again, when one hour has as many events more", Summary.of([added[0]]), "s"),
        Line("its documents", Summary.of([added[1]]), "s"),
    ]
    words = (
        f'Run of {datetime.now(UTC):%Y-%m-%d %H:%M} UTC with `make bench ARGS="--day {events}"`: {events:,} events '
        f"over 24 hours, {afresh[2].rows:,} totals, {afresh[2].users:,} people. Of the totals, {added[2].written:,} "
        "changed by the hour that was added.",
        facts_table(facts),
        targets_table(lines),
        f"Documents that differ from the independent computation, hourly or daily: {len(wrong)}.",
    )
    return "\n\n".join(("## A day", *words)), wrong


def _send(pipeline: Pipeline, shop: Shop, hours: range, events: int, sent: Path) -> dict[int, int]:
    configured = pipeline.settings
    ensure_topic(configured.kafka_bootstrap_servers, configured.topic)
    messages = (message for hour in hours for stretch in shop.hour(hour, events) for message in stretch.messages)
    with sent.open("a", encoding="utf-8") as record:
        send(messages, bootstrap_servers=configured.kafka_bootstrap_servers, topic=configured.topic, record=record)
    with pipeline.kafka.client() as client:
        return client.ends(client.partitions())


def _timed(pipeline: Pipeline, day: int) -> tuple[float, float, DayTotals]:
    """Seconds for the rows, and for their documents."""
    alias = pipeline.settings.daily_alias
    with pipeline.hbase.books() as books, pipeline.elasticsearch.client() as es:
        begun = perf_counter()
        totals = roll_up(pipeline.spark.session, books, day, "bench")
        rolled_up = perf_counter()
        daily_documents.ensure_template(es, alias)
        target = Index(pipeline.elasticsearch.url, alias, int(time() * 1000))
        _, rows = daily_documents.index_day(
            pipeline.spark.session, books, target, day, state := books.days.read([day])[day], whole=False
        )
        daily_documents.delete_left_over(es, alias, books, day, rows)
        books.days.mark_indexed(day, state.rolled_up_ms)
    if totals.unfit:
        raise RuntimeError(f"hours without columns: {sorted(totals.unfit)}")
    return rolled_up - begun, perf_counter() - rolled_up, totals
