"""What the nightly purge deletes from a real PostgreSQL, and that Dagster answers as before."""

import os
import subprocess
from unittest.mock import patch

import dagster as dg
import pytest
import yaml
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from clickstream_assets_tests.k8s.manifests import K8S, files, pod_of
from clickstream_assets_tests.postgres import postgres

pytestmark = pytest.mark.slow


hours = dg.StaticPartitionsDefinition(["computed", "computed again", "failed", "never"])
CLICKS, METRICS, TOPIC = dg.AssetKey("clicks"), dg.AssetKey("metrics"), dg.AssetKey("topic")
FITS = dg.AssetCheckKey(CLICKS, "fits")
EVENT = dg.DagsterEventType
EVALUATED = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}


class Asked(dg.Config):
    fits: bool = True
    fails: bool = False


@dg.asset(partitions_def=hours, check_specs=[dg.AssetCheckSpec("fits", asset="clicks", partitions_def=hours)])
def clicks(context: dg.AssetExecutionContext, config: Asked):
    context.log.info("a line of the log")
    if config.fails:
        raise dg.Failure("not today")
    yield dg.MaterializeResult(
        metadata={"rows": 3}, check_results=[dg.AssetCheckResult(check_name="fits", passed=config.fits)]
    )


@dg.asset(partitions_def=hours, deps=[clicks])
def metrics() -> None: ...


@dg.job
def later() -> None: ...


def run(instance, hour, **asked):
    """A run of both assets; its id."""
    config = dg.RunConfig({"clicks": Asked(**asked)})
    done = dg.materialize(
        [clicks, metrics], instance=instance, partition_key=hour, run_config=config, raise_on_error=False
    )
    return done.run_id


def told_of_the_topic(instance, state):
    """What comes without a run: a materialization, an observation, a change of freshness."""
    instance.report_runless_asset_event(dg.AssetMaterialization(TOPIC))
    instance.report_runless_asset_event(dg.AssetObservation(TOPIC, metadata={"lag": 4}))
    instance.report_runless_asset_event(
        FreshnessStateChange(key=TOPIC, new_state=state, previous_state=state, state_change_timestamp=1.0)
    )


def answers(instance, young):
    """What Dagster answers, now and as of the first young event, to whoever asks for anything but a run's log."""
    storage, found = instance.event_log_storage, {}
    found["runs"] = [(r.dagster_run, r.start_time, r.end_time) for r in instance.get_run_records()]
    found["ends"] = [
        instance.fetch_run_status_changes(kind, limit=50).records for kind in (EVENT.RUN_SUCCESS, EVENT.RUN_FAILURE)
    ]
    found["stats"] = [instance.get_run_stats(run.run_id).end_time for run in instance.get_runs()]
    found["freshness"] = storage.get_freshness_state_records([TOPIC])
    for key in (CLICKS, METRICS, TOPIC):
        found[key, "latest"] = instance.get_latest_materialization_event(key)
        found[key, "record"] = instance.get_asset_records([key])[0].asset_entry.last_materialization_record
        for kind in (EVENT.ASSET_MATERIALIZATION, EVENT.ASSET_MATERIALIZATION_PLANNED, EVENT.ASSET_OBSERVATION):
            found[key, kind] = instance.get_latest_storage_id_by_partition(key, kind)
        found[key, "observed"] = instance.fetch_observations(key, limit=1).records
        found[key, "hours"] = storage.get_materialized_partitions(key)
        found[key, "before"] = storage.get_materialized_partitions(key, before_cursor=young)
        found[key, "after"] = storage.get_materialized_partitions(key, after_cursor=young - 1)
        found[key, "versions"] = storage.get_latest_tags_by_partition(
            key, EVENT.ASSET_MATERIALIZATION, ["dagster/data_version"]
        )
        found[key, "changed"] = storage.get_updated_data_version_partitions(key, hours.get_partition_keys(), young - 1)
    for key in (CLICKS, METRICS):
        storage.wipe_asset_cached_status(key)
        found[key, "status"] = get_and_update_asset_status_cache_value(instance, key, hours)
    found["check"] = storage.get_asset_check_summary_records([FITS])
    found["check of hours"] = sorted(storage.get_asset_check_partition_info([FITS]))
    for hour in hours.get_partition_keys():
        this = PartitionKeyFilter(key=hour)
        found["check", hour] = storage.get_latest_asset_check_execution_by_key([FITS], this)
        found["said", hour] = storage.get_asset_check_execution_history(
            FITS, 1, status=EVALUATED, partition_filter=this
        )
    return found


