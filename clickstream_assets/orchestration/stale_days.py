"""``stale_days``: asks for a run over days whose hours have come to other metrics (docs/architecture.md)."""

from time import time

import dagster as dg

from clickstream_assets.assets.common import DAYS_JOB
from clickstream_assets.events.days import key_of_day
from clickstream_assets.events.hours import HOUR_MS
from clickstream_assets.orchestration.jobs import clickstream_days
from clickstream_assets.partitions import RANGE_END, RANGE_START
from clickstream_assets.settings import Settings
from clickstream_assets.stores.hbase.resource import HBaseResource

_DAYS_PER_RUN = 31
_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_PAUSE_SECONDS = 60
"""Behind a run that failed."""


def stale_days(settings: Settings) -> dg.SensorDefinition:
    return dg.sensor(
        name="stale_days",
        job=clickstream_days,
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for a run over days whose hours have come to other metrics: the latest days in a row. A day "
        "whose hours are still being written to, as the open one is, has a turn every few minutes.",
    )(_evaluate)


def _evaluate(
    context: dg.SensorEvaluationContext, hbase: HBaseResource, configured: dg.ResourceParam[Settings]
) -> dg.RunRequest | dg.SkipReason:
    if context.instance.get_runs(dg.RunsFilter(job_name=DAYS_JOB, statuses=_UNFINISHED), limit=1):
        return dg.SkipReason("a run over days is under way")
    latest = context.instance.get_run_records(dg.RunsFilter(job_name=DAYS_JOB), limit=1)
    if latest and latest[0].dagster_run.status is dg.DagsterRunStatus.FAILURE:
        ended = latest[0].end_time or latest[0].update_timestamp.timestamp()
        if time() - ended < _PAUSE_SECONDS:
            return dg.SkipReason(f"the last run over days failed: the next try is {_PAUSE_SECONDS} s behind it")
    from clickstream_assets.books.day_states import waiting_days

    with hbase.books() as books:
        hours, days = books.hours.all(), books.days.all()
    first = configured.first_hour_ms // HOUR_MS
    this_hour = int(time() * 1000) // HOUR_MS
    hours = {hour: state for hour, state in hours.items() if first <= hour <= this_hour}
    waiting = waiting_days(hours, days, int(time() * 1000), configured.day_turn_seconds * 1000)
    if not waiting:
        return dg.SkipReason("no stale days")
    first_day = last = waiting[-1]
    while first_day - 1 in waiting and last - first_day + 1 < _DAYS_PER_RUN:
        first_day -= 1
    return dg.RunRequest(tags={RANGE_START: key_of_day(first_day), RANGE_END: key_of_day(last)})
