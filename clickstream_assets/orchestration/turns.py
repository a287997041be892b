"""Whether the sensor may ask for a run now."""

from dataclasses import dataclass
from itertools import takewhile
from time import time

import dagster as dg

from clickstream_assets.assets.common import SENSOR_JOB as JOB
from clickstream_assets.orchestration.jobs import HOURLY_ASSETS
from clickstream_assets.partitions import RANGE_END, hours_in

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 10, 600
_FINISHED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
_UNFINISHED = [status for status in dg.DagsterRunStatus if status not in _FINISHED]


@dataclass(frozen=True, slots=True)
class Turn:
    """Whether a run may be asked for now."""

    wait: str | None = None
    """Why not."""
    busy: range = range(0)
    """Hours that a run of the sensor that is under way brings up to date."""
    failed: frozenset[int] = frozenset()
    """Hours of the latest runs, as far as those failed."""


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
        busy = hours_in(run.tags) if asked_here else range(0)
        return Turn(None if ahead else f"run {run.run_id} is under way", busy)
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
