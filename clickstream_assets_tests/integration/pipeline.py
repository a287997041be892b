"""The whole pipeline on real servers, driven by its own sensor, under names of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from time import time
from typing import TypeVar

import dagster as dg

from clickstream_assets.assets.common import DAYS_JOB, SENSOR_JOB
from clickstream_assets.checks.presence import latest_closed_hour
from clickstream_assets.definitions import build
from clickstream_assets.events.hours import HOUR_MS, hour_of_key, key_of_hour, rfc3339_of_hour
from clickstream_assets.events.message_files import Message
from clickstream_assets.evidence.reconciliation import Reconciliation, progress, reconcile
from clickstream_assets.orchestration import kafka_offsets
from clickstream_assets.partitions import tags_of
from clickstream_assets.settings import Settings
from clickstream_assets.stores.kafka.client import TopicClient, ensure_topic
from clickstream_assets.stores.kafka.producer import send
from clickstream_assets_tests.acceptance import dimensions, golden
from clickstream_assets_tests.hard_cases import CHROME

T = TypeVar("T")


class Pipeline:
    """Topic, tables, index and a Dagster instance that nobody else writes to."""

    def __init__(self, servers: Settings, name: str, record_path) -> None:
        self.settings = servers.model_copy(update={"name_prefix": f"{name}-"})
        self.defs = build(self.settings)
        self.sensor = self.defs.resolve_sensor_def("kafka_offsets")
        # What is not there at a tick here does not come while it waits.
        kafka_offsets.TICK_SECONDS = 0
        self.instance = dg.DagsterInstance.ephemeral()
        self.resources = self.defs.resources
        self.cursor: str | None = None
        self.record_path = record_path
        self.runs: list[dg.ExecuteInProcessResult] = []
        self.resources["hbase"].ensure_tables()

    def produce(self, messages: list[Message]) -> int:
        ensure_topic(self.settings.kafka_bootstrap_servers, self.settings.topic)
        with self.record_path.open("a", encoding="utf-8") as record:
            return send(
                messages,
                bootstrap_servers=self.settings.kafka_bootstrap_servers,
                topic=self.settings.topic,
                record=record,
            )

    def topic(self) -> TopicClient:
        return self.resources["kafka"].client()

    def tick(self) -> dg.ExecuteInProcessResult | None:
        """Evaluate the sensor once and run what it asks for."""
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, resources=self.resources)
        answer = self.sensor.evaluate_tick(context)
        self.cursor = answer.cursor or self.cursor
        if not answer.run_requests:
            return None
        (request,) = answer.run_requests
        return self.run(run_config=request.run_config, tags=dict(request.tags))

    def run(self, **arguments) -> dg.ExecuteInProcessResult:
        job = self.defs.resolve_job_def(SENSOR_JOB)
        result = job.execute_in_process(instance=self.instance, **arguments)
        self.runs.append(result)
        return result

    def settle(self, most: int = 40) -> int:
        """Tick until nothing is left to do; returns how many runs it took."""
        for runs in range(most):
            result = self.tick()
            if result is None:
                return runs
            assert result.success
        raise AssertionError(f"not at rest after {most} runs")

    def settle_days(self) -> list[dg.ExecuteInProcessResult]:
        """Run what the sensor over days asks for until it asks for nothing; the runs."""
        sensor, job = self.defs.resolve_sensor_def("stale_days"), self.defs.resolve_job_def(DAYS_JOB)
        runs = []
        while len(runs) < 60:
            context = dg.build_sensor_context(instance=self.instance, resources=self.resources)
            answer = sensor.evaluate_tick(context)
            if not answer.run_requests:
                return runs
            (request,) = answer.run_requests
            runs.append(job.execute_in_process(instance=self.instance, tags=dict(request.tags)))
            assert runs[-1].success
        raise AssertionError("days are not at rest after 60 runs")

    def days(self) -> dict:
        """The documents of days, by golden.py's keys."""
        fields = ("day", "scope", "site", "url", "country")
        return golden.fetch(self.settings.elasticsearch_url, self.settings.daily_alias, fields, golden._day_key)

    def dimensions(self) -> dict:
        """The documents of dimensions, by the keys of their expected totals."""
        fields = ("span", "start", "dimension", "value")
        where = self.settings.elasticsearch_url, self.settings.dimensions_alias
        return golden.fetch(*where, fields, dimensions.key_of)

    def environment(self) -> dict[str, str]:
        """For a process of its own that is to work on this pipeline."""
        names = ("kafka_bootstrap_servers", "hbase_host", "hbase_port", "elasticsearch_url", "spark_remote")
        own = {f"CLICKSTREAM_{name.upper()}": str(getattr(self.settings, name)) for name in (*names, "name_prefix")}
        return os.environ | own

    def tick_in_a_process_killed_after(self, gap: str) -> int:
        """A tick in a process of its own that SIGKILLs itself behind one of ingestion's writes; its exit code."""
        command = [sys.executable, "-m", "clickstream_assets_tests.integration.killed_run", gap, str(self.record_path)]
        return subprocess.run(command, env=self.environment(), timeout=300, check=False).returncode

    def behind(self) -> tuple[int, int]:
        with self.topic() as topic, self.resources["hbase"].books() as books:
            return progress(topic, books)

    def reconcile(self) -> Reconciliation:
        es = self.resources["elasticsearch"]
        with self.topic() as topic, self.resources["hbase"].books() as books, es.client() as search:
            return reconcile(topic, books, search, es.alias)

    def documents(self) -> dict:
        fields = ("hour", "url", "country")
        return golden.fetch(self.settings.elasticsearch_url, self.settings.alias, fields, golden._hour_key)

    def expected(self) -> dict:
        return self._expected_by(golden)

    def expected_dimensions(self) -> dict:
        return self._expected_by(dimensions)

    def _expected_by(self, rules) -> dict:
        first = self.settings.first_hour[:13]
        first = f"{first[:10]}T{first[11:13]}"
        with self.record_path.open(encoding="utf-8") as lines:
            return rules.expect(lines, str(self.settings.geoip_database), first)

    def table(self, name: str) -> str:
        return self.settings.table(name)

    def materialize(self, asset: str, hour: int) -> dg.ExecuteInProcessResult:
        """One asset's hour as the UI does it: no config, its checks with it."""
        # One step writes both; the UI, too, selects them together.
        names = ("raw_clicks", "dead_letters") if asset == "raw_clicks" else (asset,)
        return self.defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=self.instance,
            partition_key=key_of_hour(hour),
            asset_selection=[dg.AssetKey(name) for name in names],
        )

    def rebuild(self, first: int, end: int) -> None:
        """Hours from ``first`` (included) to ``end`` (not) dropped and read again, as ``clickstream rebuild`` does."""
        config = {"first": key_of_hour(first), "end": key_of_hour(end)}
        result = self.defs.resolve_job_def("rebuild_hours").execute_in_process(
            instance=self.instance, run_config={"ops": {"rebuild": {"config": config}}}
        )
        assert result.success

    def failing_checks(self, *hours: int) -> set[tuple[str, int]]:
        """The checks of some hours that fail now, as (name, hour)."""
        tags = tags_of(min(hours), max(hours))
        result = self.defs.resolve_job_def("clickstream_checks").execute_in_process(instance=self.instance, tags=tags)
        assert result.success
        latest = {(e.check_name, e.partition): e for e in result.get_asset_check_evaluations()}
        return {(name, hour_of_key(key)) for (name, key), e in latest.items() if key and not e.passed}

    def latest_hour_checks(self) -> list[dg.AssetCheckEvaluation]:
        hour = latest_closed_hour(time())
        job = self.defs.resolve_job_def("clickstream_now")
        result = job.execute_in_process(instance=self.instance, tags=tags_of(hour, hour))
        return result.get_asset_check_evaluations()

    def of_hour(self, hour: int, documents: dict | None = None) -> dict:
        """The documents of an hour, by golden.py's keys."""
        prefix = rfc3339_of_hour(hour)[:13]
        return {key: doc for key, doc in (documents or self.documents()).items() if key.startswith(prefix)}

    def failed_checks(self) -> list[str]:
        return [
            f"{evaluation.check_name}: {evaluation.description}"
            for run in self.runs
            for evaluation in run.get_asset_check_evaluations()
            if not evaluation.passed and evaluation.severity is dg.AssetCheckSeverity.ERROR
        ]


