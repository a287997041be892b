"""``kafka_offsets``: keeps every hour up to date (docs/architecture.md, "What runs when").

It never consumes; it compares end offsets with committed ones. Runs write one after the other, so batches grow
under load and latency stays low without it. The next one is asked for as soon as the one under way has read its
offsets, waits in Dagster's queue, and reads all that is there when it starts reading (docs/decisions/0011).
After failed runs the sensor waits, longer after each more in a row. Dagster looks at sensors every five seconds, and
that cannot be set: meanwhile a tick itself waits for something to do. On the way the sensor observes how far ingestion
is (docs/decisions/0008-freshness-lag-and-alerts.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic, sleep, time
from typing import TYPE_CHECKING

import dagster as dg

from clickstream_assets.assets.clickstream_topic import TopicEvent, freshness, observation
from clickstream_assets.assets.raw_clicks import IngestConfig
from clickstream_assets.checks.clickstream_topic import (
    NO_LOG_CUT_BACK,
    NOTHING_LOST_UNREAD,
    cut_back,
    evaluation,
    unread,
)
from clickstream_assets.events.hours import HOUR_MS
from clickstream_assets.orchestration.jobs import clickstream_hours
from clickstream_assets.orchestration.planning import Look, Memory, first_memory, plan
from clickstream_assets.orchestration.run_plan import RunPlan
from clickstream_assets.orchestration.telling import tell_changed
from clickstream_assets.orchestration.turns import turn
from clickstream_assets.partitions import tags_of
from clickstream_assets.settings import Settings
from clickstream_assets.stores.elasticsearch.resource import ElasticsearchResource
from clickstream_assets.stores.hbase.resource import HBaseResource
from clickstream_assets.stores.kafka.resource import KafkaResource
from clickstream_assets.stores.preflight import StoresUnfit

if TYPE_CHECKING:
    from clickstream_assets.books.resumption import Resumption
    from clickstream_assets.stores.kafka.client import TopicClient

TICK_SECONDS = 4.0
"""So long a tick takes that finds nothing to do. Dagster's next comes after five, and is left out while one goes on."""
_POLL_SECONDS = 0.25
_QUIET_SECONDS = 60
"""So often a topic at rest is observed, and one that is written to is reported as fresh."""
_PEEK_BYTES = 64 << 10
"""The sensor looks at single batches of a partition, and does not fetch megabytes of them."""


@dataclass(slots=True)
class Tick:
    """What a tick found out: what to run next, whether that is for stale hours, and events of the topic."""

    plan: RunPlan | None
    stale: bool
    events: list[TopicEvent | dg.AssetCheckEvaluation]
    idle: str = "no new offsets, no stale hours"
    """Why there is no plan."""


def kafka_offsets(settings: Settings) -> dg.SensorDefinition:
    return dg.sensor(
        name="kafka_offsets",
        job=clickstream_hours,
        minimum_interval_seconds=settings.sensor_interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for a run when Kafka has new offsets, or when hours are stale: touched by late events, by "
        "time spent that looks ahead, by someone who materialized one of their assets, or just closed without any "
        "event. Observes the topic at every tick; once a minute while nothing waits in it.",
    )(_evaluate)


