"""Worked on by Spark, in its own process or on several executors, even ones that die: the same rows and books."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime

import psutil
import pytest
from elasticsearch.helpers import scan

from clickstream_assets.clients.hbase import RowMutation
from clickstream_assets.clients.kafka import TopicClient
from clickstream_assets.domain import enrichment, metrics, offset_plan, reading, row_keys
from clickstream_assets.domain.documents import COMPARED, ensure_template
from clickstream_assets.domain.hour_counts import count_clicks, count_rows
from clickstream_assets.domain.ingest_report import IngestReport
from clickstream_assets.domain.ingestion import Ingestion
from clickstream_assets.domain.reading import Wide
from clickstream_assets.domain.replacing import replace
from clickstream_assets.domain.table_schemas import CLICKS, DEAD_LETTERS, LEDGER, METRICS
from clickstream_assets.spark_sources.elasticsearch import ElasticsearchDataSource
from clickstream_assets.spark_sources.hbase import HBaseDataSource
from clickstream_assets.stack import ports, processes
from clickstream_assets.stack.processes import Launch
from clickstream_assets.stack.server import Folders
from clickstream_assets.stack.spark import SparkConnect, spark_home
from clickstream_assets.traffic.demo import demo_messages
from clickstream_assets.traffic.message_files import Message
from clickstream_assets_tests.conftest import NOW_MS
from clickstream_assets_tests.integration.pipeline import Pipeline, assert_golden
from clickstream_assets_tests.traffic.hard_cases import hard_cases

EVENTS = 24_000


@pytest.fixture(scope="module")
def cluster(servers, tmp_path_factory):
    """A Spark Connect server with two executors that are processes of their own, and its process."""
    from pyspark.sql.connect.session import SparkSession

    folder = tmp_path_factory.mktemp("cluster")
    folders = Folders.of(folder, "spark")
    folders.prepare()
    home = folder / "spark-home"  # executors get their folders below it
    home.mkdir()
    for entry in spark_home().iterdir():
        (home / entry.name).symlink_to(entry)
    server = SparkConnect(folders, ports.free_port(set()), "local-cluster[2,1,1536]", ports.Door())
    launch = server.launch()
    child = processes.start(Launch(**{**vars(launch), "environment": {**launch.environment, "SPARK_HOME": str(home)}}))
    try:
        deadline = time.monotonic() + 120
        while not ports.is_open(server.port):
            child.check()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        session = SparkSession(f"sc://{ports.HOST}:{server.port}")
        yield session, psutil.Process(child.pid)
        session.client.close()
    finally:
        child.stop()


def ingest(pipeline: Pipeline, name: str, wide: Wide | None, run_id: str) -> IngestReport:
    """All of a pipeline's topic into tables of its own, by a consumer group of its own."""
    hbase, settings = pipeline.resources["hbase"], pipeline.settings
    own = hbase.model_copy(update={"name_prefix": f"{hbase.name_prefix}{name}-"})
    with (
        TopicClient(settings.kafka_bootstrap_servers, settings.topic, f"{name}-group") as topic,
        own.books() as books,
    ):
        topic.commit(dict.fromkeys(topic.partitions(), 0))
        ingestion = Ingestion(topic, books, settings.first_hour_ms, run_id, wide)
        return ingestion.read_until(topic.ends(topic.partitions()), ())


def tables(pipeline: Pipeline, name: str) -> dict:
    """Everything that an ingestion wrote, but for what differs from run to run."""
    unlike = {b"letter:run_id", b"entry:run_id", b"entry:written_at"}
    with pipeline.resources["hbase"].client() as client:
        return {
            table.name: {
                key: {cell: value for cell, value in cells.items() if cell not in unlike}
                for key, cells in client.scan(pipeline.table(f"{name}-{table.name}"), b"", b"")
            }
            for table in (CLICKS, DEAD_LETTERS, LEDGER)
        }


def counts(report: IngestReport) -> tuple[int, ...]:
    return report.read, report.kept, report.duplicates, report.dead_lettered


def kill_some(server: psutil.Process) -> None:
    """Kill a Python worker and an executor of a cluster."""

    def living(word: str) -> list[psutil.Process]:
        found = []
        for child in server.children(recursive=True):
            with suppress(psutil.Error):  # it has just ended
                if word in " ".join(child.cmdline()):
                    found.append(child)
        return found

    for victim in (living("python_daemon")[-1], living("CoarseGrainedExecutorBackend")[0]):
        victim.kill()


