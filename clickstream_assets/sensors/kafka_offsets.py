"""``kafka_offsets``: keeps every hour up to date (design 5).

It never consumes; it compares end offsets with committed ones. It asks for one run at a time, so batches grow
under load and latency stays low without it, and waits longer after each failed run in a row.
"""

from time import time

import dagster as dg
from pydantic import BaseModel

from clickstream_assets.assets.raw_clicks import IngestConfig
from clickstream_assets.domain.hours import HOUR_MS, key_of_hour
from clickstream_assets.domain.run_plan import RunPlan, plan_backlog, plan_stale
from clickstream_assets.resources.hbase import HBaseResource
from clickstream_assets.resources.kafka import KafkaResource
from clickstream_assets.settings import settings

JOB = "clickstream_hours"
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 10, 600

clickstream_hours = dg.define_asset_job(
    JOB,
    selection=dg.AssetSelection.assets(
        "raw_clicks", "dead_letters", "enriched_clicks", "url_country_metrics", "es_index"
    ),
    description="New offsets, or stale hours, through all the assets. The sensor `kafka_offsets` runs it.",
)


class Memory(BaseModel):
    """What the sensor remembers from tick to tick: hours since the epoch, seconds since the epoch."""

    closed_up_to: int
    """Hours up to this one have closed, and those that stayed empty were asked for."""
    stale_turn: float
    """When stale hours last had a run of their own."""


@dg.sensor(
    name="kafka_offsets",
    job=clickstream_hours,
    minimum_interval_seconds=settings().sensor_interval_seconds,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for a run when Kafka has new offsets, or when hours are stale: touched by late events, by time "
    "spent that looks ahead, or just closed without any event.",
)
def kafka_offsets(
    context: dg.SensorEvaluationContext, kafka: KafkaResource, hbase: HBaseResource
) -> dg.SensorResult | dg.SkipReason:
    """Decide what to ask for."""
    waiting = _under_way(context.instance) or _pausing(context.instance)
    if waiting:
        return dg.SkipReason(waiting)
    now = time()
    this_hour = int(now * 1000) // HOUR_MS
    memory = (
        Memory.model_validate_json(context.cursor)
        if context.cursor
        else Memory(closed_up_to=this_hour - 1, stale_turn=now)
    )
    plan, stale = _plan(kafka, hbase, memory, this_hour, now)
    cursor = memory.model_dump_json()
    if plan is None:
        return dg.SensorResult(skip_reason="no new offsets, no stale hours", cursor=cursor)
    tags = {
        "dagster/asset_partition_range_start": key_of_hour(plan.first),
        "dagster/asset_partition_range_end": key_of_hour(plan.last),
        "clickstream/why": "stale hours" if stale else "new offsets",
    }
    until = {str(partition): end for partition, end in plan.until.items()}
    config = dg.RunConfig(ops={"raw_clicks": IngestConfig(until=until)})
    return dg.SensorResult([dg.RunRequest(tags=tags, run_config=config)], cursor=cursor)


def _plan(
    kafka: KafkaResource, hbase: HBaseResource, memory: Memory, this_hour: int, now: float
) -> tuple[RunPlan | None, bool]:
    """What to do next, and whether that is for stale hours; keeps ``memory`` up to date."""
    from clickstream_assets.domain.ingestion import begins
    from clickstream_assets.domain.ledger import Ledger
    from clickstream_assets.domain.stale_hours import HourStates
    from clickstream_assets.domain.table_schemas import LEDGER

    limits = settings()
    hbase.ensure_tables()
    with kafka.client() as topic, hbase.client() as client:
        states = HourStates(client, hbase.table(LEDGER.name))
        known = states.all()
        # An hour that has closed without a single event gets its (empty) turn by being touched once.
        silent = [h for h in range(memory.closed_up_to + 1, this_hour) if h not in known or not known[h].touched]
        states.touch(silent)
        memory.closed_up_to = this_hour - 1
        stale = [*silent, *(hour for hour, state in known.items() if state.waiting)]
        partitions = topic.partitions()
        ends = topic.ends(partitions)
        backlog = plan_backlog(
            begins(topic, Ledger(client, hbase.table(LEDGER.name)), ends),
            ends,
            lambda hour: topic.offsets_at(hour * HOUR_MS, ends),
            first_hour=limits.first_hour_ms // HOUR_MS,
            last_hour=this_hour + 1,
            max_events=limits.max_events_per_run,
            max_hours=limits.max_hours_per_run,
        )
    if stale and (backlog is None or now - memory.stale_turn >= limits.stale_turn_seconds):
        memory.stale_turn = now
        return plan_stale(stale, known, limits.max_hours_per_run), True
    return backlog, False


def _under_way(instance: dg.DagsterInstance) -> str | None:
    unfinished = [
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    ]
    runs = instance.get_runs(dg.RunsFilter(job_name=JOB, statuses=unfinished), limit=1)
    return f"run {runs[0].run_id} is under way" if runs else None


def _pausing(instance: dg.DagsterInstance) -> str | None:
    """A reason to wait after failures: ten seconds after the first, twice that after each more in a row."""
    records = instance.get_run_records(dg.RunsFilter(job_name=JOB), limit=8)
    failures = 0
    for record in records:
        if record.dagster_run.status != dg.DagsterRunStatus.FAILURE:
            break
        failures += 1
    if not failures:
        return None
    pause = min(_FIRST_PAUSE_SECONDS * 2 ** (failures - 1), _LONGEST_PAUSE_SECONDS)
    left = (records[0].end_time or records[0].update_timestamp.timestamp()) + pause - time()
    return f"{failures} runs failed in a row: the next try is in {left:.0f} s" if left > 0 else None
