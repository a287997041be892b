"""``kafka_offsets``: keeps every hour up to date (docs/architecture.md, "What runs when").

It never consumes; it compares end offsets with committed ones. Runs write one after the other, so batches grow
under load and latency stays low without it. The next one is asked for as soon as the one under way has read its
offsets, waits in Dagster's queue, and reads what has come by its turn (docs/decisions/0011-from-event-to-document.md).
After failed runs the sensor waits, longer after each more in a row. Dagster looks at sensors every five seconds, and
that cannot be set: meanwhile a tick itself waits for something to do. On the way the sensor observes how far ingestion
is (docs/decisions/0008-freshness-lag-and-alerts.md).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from time import monotonic, sleep, time
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import BaseModel, Field

from clickstream_assets.assets.clickstream_topic import TopicEvent, freshness, observation
from clickstream_assets.assets.common import SENSOR_JOB as JOB
from clickstream_assets.assets.raw_clicks import IngestConfig
from clickstream_assets.checks.clickstream_topic import (
    NO_LOG_CUT_BACK,
    NOTHING_LOST_UNREAD,
    cut_back,
    evaluation,
    unread,
)
from clickstream_assets.events.hours import HOUR_MS
from clickstream_assets.ingest.run_plan import RunPlan, plan_backlog, plan_stale
from clickstream_assets.orchestration.jobs import HOURLY_ASSETS, clickstream_hours
from clickstream_assets.partitions import RANGE_END, hours_in, tags_of
from clickstream_assets.settings import Settings
from clickstream_assets.stores.hbase.resource import HBaseResource
from clickstream_assets.stores.kafka.resource import KafkaResource
from clickstream_assets.stores.preflight import StoresUnfit

if TYPE_CHECKING:
    from clickstream_assets.books.books import Books
    from clickstream_assets.books.hour_states import HourState
    from clickstream_assets.books.resumption import Resumption
    from clickstream_assets.stores.kafka.client import TopicClient

TICK_SECONDS = 4.0
"""So long a tick takes that finds nothing to do. Dagster's next comes after five, and is left out while one goes on."""
_POLL_SECONDS = 0.25
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 10, 600
_QUIET_SECONDS = 60
"""So often a topic at rest is observed, and one that is written to is reported as fresh."""
_HOURS_BEFORE_THE_FIRST_LOOK = 48
"""So many at most are materialized as empty, where nothing was sent for them: each costs a tenth of a second."""
_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_PEEK_BYTES = 64 << 10
"""The sensor looks at single batches of a partition, and does not fetch megabytes of them."""


class Memory(BaseModel):
    """What the sensor remembers from tick to tick: hours since the epoch, seconds since the epoch."""

    closed_up_to: int
    """Hours up to this one have closed, and those that stayed empty were asked for."""
    stale_turn: float
    """When stale hours last had a run of their own."""
    began: float = 0
    """When it looked for the first time."""
    read_at: float = 0
    """When a run for new offsets was last asked for."""
    observed_at: float = 0
    """When the topic was last observed."""
    observed_lag: int = 0
    """Its lag then, in events."""
    fresh_at: float = 0
    """When the topic was last reported as written to."""
    fresh_ends: dict[int, int] = Field(default_factory=dict)
    """Its end offsets then, by Kafka partition."""
    look_seconds: float = 0
    """How long the last look took."""
    again: list[int] = Field(default_factory=list)
    """Hours of runs that failed. Those that nothing is due for would be shown as failed for good."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Whether a run may be asked for now."""

    wait: str | None = None
    """Why not."""
    busy: range = range(0)
    """Hours that a run under way brings up to date."""
    failed: frozenset[int] = frozenset()
    """Hours of the latest runs, as far as those failed."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a tick looks with: the topic, limits, what it remembers and keeps, the time, and whether it may ask."""

    topic: "TopicClient"
    limits: Settings
    memory: Memory
    now: float
    """Seconds since the epoch."""
    may: Turn

    @property
    def this_hour(self) -> int:
        return int(self.now * 1000) // HOUR_MS

    @property
    def first_hour(self) -> int:
        return self.limits.first_hour_ms // HOUR_MS


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
        return _answer(Look(topic, configured, memory, now, turn(context.instance)), hbase)


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