def test_hard_cases_and_demo_events_read_on_spark_are_golden(servers, tmp_path, monkeypatch):
    always = servers.model_copy(update={"spark_ingest_events": 0})
    pipeline = Pipeline(always, "wide", tmp_path / "sent.jsonl")
    monkeypatch.setattr(reading, "TASK_OFFSETS", 1_000)
    monkeypatch.setattr(offset_plan, "MAX_RANGE", 500)
    read_on_spark, jobs = reading._read_on_spark, []
    monkeypatch.setattr(reading, "_read_on_spark", lambda *work: (jobs.append(work), read_on_spark(*work))[1])
    pipeline.produce([*hard_cases(NOW_MS), *demo_messages(7, datetime.fromtimestamp(NOW_MS / 1000, UTC), events=2000)])
    pipeline.settle()
    assert jobs
    assert_golden(pipeline)
    assert pipeline.failed_checks() == []

    found = pipeline.reconcile()
    with pipeline.topic() as topic, pipeline.resources["hbase"].books() as books:
        topic.commit(dict.fromkeys(topic.partitions(), 0))
        wide = Wide(lambda: pipeline.resources["spark"].session, 0)
        again = Ingestion(topic, books, servers.first_hour_ms, "again", wide)
        report = again.read_until(topic.ends(topic.partitions()), ())
    assert report.new_rows == 0
    assert counts(report) == (found.read, found.rows, found.duplicates, found.letters)


def some_events() -> list[Message]:
    """Events of two hours; every tenth comes twice, every hundredth is refused."""
    start = NOW_MS // 3_600_000 * 3_600_000 - 7_200_000
    made = []
    for at in range(EVENTS):
        time_ms = start + at * 7_200_000 // EVENTS
        event = {"event_id": f"e{at // 10 if at % 10 == 1 else at}", "user_id": f"u{at % 97}", "timestamp": time_ms}
        event |= {"url": f"https://wide.example/{at % 50}", "note": "x" * (at % 300)}
        made.append(Message(b"{" if at % 100 == 7 else json.dumps(event).encode(), time_ms))
    return made


