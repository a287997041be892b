"""Definitions are made from the settings they are given: pipelines of one process stay apart."""

import subprocess
import sys
from datetime import UTC, datetime

import dagster as dg
import pytest

from clickstream_assets.checks.day_checks import DAY_AUDIT_JOB
from clickstream_assets.checks.hour_checks import LATEST_CLOSED_HOUR
from clickstream_assets.definitions import build
from clickstream_assets.events.hours import hour_of_key
from clickstream_assets.orchestration.jobs import CHECKS, DAILY_ASSETS, DAY_CHECKS, HOURLY_ASSETS, check_jobs
from clickstream_assets.settings import Settings

FIRST, SECOND = (
    Settings(
        first_hour="2026-03-01-00:00",
        name_prefix="first-",
        sensor_interval_seconds=7,
        warn_late_share=0.1,
        kafka_bootstrap_servers="first:9092",
        hbase_host="first",
        elasticsearch_url="http://first:9200",
        request_data_ttl_days=3,
        geoip_database="/first.mmdb",
    ),
    Settings(
        first_hour="2026-05-01-12:00",
        name_prefix="second-",
        sensor_interval_seconds=11,
        warn_late_share=0.9,
        kafka_bootstrap_servers="second:9092",
        hbase_host="second",
        elasticsearch_url="http://second:9200",
        request_data_ttl_days=5,
        geoip_database="/second.mmdb",
    ),
)
# Both are there before either is looked at.
PIPELINES = [(settings, build(settings)) for settings in (FIRST, SECOND)]
each_pipeline = pytest.mark.parametrize(("settings", "defs"), PIPELINES, ids=["first", "second"])


@each_pipeline
def test_every_asset_check_and_job_begins_with_the_pipelines_own_first_hour_or_its_day(settings, defs):
    graph = defs.resolve_asset_graph()
    wanted = dict.fromkeys(HOURLY_ASSETS, settings.first_hour) | dict.fromkeys(DAILY_ASSETS, settings.first_hour[:10])
    partitioned = {key for key in graph.get_all_asset_keys() if graph.get(key).is_partitioned}
    first = {key.to_user_string(): graph.get(key).partitions_def.get_first_partition_key() for key in partitioned}
    assert first == wanted
    of_checks = {
        (key.asset_key.to_user_string(), graph.get_check_spec(key).partitions_def.get_first_partition_key())
        for key in graph.asset_check_keys
        if key.asset_key in partitioned
    }
    assert of_checks == set(wanted.items())
    begins = {job.name: job.partitions_def.get_first_partition_key() for job in check_jobs(settings)}
    assert begins.pop(DAY_AUDIT_JOB) == settings.first_hour[:10]
    assert set(begins.values()) == {settings.first_hour}


@each_pipeline
def test_metadata_names_the_pipelines_own_stores(settings, defs):
    words = {spec.key.to_user_string(): repr(spec.metadata) for spec in defs.resolve_all_asset_specs()}
    other = ({FIRST, SECOND} - {settings}).pop()
    topic = defs.resolve_asset_graph().get(dg.AssetKey("clickstream_topic")).metadata
    assert (topic["topic"], topic["consumer_group"]) == (settings.topic, settings.consumer_group)
    assert all(other.name_prefix not in said for said in words.values())


@each_pipeline
def test_the_sensor_looks_at_the_pipelines_own_pace(settings, defs):
    sensor = defs.resolve_sensor_def("kafka_offsets")
    assert sensor.minimum_interval_seconds == settings.sensor_interval_seconds


@each_pipeline
def test_resources_lead_to_the_pipelines_own_servers_and_names(settings, defs):
    kafka, hbase, es = (defs.resources[name] for name in ("kafka", "hbase", "elasticsearch"))
    assert (kafka.bootstrap_servers, kafka.topic, kafka.consumer_group) == (
        settings.kafka_bootstrap_servers,
        settings.topic,
        settings.consumer_group,
    )
    assert (hbase.host, hbase.request_data_ttl_days) == (settings.hbase_host, settings.request_data_ttl_days)
    assert {table.name for table in hbase.new_tables()} == {
        settings.table(name)
        for name in (
            "clickstream_blocks",
            "clickstream_daily_metrics",
            "clickstream_data",
            "clickstream_dead_letters",
            "clickstream_ingest_ledger",
            "clickstream_metrics",
        )
    }
    assert (es.url, es.alias) == (settings.elasticsearch_url, settings.alias)
    assert defs.resources["geoip"].database == str(settings.geoip_database)
    assert defs.resources["configured"] is settings, "thresholds of checks come with it"


@each_pipeline
def test_the_schedule_asks_for_no_hour_before_the_pipelines_own_first(settings, defs):
    schedule = defs.resolve_schedule_def("hourly_look")
    first = hour_of_key(settings.first_hour)

    def answer(hour):
        at = datetime.fromtimestamp(hour * 3600 + 660, UTC)
        context = dg.build_schedule_context(scheduled_execution_time=at)
        return schedule.evaluate_tick(context).run_requests

    assert not answer(first)
    assert answer(first + 1)


@each_pipeline
def test_every_check_of_an_hourly_asset_is_in_the_jobs_that_look_at_hours(settings, defs):
    declared = {(checks.asset, name) for checks in CHECKS for name in checks.checks}
    looked_at = {
        job: {
            (key.asset_key.to_user_string(), key.name)
            for key in defs.resolve_job_def(job).asset_layer.asset_graph.asset_check_keys
        }
        for job in ("clickstream_checks", "clickstream_now", "clickstream_audit")
    }
    of_topic = {("clickstream_topic", "nothing_lost_unread"), ("clickstream_topic", "no_log_cut_back")}
    assert looked_at["clickstream_checks"] == {(asset, name) for asset, name in declared if name != LATEST_CLOSED_HOUR}
    assert looked_at["clickstream_now"] == declared | of_topic
    assert looked_at["clickstream_audit"] == declared


@each_pipeline
def test_every_check_of_a_daily_asset_is_in_the_job_that_looks_at_days(settings, defs):
    keys = defs.resolve_job_def(DAY_AUDIT_JOB).asset_layer.asset_graph.asset_check_keys
    declared = {(checks.asset, name) for checks in DAY_CHECKS for name in checks.checks}
    assert {(key.asset_key.to_user_string(), key.name) for key in keys} == declared


IMPORTED = """
import gc, threading
gc.set_threshold(701, 11, 11)
import dagster
before = gc.get_threshold(), threading.enumerate(), gc.get_freeze_count()
import clickstream_assets.definitions
print((gc.get_threshold(), threading.enumerate(), gc.get_freeze_count()) == before)
"""


@pytest.mark.slow
def test_importing_the_definitions_starts_no_thread_and_leaves_the_process_as_it_was():
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "True\n"