def _answer(look: Look, hbase: HBaseResource) -> dg.SensorResult:
    """What Dagster is told after a look."""
    begun, memory = monotonic(), look.memory
    try:
        tick = _look(look, hbase)
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


def first_memory(first_hour: int, this_hour: int, now: float) -> Memory:
    """What the first look begins with: closed hours are still to be looked at, and materialized, as empty if need be.

    All of them, where they are a day or two, as in a demo; else the latest, for years without an event tell nobody
    anything.
    """
    if this_hour - first_hour > _HOURS_BEFORE_THE_FIRST_LOOK:
        first_hour = this_hour - 1
    return Memory(closed_up_to=min(first_hour, this_hour) - 1, stale_turn=now, began=now)


def _look(look: Look, hbase: HBaseResource) -> Tick:
    """Decide what to do next (nothing, if it has to wait), and observe the topic if it is time."""
    from clickstream_assets.books.resumption import resumption
    from clickstream_assets.books.watermarks import progress_by_partition

    topic, limits, memory, now = look.topic, look.limits, look.memory, look.now
    with hbase.books() as books:
        ends = topic.ends(topic.partitions())
        log = resumption(topic, books, ends)
        tick = Tick(None, False, [])
        lag = log.lag(ends)
        few = 0 < lag < limits.small_run_events and now - memory.read_at < limits.small_run_seconds
        if few:
            tick.idle = f"{lag} new events: waiting for {limits.small_run_events}, or for the next run of fewer"
        if not look.may.wait:
            memory.again = sorted({*memory.again, *look.may.failed})
            tick.plan, tick.stale = _plan(look, books, log, ends, few=few)
            if tick.plan is None and log.unbooked:
                # Nothing new is there, but a run has to book where the log was cut back.
                tick.plan = RunPlan(look.this_hour, look.this_hour, dict(ends))
        if lag or memory.observed_lag or now - memory.observed_at >= _QUIET_SECONDS:
            tick.events.append(observation(progress_by_partition(topic, books.watermarks, log, ends), int(now * 1000)))
            memory.observed_at, memory.observed_lag = now, lag
        if tick.plan:
            memory.again = [hour for hour in memory.again if not tick.plan.first <= hour <= tick.plan.last]
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


def _plan(
    look: Look, books: "Books", log: "Resumption", ends: Mapping[int, int], *, few: bool
) -> tuple[RunPlan | None, bool]:
    """What to do next, and whether that is for stale hours.

    ``few``: there are new offsets, but not enough yet for another run so soon after the last.
    """
    limits, memory, now, busy = look.limits, look.memory, look.now, look.may.busy
    states = books.hours.all()
    silent: list[int] = []
    # At first, producers that have just started too get the time to send: their events come first.
    if now - memory.began >= limits.small_run_seconds:
        silent = _touch_silent(look, books, states)
    # Rows of an hour that has not begun wait for its partition, and the hour with them.
    due = {hour for hour, state in states.items() if state.waiting and look.first_hour <= hour <= look.this_hour}
    stale = {*silent, *(due.union(memory.again) - set(busy))}
    backlog = _backlog(look, log, ends)
    # Hours that have just closed without an event are new as well, and wait for no turn: a demo's lag never ends.
    if stale and (silent or backlog is None or now - memory.stale_turn >= limits.stale_turn_seconds):
        memory.stale_turn = now
        return plan_stale(stale, limits.max_hours_per_run), True
    if few or backlog is None:
        return None, False
    memory.read_at = now
    return backlog, False


