"""When ``kafka_offsets`` may ask for a run: one at work, one behind it at most, and none too soon after failures."""

from time import time

import dagster as dg
import pytest
from dagster._core.events import StepSuccessData

from clickstream_assets.assets.common import SENSOR_JOB
from clickstream_assets.definitions import defs
from clickstream_assets.events.hours import key_of_hour
from clickstream_assets.orchestration import turns
from clickstream_assets.orchestration.turns import turn

STATUS = dg.DagsterRunStatus
HOUR = 500_000


@dg.op(name="raw_clicks")
def paper() -> None:
    """Never runs."""


@dg.job(name=SENSOR_JOB)
def asked_for() -> None:
    paper()


@dg.job
def other() -> None:
    paper()


@pytest.fixture
def instance():
    return dg.DagsterInstance.ephemeral()


def run(instance, status, *, job=asked_for, read=False, hours=(HOUR, HOUR), **arguments):
    """A run in a state, with the offsets read or not; without hours as one by hand."""
    ends = ("start", "end") if hours else ()
    tags = {f"dagster/asset_partition_range_{end}": key_of_hour(at) for end, at in zip(ends, hours, strict=True)}
    made = instance.create_run_for_job(job, status=status, tags=tags, **arguments)
    if read:
        done = dg.DagsterEvent(
            "STEP_SUCCESS", job.name, step_key="raw_clicks", event_specific_data=StepSuccessData(1.0)
        )
        instance.report_dagster_event(done, made.run_id)
    return made


def test_at_rest_it_may():
    assert turn(dg.DagsterInstance.ephemeral()).wait is None


@pytest.mark.parametrize("status", [STATUS.NOT_STARTED, STATUS.STARTING, STATUS.STARTED])
def test_not_while_a_run_has_its_offsets_still_to_read(instance, status):
    made = run(instance, status)
    assert turn(instance).wait == f"run {made.run_id} is under way"


def test_behind_a_run_that_has_read_its_offsets_but_for_the_hours_it_brings_up_to_date(instance):
    run(instance, STATUS.STARTED, read=True, hours=(HOUR - 2, HOUR))
    found = turn(instance)
    assert found.wait is None
    assert list(found.busy) == [HOUR - 2, HOUR - 1, HOUR]


@pytest.mark.parametrize("status", [STATUS.NOT_STARTED, STATUS.STARTING])
def test_one_run_waits_at_most(instance, status):
    run(instance, STATUS.STARTED, read=True)
    run(instance, status)
    assert turn(instance).wait


def test_not_behind_a_run_that_is_being_cancelled(instance):
    run(instance, STATUS.CANCELING, read=True)
    assert turn(instance).wait


def test_not_behind_what_was_started_by_hand(instance):
    run(instance, STATUS.STARTED, read=True, hours=())
    assert turn(instance).wait


@pytest.mark.slow
def test_not_behind_a_run_of_some_assets_alone(instance):
    one = frozenset({dg.AssetKey("es_index")})
    run(instance, STATUS.STARTED, job=defs.resolve_job_def("__ASSET_JOB"), read=True, asset_selection=one)
    assert turn(instance).wait


def test_runs_of_other_jobs_are_nothing_to_it(instance):
    run(instance, STATUS.STARTED, job=other)
    assert turn(instance).wait is None


def test_after_failures_it_waits_longer_after_each_and_a_success_ends_that(instance):
    seconds = []
    for _ in range(3):
        run(instance, STATUS.FAILURE)
        found = turn(instance).wait
        assert found
        seconds.append(int(found.split()[-2]))
    assert [round(left, -1) for left in seconds] == [10, 20, 40]
    run(instance, STATUS.SUCCESS)
    assert turn(instance).wait is None


def test_behind_a_run_that_follows_a_failure_none_waits_so_that_failures_go_on_to_be_followed_by_a_pause(instance):
    run(instance, STATUS.FAILURE)
    run(instance, STATUS.STARTED, read=True)
    assert turn(instance).wait


def test_once_it_may_again_it_knows_the_hours_of_the_runs_that_failed(instance, monkeypatch):
    run(instance, STATUS.FAILURE, hours=(HOUR - 9, HOUR - 9))
    run(instance, STATUS.SUCCESS)
    run(instance, STATUS.FAILURE, hours=(HOUR - 3, HOUR - 2))
    run(instance, STATUS.FAILURE, hours=())
    assert turn(instance).failed == frozenset(), "it waits"
    later = time() + 60
    monkeypatch.setattr(turns, "time", lambda: later)
    assert turn(instance).failed == {HOUR - 3, HOUR - 2}
    run(instance, STATUS.SUCCESS)
    assert turn(instance).failed == frozenset()
