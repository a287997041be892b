"""``stale_days``: asks for a run over a day whose hours have come to other metrics (docs/architecture.md)."""

from collections import Counter
from time import time

import dagster as dg

from clickstream_assets.assets.common import DAYS_JOB
from clickstream_assets.events.days import key_of_day
from clickstream_assets.events.hours import HOUR_MS
from clickstream_assets.orchestration.jobs import clickstream_days
from clickstream_assets.partitions import RANGE_END, RANGE_START
from clickstream_assets.settings import Settings
from clickstream_assets.stores.hbase.resource import HBaseResource

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_RECORDS = 50
"""Runs over days that are looked back at."""
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 60, 3_600
"""Behind a run of a day that failed: the double for each more in a row. Other days go on."""


def stale_days(settings: Settings) -> dg.SensorDefinition:
    return dg.sensor(
        name="stale_days",
        job=clickstream_days,
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for a run over days whose hours have come to other metrics, the latest first. A day "
        "whose hours are still being written to, as the open one is, has a turn every few minutes.",
    )(_evaluate)


def _evaluate(
    context: dg.SensorEvaluationContext, hbase: HBaseResource, configured: dg.ResourceParam[Settings]
) -> dg.RunRequest | dg.SkipReason:
    if context.instance.get_runs(dg.RunsFilter(job_name=DAYS_JOB, statuses=_UNFINISHED), limit=1):
        return dg.SkipReason("a run over days is under way")
    from clickstream_assets.books.day_states import waiting_days

    with hbase.books() as books:
        hours, days = books.hours.all(), books.days.all()
    first = configured.first_hour_ms // HOUR_MS
    this_hour = int(time() * 1000) // HOUR_MS
    hours = {hour: state for hour, state in hours.items() if first <= hour <= this_hour}
    waiting = waiting_days(hours, days, int(time() * 1000), configured.day_turn_seconds * 1000)
    pausing = _pausing(context.instance, time())
    if due := [day for day in waiting if key_of_day(day) not in pausing]:
        # One at a time: a day that cannot be done keeps no other from being done.
        key = key_of_day(due[-1])
        return dg.RunRequest(tags={RANGE_START: key, RANGE_END: key})
    return dg.SkipReason(
        f"tried again later, as they failed: {', '.join(sorted(pausing))}" if waiting else "no stale days"
    )


def _pausing(instance: dg.DagsterInstance, now: float) -> set[str]:
    """Days whose latest runs failed, that are not to be tried again yet."""
    failures: Counter[str] = Counter()
    latest: dict[str, float] = {}
    done = set()
    for record in instance.get_run_records(dg.RunsFilter(job_name=DAYS_JOB), limit=_RECORDS):
        key = record.dagster_run.tags.get(RANGE_START, "")
        if record.dagster_run.status is not dg.DagsterRunStatus.FAILURE:
            done.add(key)
        elif key not in done:
            failures[key] += 1
            latest.setdefault(key, record.end_time or record.update_timestamp.timestamp())
    pauses = {key: min(_FIRST_PAUSE_SECONDS * 2 ** (n - 1), _LONGEST_PAUSE_SECONDS) for key, n in failures.items()}
    return {key for key, pause in pauses.items() if now - latest[key] < pause}