def _backlog(look: Look, log: "Resumption", ends: Mapping[int, int]) -> RunPlan | None:
    """A run over what is unread; None where nothing is."""
    topic, limits, this_hour = look.topic, look.limits, look.this_hour
    timeless, unread_from = _timeless(topic, log, ends, this_hour), log.readable
    return plan_backlog(
        log.begins,
        ends,
        lambda hour: topic.offsets_at(hour * HOUR_MS, ends, unread_from) | (timeless if hour <= this_hour else {}),
        first_hour=look.first_hour,
        last_hour=this_hour,
        max_events=limits.max_events_per_run,
        max_hours=limits.max_hours_per_run,
    )


def _touch_silent(look: Look, books: "Books", states: "Mapping[int, HourState]") -> list[int]:
    """Touch each hour that has closed without a single event, so that it gets its (empty) turn; returns those."""
    closed = range(look.memory.closed_up_to + 1, look.this_hour)
    if set(closed) & set(look.may.busy):
        return []
    silent = [hour for hour in closed if hour not in states or not states[hour].touched]
    books.hours.touch(silent)
    look.memory.closed_up_to = look.this_hour - 1
    return silent


def _timeless(topic: "TopicClient", log: "Resumption", ends: Mapping[int, int], this_hour: int) -> dict[int, int]:
    """Where reading goes on in partitions whose producers gave the next record no time (-1).

    All that waits there counts as recorded now: searched for by time, it would lie before all that has one. Looked
    into are partitions alone whose next record may be older than this hour.
    """
    lagging = {p: at for p, at in log.readable.items() if at < ends[p]}
    if not lagging:
        return {}
    dated = topic.offsets_at(this_hour * HOUR_MS, {p: ends[p] for p in lagging}, lagging)
    before = {p: at for p, at in lagging.items() if at < dated[p]}
    times = topic.record_times(before) if before else {}
    return {p: log.begins[p] for p, time_ms in times.items() if time_ms < 0}


def turn(instance: dg.DagsterInstance) -> Turn:
    """Whether the sensor may ask for a run.

    Not while one waits that writes any of the assets, whoever asked for it: a second one would wait behind it. Behind
    one that is under way it may once that has read its offsets, if this sensor asked for it and the last one before it
    did not fail: else nothing would pause.
    """
    ours = {dg.AssetKey(name) for name in HOURLY_ASSETS}
    under_way = [
        run
        for run in instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED))
        if run.job_name == JOB or ours & (run.asset_selection or set())
    ]
    failed = _failed_in_a_row(instance)
    if under_way:
        run = under_way[0]
        asked_here = run.job_name == JOB and RANGE_END in run.tags
        ahead = len(under_way) == 1 and asked_here and not failed and _has_read(instance, run)
        return Turn(busy=hours_in(run.tags)) if ahead else Turn(f"run {run.run_id} is under way")
    if not failed:
        return Turn()
    pause = min(_FIRST_PAUSE_SECONDS * 2 ** (len(failed) - 1), _LONGEST_PAUSE_SECONDS)
    left = (failed[0].end_time or failed[0].update_timestamp.timestamp()) + pause - time()
    if left > 0:
        return Turn(f"{len(failed)} runs failed in a row: the next try is in {left:.0f} s")
    return Turn(failed=frozenset(hour for record in failed for hour in hours_in(record.dagster_run.tags)))


def _has_read(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether the step of ``raw_clicks`` is done: what the run has read is committed."""
    if run.status is not dg.DagsterRunStatus.STARTED:
        return False
    done = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_SUCCESS).records
    return any(e.event_log_entry.step_key == "raw_clicks" for e in done)


def _failed_in_a_row(instance: dg.DagsterInstance) -> list[dg.RunRecord]:
    """The latest finished runs of the job, latest first, as far as they failed."""
    records = instance.get_run_records(dg.RunsFilter(job_name=JOB), limit=8)
    finished = [record for record in records if record.dagster_run.is_finished]
    return list(takewhile(lambda record: record.dagster_run.status is dg.DagsterRunStatus.FAILURE, finished))