def test_an_executor_and_a_worker_that_are_killed_change_nothing(servers, cluster, tmp_path, monkeypatch):
    session, server = cluster
    pipeline = Pipeline(servers, "killed-executor", tmp_path / "sent.jsonl")
    pipeline.produce(some_events())
    here = ingest(pipeline, "here", None, "run")
    monkeypatch.setattr(reading, "TASK_OFFSETS", EVENTS // 12)
    monkeypatch.setattr(offset_plan, "MAX_RANGE", EVENTS // 24)

    with ThreadPoolExecutor(1) as thread, pipeline.resources["hbase"].client() as client:
        wide = thread.submit(ingest, pipeline, "wide", Wide(lambda: session, 0), "run")
        name = pipeline.table(f"wide-{CLICKS.name}")
        while name not in client.tables() or next(client.scan(name, b"", b""), None) is None:
            assert not wide.done(), "nothing was written"
            time.sleep(0.05)
        kill_some(server)
        assert not wide.done(), "the job was over before anything was killed"
        report = wide.result(120)
    assert counts(report) == counts(here)
    assert tables(pipeline, "wide") == tables(pipeline, "here")

    again = ingest(pipeline, "wide", Wide(lambda: session, 0), "again")
    assert (again.new_rows, *counts(again)) == (0, *counts(here))


def metrics_of(hbase) -> dict:
    """The rows of a pipeline's metrics, without what says by whom they were computed and the bytes of their sketch."""
    unlike = {METRICS.columns[column].key for column in ("run_id", "computed_at", "users_sketch")}
    with hbase.books() as books:
        return {
            key: {cell: value for cell, value in cells.items() if cell not in unlike}
            for key, cells in books.hbase.scan(books.tables.metrics, b"", b"")
        }


def test_rows_enriched_and_computed_on_executors_that_are_killed_end_as_without(
    servers, cluster, tmp_path, monkeypatch
):
    session, server = cluster
    for source in (HBaseDataSource, ElasticsearchDataSource):
        session.dataSource.register(source)
    pipeline = Pipeline(servers, "killed-later", tmp_path / "sent.jsonl")
    pipeline.produce(some_events())
    ingest(pipeline, "later", None, "run")
    hbase = pipeline.resources["hbase"].model_copy(update={"name_prefix": pipeline.table("later-")})
    geoip = pipeline.resources["geoip"]
    start = NOW_MS // 3_600_000 - 2
    hours = [start, start + 1]
    monkeypatch.setattr(row_keys, "ROWS_PER_TASK", 500)
    tasks = row_keys.scan_tasks(hours, EVENTS)

    def computed(spark, run_id: str) -> dict:
        rows = metrics.compute(hbase.read(spark, CLICKS, metrics.INPUT, tasks), hours, 0, run_id)
        with hbase.books() as books:
            return replace(rows, books, hours, EVENTS)

    with ThreadPoolExecutor(1) as thread, hbase.books() as books:

        def enriched() -> int:
            return sum(count.enriched for count in count_clicks(books, hours).values())

        def enrich_all() -> int:
            versions = geoip.versions()
            with hbase.books() as own:
                return enrichment.enrich(session, own, tasks, versions, geoip.database, geoip.trusted)

        work = thread.submit(enrich_all)
        while not enriched():
            assert not work.done(), "nothing was written"
        kill_some(server)
        assert not work.done(), "the job was over before anything was killed"
        work.result(120)
        rows = sum(count_rows(books, hours).values())
        assert rows > EVENTS * 0.8
        assert enriched() == rows
        assert enrich_all() == 0

        done = computed(pipeline.resources["spark"].session, "here")
        here = metrics_of(hbase)
        assert sum(int(cells[b"metrics:clicks"]) for cells in here.values()) == rows
        assert sum(one.clicks for one in done.values()) == rows
        assert sum(one.rows for one in done.values()) == sum(one.written for one in done.values()) == len(here)
        books.hbase.mutate(books.tables.metrics, (RowMutation(key, {}, (b"metrics",)) for key in here))
        work = thread.submit(computed, session, "there")
        time.sleep(1)
        kill_some(server)
        assert not work.done(), "the job was over before anything was killed"
        again = work.result(120)
        assert {hour: (one.rows, one.clicks) for hour, one in again.items()} == {
            hour: (one.rows, one.clicks) for hour, one in done.items()
        }
        assert metrics_of(hbase) == here


def test_documents_indexed_on_executors_that_are_killed_are_all_there(servers, cluster, tmp_path, monkeypatch):
    session, server = cluster
    for source in (HBaseDataSource, ElasticsearchDataSource):
        session.dataSource.register(source)
    pipeline = Pipeline(servers, "killed-index", tmp_path / "sent.jsonl")
    hbase, elasticsearch = pipeline.resources["hbase"], pipeline.resources["elasticsearch"]
    hour, cells = NOW_MS // 3_600_000 - 2, {name: column.key for name, column in METRICS.columns.items()}

    def row(at: int) -> RowMutation:
        url = f"https://indexed.example/{at}"
        same = {"country": "DE", "unique_users": 1, "measured_views": 0, "time_spent_seconds": 0.0, "run_id": "run"}
        values = {"hour": hour, "url": url, "clicks": at, "users_sketch": "x" * 200, "computed_at": 0, **same}
        puts = {cells[name]: str(value).encode() for name, value in values.items()}
        return RowMutation(metrics.metrics_key(hour, url, "DE"), puts)

    monkeypatch.setattr(metrics, "AT_MOST_PER_TASK", EVENTS // 24)
    shares = metrics.MetricsTasks.of([hour], EVENTS)

    def index_all() -> None:
        rows = hbase.read(session, METRICS, ranges=shares.tasks())
        elasticsearch.write(metrics.documents(rows, elasticsearch.alias), COMPARED)

    with ThreadPoolExecutor(1) as thread, hbase.books() as books, elasticsearch.client() as es:
        books.hbase.mutate(books.tables.metrics, map(row, range(1, EVENTS + 1)))
        ensure_template(es, elasticsearch.alias)

        def clicks_and_versions() -> list[tuple[int, int]]:
            es.indices.refresh(index=elasticsearch.alias)
            found = scan(es, index=elasticsearch.alias, query={"version": True, "_source": ["clicks"]}, size=5_000)
            return sorted((hit["_source"]["clicks"], hit["_version"]) for hit in found)

        work = thread.submit(index_all)
        while not es.indices.exists_alias(name=elasticsearch.alias) or not clicks_and_versions():
            assert not work.done(), "nothing was written"
        kill_some(server)
        assert not work.done(), "the job was over before anything was killed"
        work.result(120)
        before = clicks_and_versions()
        assert [clicks for clicks, _ in before] == list(range(1, EVENTS + 1))
        index_all()
        assert clicks_and_versions() == before