def log(instance, run_id):
    return [(entry.dagster_event_type, entry.user_message) for entry in instance.all_logs(run_id)]


@pytest.fixture
def database(tmp_path):
    with postgres(tmp_path) as found:
        yield found


@pytest.fixture
def instance(database, tmp_path):
    kept = yaml.safe_load((K8S / "base" / "dagster.yaml").read_text())
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump({name: kept[name] for name in ("storage", "telemetry")}))
    home = {**database.environment, "DAGSTER_HOME": str(tmp_path)}
    with patch.dict(os.environ, home), dg.DagsterInstance.get() as found:
        yield found


def purge(database):
    """The container's own command and setting, in batches of two; how many events and checks went."""
    (job,) = (m for _, m in files("production") if m["kind"] == "CronJob" and m["metadata"]["name"] == "purge")
    (container,) = pod_of(job)["spec"]["containers"]
    (script,) = container["args"]
    own = {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}
    done = subprocess.run(
        [*container["command"], script.replace("10000", "2")],
        env={**os.environ, **database.tool_environment, **own},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    events, checks, _ = done.stdout.splitlines()[2].split("|")
    return int(events), int(checks)


def test_of_what_is_older_than_30_days_all_goes_that_only_a_log_shows(database, instance):
    old = [
        run(instance, "computed"),
        run(instance, "computed again", fits=False),
        run(instance, "failed"),
        run(instance, "failed", fits=False),
        run(instance, "failed", fails=True),  # its check stays a planned one
    ]
    told_of_the_topic(instance, FreshnessState.PASS)
    told_of_the_topic(instance, FreshnessState.FAIL)
    waiting = instance.create_run_for_job(later).run_id
    instance.report_engine_event("it waits", run_id=waiting, job_name="later")
    for table, column in (
        ("event_logs", "timestamp"),
        ("runs", "update_timestamp"),
        ("asset_check_executions", "evaluation_event_timestamp"),
    ):
        database.tool("psql", "-c", f"UPDATE {table} SET {column} = {column} - interval '31 days'")
    new = run(instance, "computed again")
    first = instance.get_records_for_run(new, limit=1, ascending=True).records[0].storage_id
    before, logs = answers(instance, first), {run_id: log(instance, run_id) for run_id in (new, waiting)}
    assert len(instance.fetch_materializations(CLICKS, limit=50).records) == 5
    assert before[METRICS, "hours"] == {"computed", "computed again", "failed"}
    failed = before[METRICS, "status"].deserialize_failed_partition_subsets(hours)
    assert failed.get_partition_keys() == {"failed"}

    events, checks = purge(database)

    assert events > 30
    assert checks == 1
    assert answers(instance, first) == before
    assert {run_id: log(instance, run_id) for run_id in (new, waiting)} == logs
    shown = {kind for run_id in old for kind, _ in log(instance, run_id)}
    ends = {EVENT.RUN_SUCCESS, EVENT.RUN_FAILURE}
    assert shown == {EVENT.RUN_START, EVENT.ASSET_MATERIALIZATION, EVENT.ASSET_MATERIALIZATION_PLANNED, *ends}
    # Of each hour the newest of the old ones, and the young one
    hours_left = [record.partition_key for record in instance.fetch_materializations(CLICKS, limit=50).records]
    assert sorted(hours_left) == ["computed", "computed again", "computed again", "failed"]
    assert len(instance.fetch_observations(TOPIC, limit=50).records) == 1
    tags = database.tool(
        "psql", "-At", "-c", "SELECT count(*) FROM asset_event_tags WHERE event_id NOT IN (SELECT id FROM event_logs)"
    )
    assert tags.strip() == "0"
    assert purge(database) == (0, 0)