def in_one_hour(act: Callable[[], T]) -> tuple[int, T]:
    """What ``act`` gives, and the hour it was done in: done again where the hour turned meanwhile.

    The hour that ends then is brought up to date by a run that is not counted on.
    """
    while True:
        hour, found = int(time() * 1000) // HOUR_MS, act()
        if int(time() * 1000) // HOUR_MS == hour:
            return hour, found


def assert_golden(pipeline: Pipeline) -> None:
    """Documents and counts equal golden.py's, and the books balance."""
    expected = pipeline.expected()
    assert golden.compare(expected["metrics"], pipeline.documents()) == []
    found = pipeline.reconcile()
    assert found.differences == []
    counts = (found.read, found.rows, found.duplicates, found.letters)
    assert counts == tuple(expected[name] for name in ("read", "stored", "duplicates", "dead_lettered"))


def assert_days_golden(pipeline: Pipeline) -> None:
    """Days, brought up to date, equal golden.py's, which puts them together from events; all their checks pass."""
    runs = pipeline.settle_days()
    failed = [e for run in runs for e in run.get_asset_check_evaluations() if not e.passed]
    assert failed == []
    assert golden.compare(pipeline.expected()["daily"], pipeline.days()) == []
    assert golden.compare(pipeline.expected_dimensions(), pipeline.dimensions()) == []


def page_view(hour: int, i: int, url: str, ip: str) -> Message:
    """The view of a page in the ``i``-th minute of an hour, recorded then, by one of seven users."""
    value = {
        "event_id": f"{hour}-{i}",
        "user_id": f"user-{i % 7}",
        "timestamp": (recorded := hour * HOUR_MS + i * 60_000),
        "url": url,
        "ip": ip,
        "user_agent": CHROME,
    }
    text = json.dumps(value).encode()
    return Message(text, recorded)


def plain(document: dict) -> dict:
    """A document without what says when and by whom it was computed, and without the bytes of its sketch.

    Those depend on the order in which Spark met the users.
    """
    return {name: value for name, value in document.items() if name not in ("computed_at", "run_id", "users_sketch")}