def _evaluate(
    context: dg.SensorEvaluationContext,
    kafka: KafkaResource,
    hbase: HBaseResource,
    elasticsearch: ElasticsearchResource,
    configured: dg.ResourceParam[Settings],
) -> dg.SensorResult:
    begun = monotonic()
    with kafka.client(fetch_bytes=_PEEK_BYTES) as topic:
        if context.cursor:
            memory = Memory.model_validate_json(context.cursor)
            seconds = min(TICK_SECONDS, configured.sensor_interval_seconds - 0.5) - memory.look_seconds
            wait_for_work(context.instance, topic, configured, memory.read_at, begun + seconds)
        now = time()
        if not context.cursor:
            memory = first_memory(configured.first_hour_ms // HOUR_MS, int(now * 1000) // HOUR_MS, now)
        return _answer(Look(topic, configured, memory, now, turn(context.instance)), hbase, elasticsearch)


def wait_for_work(
    instance: dg.DagsterInstance, topic: "TopicClient", limits: Settings, read_at: float, end: float
) -> None:
    """Wait until a run may be asked for and there is reason to look for one; up to ``end`` of the monotonic clock.

    It is one that what was in the way has ended, or that new offsets are worth a run; ``read_at``: when one was last
    asked for, seconds since the epoch. Neither takes a look into HBase. What else is due, the look behind this finds.
    """
    in_the_way = False
    while turn(instance).wait:
        in_the_way = True
        if monotonic() >= end:
            return
        sleep(_POLL_SECONDS)
    if in_the_way:
        return
    ends = topic.ends(topic.partitions())
    # Nobody commits meanwhile.
    read = sum(ends.values()) - topic.lag(ends)
    while monotonic() < end:
        lag = sum(ends.values()) - read
        if lag >= limits.small_run_events or (lag and time() - read_at >= limits.small_run_seconds):
            return
        sleep(_POLL_SECONDS)
        ends = topic.ends(ends)


def _answer(look: Look, hbase: HBaseResource, elasticsearch: ElasticsearchResource) -> dg.SensorResult:
    """What Dagster is told after a look."""
    begun, memory = monotonic(), look.memory
    try:
        tick = _look(look, hbase, elasticsearch)
    except StoresUnfit:
        # A run that reads nothing fails with the reason before it writes: it is seen and told of, as a tick is not.
        tick = Tick(None if look.may.wait else RunPlan(look.this_hour, look.this_hour, {}), True, [])
    memory.look_seconds = monotonic() - begun
    cursor = memory.model_dump_json()
    if tick.plan is None:
        return dg.SensorResult(skip_reason=look.may.wait or tick.idle, cursor=cursor, asset_events=tick.events)
    why = {"clickstream/why": "stale hours" if tick.stale else "new offsets"}
    tags = tags_of(tick.plan.first, tick.plan.last) | why
    until = {str(partition): end for partition, end in tick.plan.until.items()}
    config = dg.RunConfig(ops={"raw_clicks": IngestConfig(until=until, more=tick.plan.more)})
    return dg.SensorResult([dg.RunRequest(tags=tags, run_config=config)], cursor=cursor, asset_events=tick.events)


def _look(look: Look, hbase: HBaseResource, elasticsearch: ElasticsearchResource) -> Tick:
    """Decide what to do next (nothing, if it has to wait), observe the topic if it is time, tell of hours if idle."""
    from clickstream_assets.books.resumption import progress_by_partition, resumption

    topic, limits, memory, now = look.topic, look.limits, look.memory, look.now
    with hbase.books() as books:
        ends = topic.ends(topic.partitions())
        log, states = resumption(topic, books, ends), books.hours.all()
        tick = Tick(None, False, [])
        lag = log.lag(ends)
        few = 0 < lag < limits.small_run_events and now - memory.read_at < limits.small_run_seconds
        if few:
            tick.idle = f"{lag} new events: waiting for {limits.small_run_events}, or for the next run of fewer"
        if not look.may.wait:
            memory.again = sorted({*memory.again, *look.may.failed})
            tick.plan, tick.stale = plan(look, books, states, log, ends, few=few)
            if tick.plan is None and log.unbooked:
                # Nothing new is there, but a run has to book where the log was cut back.
                tick.plan = RunPlan(look.this_hour, look.this_hour, dict(ends))
        if lag or memory.observed_lag or now - memory.observed_at >= _QUIET_SECONDS:
            tick.events.append(observation(progress_by_partition(topic, books.watermarks, log, ends), int(now * 1000)))
            memory.observed_at, memory.observed_lag = now, lag
        if tick.plan:
            memory.again = [hour for hour in memory.again if not tick.plan.first <= hour <= tick.plan.last]
        else:
            tell_changed(look, books, states, log.topic_id, lag, elasticsearch)
        tick.events += _freshness(log, ends, memory, now)
    return tick


def _freshness(
    log: "Resumption", ends: dict[int, int], memory: Memory, now: float
) -> Iterator[TopicEvent | dg.AssetCheckEvaluation]:
    """The topic as written to, at most once a minute, and what its checks say then; keeps ``memory``."""
    # Fewer than before means another topic of the same name.
    written = sum(max(0, end - memory.fresh_ends.get(p, 0)) for p, end in ends.items())
    is_due = bool(written) and now - memory.fresh_at >= _QUIET_SECONDS
    if is_due:
        yield freshness(written)
        memory.fresh_at, memory.fresh_ends = now, ends
    if is_due or now == memory.began:
        yield evaluation(NOTHING_LOST_UNREAD, unread(log.begins, log.earliest, ends))
        yield evaluation(NO_LOG_CUT_BACK, cut_back([*log.cuts, *log.unbooked], int(now * 1000)))
