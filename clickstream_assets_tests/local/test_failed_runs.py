"""What the terminal says of runs that fail, from a real instance of Dagster."""

import dagster as dg
import pytest

from clickstream_assets.local.dagster_processes import dagster_home
from clickstream_assets.local.failed_runs import FailedRuns
from clickstream_assets.settings import Settings


def _run(instance, error="", cause=""):
    @dg.op
    def raw_clicks():
        if cause:
            raise ValueError(error) from TypeError(cause)
        if error:
            raise ValueError(error)

    @dg.job
    def clickstream_hours():
        raw_clicks()

    return clickstream_hours.execute_in_process(instance=instance, raise_on_error=False).run_id


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def _failed_runs(instance, words, **kwargs):
    return FailedRuns(instance, "http://localhost:3000", words.append, **{"look_seconds": 0, **kwargs})


def test_a_failed_run_is_told_once_with_job_step_error_and_link(instance):
    words = []
    failed = _failed_runs(instance, words)
    run_id = _run(instance, "the topic is gone\nwhoever\n\ndeleted it")
    failed.tell()
    failed.tell()
    assert [text.splitlines() for text in words] == [
        [
            f"Run {run_id} of clickstream_hours failed: raw_clicks: ValueError: the topic is gone",
            "  whoever",
            "  deleted it",
            f"  http://localhost:3000/runs/{run_id}",
        ]
    ]


def test_the_error_that_began_it_is_what_counts(instance):
    words = []
    failed = _failed_runs(instance, words)
    _run(instance, "the step failed", cause="'str' // 'int'")
    failed.tell()
    assert "raw_clicks: TypeError: 'str' // 'int'" in words[0]


def test_runs_of_earlier_starts_and_runs_that_succeed_are_not_told_of(instance):
    _run(instance, "yesterday's")
    words = []
    failed = _failed_runs(instance, words)
    _run(instance)
    failed.tell()
    assert words == []


@pytest.mark.slow
def test_all_that_failed_between_two_looks_are_told_of_oldest_first(instance):
    words = []
    failed = _failed_runs(instance, words)
    ids = [_run(instance, f"error {number}") for number in range(3)]
    failed.tell()
    assert [text.split()[1] for text in words] == ids


def test_a_long_error_is_cut(instance):
    words = []
    failed = _failed_runs(instance, words)
    _run(instance, "\n".join("x" * 10_000 for _ in range(1_000)))
    failed.tell()
    assert len(words[0]) < 3_000


def test_it_looks_no_more_often_than_it_should(instance):
    words = []
    failed = _failed_runs(instance, words, look_seconds=60)
    failed.tell()
    _run(instance, "just now")
    failed.tell()
    assert words == []


@pytest.mark.slow
def test_a_failure_that_another_process_wrote_to_the_instance_of_clickstream_run_is_seen(monkeypatch, tmp_path):
    home = dagster_home(Settings(home=tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    words = []
    failed = FailedRuns(dg.DagsterInstance.get(), "http://localhost:1", words.append)
    with dg.DagsterInstance.from_config(str(home)) as instance:  # as a run of the daemon's has it
        run_id = _run(instance, "no such table")
    failed.tell()
    assert f"Run {run_id} of clickstream_hours failed: raw_clicks: ValueError: no such table" in words[0]
