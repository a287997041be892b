"""Worked on by Spark, in its own process or on several executors, even ones that die: the same rows and books."""

import json
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256

import psutil
import pytest
from elasticsearch.helpers import scan

from clickstream_assets.books import blocks, row_keys
from clickstream_assets.books.blocks import BLOCK, TODO, place_of
from clickstream_assets.books.checkpoints import Checkpoints
from clickstream_assets.books.ledger import Ledger
from clickstream_assets.books.row_keys import metrics_key
from clickstream_assets.books.table_schemas import BLOCKS, CLICKS, DEAD_LETTERS, ENRICHED_FAMILIES, LEDGER, METRICS
from clickstream_assets.enrich import enriching, from_rows
from clickstream_assets.enrich.enriching import enrich
from clickstream_assets.events.hours import HOUR_MS, rfc3339_of_hour
from clickstream_assets.events.message_files import Message
from clickstream_assets.evidence.hour_counts import count_clicks, count_rows
from clickstream_assets.index import indexing
from clickstream_assets.index.documents import ensure_template
from clickstream_assets.index.indexing import Target, index_changed, index_whole
from clickstream_assets.ingest import offset_plan, reading
from clickstream_assets.ingest.ingestion import Ingestion, IngestReport
from clickstream_assets.ingest.reading import Wide
from clickstream_assets.local.demo.visits import demo_messages
from clickstream_assets.local.stack import ports, processes
from clickstream_assets.local.stack.processes import Launch
from clickstream_assets.local.stack.server import Folders
from clickstream_assets.local.stack.spark_server import SparkConnect, spark_home
from clickstream_assets.metrics import computing, page_rows
from clickstream_assets.metrics.computing import compute
from clickstream_assets.metrics.page_rows import same_users
from clickstream_assets.stores.hbase.client import RowMutation
from clickstream_assets.stores.kafka.client import TopicClient
from clickstream_assets.stores.spark.resource import SparkResource
from clickstream_assets_tests.conftest import NOW_MS
from clickstream_assets_tests.hard_cases import CHROME, FRENCH, GERMAN, hard_cases
from clickstream_assets_tests.integration.pipeline import Pipeline, assert_golden

EVENTS = 12_000
START = NOW_MS // HOUR_MS - 2
HOURS = [START, START + 1]
BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


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
    server = SparkConnect(folders, ports.free_port(set()), "local-cluster[2,1,1536]", ports.Door(), "a token")
    launch = server.launch()
    child = processes.start(Launch(**{**vars(launch), "environment": {**launch.environment, "SPARK_HOME": str(home)}}))
    try:
        deadline = time.monotonic() + 120
        while not ports.is_open(server.port):
            child.check()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        session = SparkSession(f"sc://{ports.HOST}:{server.port}/;authorization=Bearer%20a%20token")
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
            for table in (CLICKS, DEAD_LETTERS, LEDGER, BLOCKS)
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


def event(at: int) -> dict:
    """The ``at``-th of the events, which are spread over two hours."""
    made = {"event_id": f"e{at}", "user_id": f"u{at % 97}", "timestamp": START * HOUR_MS + at * 7_200_000 // EVENTS}
    made |= {
        "url": f"https://wide.example/{at % 50}",
        "ip": (GERMAN, FRENCH, "10.0.0.1")[at % 3],
        "note": "x" * (at % 300),
    }
    return made | {"user_agent": BOT if at % 41 == 0 else CHROME} | ({"engagement_time_ms": at} if at % 13 == 0 else {})


def some_events() -> list[Message]:
    """Every tenth comes twice, every hundredth is refused."""
    made = []
    for at in range(EVENTS):
        sent = event(at - 1 if at % 10 == 1 else at)
        made.append(Message(b"{" if at % 100 == 7 else json.dumps(sent).encode(), sent["timestamp"]))
    return made


def test_an_executor_and_a_worker_that_are_killed_change_nothing(servers, cluster, tmp_path, monkeypatch):
    session, server = cluster
    pipeline = Pipeline(servers, "killed-executor", tmp_path / "sent.jsonl")
    pipeline.produce(some_events())
    monkeypatch.setattr(reading, "TASK_OFFSETS", EVENTS // 12)
    monkeypatch.setattr(offset_plan, "MAX_RANGE", EVENTS // 24)
    here = ingest(pipeline, "here", None, "run")

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


def slowed(work, seconds: float = 1):
    """Work of tasks that rest behind each answer, so that they are at work when they are killed."""

    def slow(*arguments):
        for answer in work(*arguments):
            time.sleep(seconds)
            yield answer

    return slow


def killed_once_begun(server: psutil.Process, work: Future, begun) -> None:
    """Kill an executor and a worker as soon as something is written, and wait for the work to end all the same."""
    while not begun():
        assert not work.done(), "nothing was written"
        time.sleep(0.05)
    kill_some(server)
    assert not work.done(), "the job was over before anything was killed"
    work.result(240)


class Steps:
    """Enrichment and metrics of one topic's events under a name of their own, on whatever Spark they are given."""

    def __init__(self, pipeline: Pipeline, name: str) -> None:
        ingest(pipeline, name, None, "run")
        hbase, geoip = pipeline.resources["hbase"], pipeline.resources["geoip"]
        self.hbase = hbase.model_copy(update={"name_prefix": f"{hbase.name_prefix}{name}-"})
        self.rules = geoip.rules()

    def enrich(self, spark, whole=()):
        with self.hbase.books() as books:
            return enrich(spark, books, HOURS, self.rules, whole)

    def compute(self, spark, run_id: str = "run", whole=(), *, dry_run: bool = False):
        with self.hbase.books() as books:
            done, unfit = compute(spark, books, HOURS, run_id, whole, dry_run=dry_run)
        assert not unfit
        return done

    def blocks(self) -> dict:
        """What the ledger says of each part's block, but for the bytes it takes."""
        with self.hbase.books() as books:
            return {
                place_of(part, hour): part.block
                and (part.block.clicks, part.block.first_ms, part.block.cells.rows, part.block.cells.digest)
                for hour, parts in books.ledger.parts(HOURS).items()
                for part in parts
                if part.counts.kept
            }

    def clicks(self) -> Counter:
        """All that is in the blocks of the hours, as tuples, whatever the order."""
        with self.hbase.books() as books:
            wanted = {
                place_of(part, hour): part.block.cells
                for hour, parts in books.ledger.parts(HOURS).items()
                for part in parts
                if part.counts.kept
            }
            read = blocks.read(books.hbase, books.tables.blocks, BLOCK, wanted, blocks.CLICKS)
            return Counter(row for _, batch in read for row in zip(*batch.to_pydict().values(), strict=True))

    def enriched_cells(self) -> dict:
        with self.hbase.books() as books:
            families = [family.encode() for family in ENRICHED_FAMILIES]
            return dict(books.hbase.scan(books.tables.clicks, b"", b"", families))

    def forget_enrichment(self) -> None:
        """As if it never was: events by column and rows are as ingestion left them."""
        with self.hbase.books() as books:
            parts = books.ledger.parts(HOURS)
            places = [place_of(part, hour) for hour in HOURS for part in parts[hour]]
            blocks.drop(books.hbase, books.tables.blocks, places, BLOCK)
            ledger = [key for key, _ in books.hbase.scan(books.tables.ledger, b"hour|", b"hour}")]
            books.hbase.mutate(books.tables.ledger, (RowMutation(key, {}, (b"entry:block",)) for key in ledger))
            families = tuple(family.encode() for family in ENRICHED_FAMILIES)
            rows = (RowMutation(key, {}, families) for key in self.enriched_cells())
            books.hbase.mutate(books.tables.clicks, rows)

    def metrics(self) -> dict:
        """Rows of ``clickstream_metrics``, without what says by whom and when they were computed."""
        unlike = {METRICS.columns[column].key for column in ("run_id", "computed_at")}
        with self.hbase.books() as books:
            rows = books.hbase.scan(books.tables.metrics, b"", b"")
            return {key: {c: v for c, v in cells.items() if c not in unlike} for key, cells in rows}

    def forget_metrics(self) -> None:
        with self.hbase.books() as books:
            books.hbase.mutate(books.tables.metrics, (RowMutation(key, {}, (b"metrics",)) for key in self.metrics()))
            Checkpoints(books).drop(HOURS)


def assert_same_metrics(some: dict, others: dict) -> None:
    """All cells alike, and sketches of the same users: their bytes depend on the order in which those came."""
    sketch = METRICS.columns["users_sketch"].key
    assert some.keys() == others.keys()
    for key, cells in some.items():
        assert same_users(cells[sketch], others[key][sketch])
        assert {**cells, sketch: b""} == {**others[key], sketch: b""}


@pytest.fixture(scope="module")
def fed(servers, tmp_path_factory):
    """A pipeline whose topic holds some events."""
    pipeline = Pipeline(servers, "stages", tmp_path_factory.mktemp("stages") / "sent.jsonl")
    pipeline.produce(some_events())
    return pipeline


@pytest.fixture
def steps(fed, request, monkeypatch):
    """Steps under the name of the test, on parts of some hundred events whose cells hold some dozens."""
    monkeypatch.setattr(offset_plan, "MAX_RANGE", EVENTS // 60)
    monkeypatch.setattr(blocks, "CELL_BYTES", 20_000)
    return Steps(fed, sha256(request.node.name.encode()).hexdigest()[:8])


@pytest.fixture
def here(fed):
    """Spark with the master ``local[*]``."""
    return fed.resources["spark"].session


def counted_events() -> Counter:
    """What blocks are to hold of the events, from these themselves."""
    first_of_id: dict[str, dict] = {}
    for message in some_events():
        if message.value != b"{":
            sent = json.loads(message.value)
            first_of_id.setdefault(
                f"{sent['event_id']}|{sent['user_id']}|{sent['url']}|{sent['timestamp'] // HOUR_MS}", sent
            )
    countries = {GERMAN: "DE", FRENCH: "FR"}
    return Counter(
        (
            sent["timestamp"],
            f"u{sent['user_id']}",
            sent["url"],
            blocks.CLICK,
            sent.get("engagement_time_ms", -1),
            countries.get(sent["ip"], "ZZ"),
            sent["user_agent"] == BOT,
        )
        for sent in first_of_id.values()
    )


def test_blocks_are_the_same_from_events_and_from_rows_here_and_on_executors(steps, here, cluster, monkeypatch):
    session, _ = cluster
    monkeypatch.setattr(row_keys, "ROWS_PER_TASK", EVENTS // 6)
    monkeypatch.setattr(enriching, "TASK_ROWS", EVENTS // 6)

    def refuse(*_, **__):
        raise AssertionError("that way was not to be gone")

    with monkeypatch.context() as patch:
        patch.setattr(from_rows, "scan_tasks", refuse)
        done = steps.enrich(here)
    with steps.hbase.books() as books:
        assert done.rows == sum(count_rows(books, HOURS).values()) > EVENTS * 0.8
    wanted, cells = steps.blocks(), steps.enriched_cells()
    assert None not in wanted.values()
    assert len(wanted) > 24
    assert steps.clicks() == counted_events()
    assert len(cells) == done.rows

    assert steps.enrich(here, HOURS).rows == 0, "no row's cells change"
    assert steps.blocks() == wanted
    steps.forget_enrichment()
    with monkeypatch.context() as patch:
        patch.setattr(from_rows, "scan_tasks", refuse)
        assert steps.enrich(session).rows == done.rows
    assert steps.blocks() == wanted
    assert steps.enriched_cells() == cells
    steps.forget_enrichment()
    with steps.hbase.books() as books:
        parts = books.ledger.parts(HOURS)
        blocks.drop(
            books.hbase, books.tables.blocks, (place_of(part, hour) for hour in HOURS for part in parts[hour]), TODO
        )
    assert steps.enrich(session).rows == done.rows
    assert steps.blocks() == wanted
    assert steps.enriched_cells() == cells
    assert steps.clicks() == counted_events()


def test_a_part_whose_events_are_lost_is_made_of_its_own_rows_alone(steps, here):
    with steps.hbase.books() as books:
        parts = (part for part in books.ledger.parts([START])[START] if part.counts.kept)
        _, in_the_middle, _, *_ = sorted(place_of(part, START) for part in parts if part.partition == 0)
        blocks.drop(books.hbase, books.tables.blocks, [in_the_middle], TODO)
    steps.enrich(here)
    assert steps.clicks() == counted_events()
    before = steps.blocks()
    assert steps.enrich(here, HOURS).rows == 0
    assert steps.blocks() == before


@pytest.mark.parametrize("source", ["events", "rows"])
def test_an_hour_enriched_on_executors_that_are_killed_is_enriched_as_without(
    steps, here, cluster, monkeypatch, source
):
    session, server = cluster
    steps.enrich(here)
    wanted, cells = steps.blocks(), steps.enriched_cells()
    steps.forget_enrichment()
    monkeypatch.setattr(row_keys, "ROWS_PER_TASK", EVENTS // 8)
    monkeypatch.setattr(enriching, "TASK_ROWS", EVENTS // 8)
    for module, name in ((enriching, "_enrich_events"), (from_rows, "_put_blocks")):
        monkeypatch.setattr(module, name, slowed(getattr(module, name)))

    with ThreadPoolExecutor(1) as thread, steps.hbase.books() as books:
        work = thread.submit(steps.enrich, session, HOURS if source == "rows" else ())
        killed_once_begun(
            server, work, lambda: sum(count.enriched for count in count_clicks(books, HOURS).values()) > 0
        )
    assert steps.blocks() == wanted
    assert steps.enriched_cells() == cells
    assert steps.enrich(session).rows == 0


def in_slices(monkeypatch, slices: int = 8) -> None:
    """Have hours computed by several tasks: blocks take some 60 bytes an event in memory."""
    monkeypatch.setattr(computing, "LARGE_BYTES", 60 * EVENTS // 2 // slices)


def test_hours_computed_in_slices_on_executors_that_are_killed_are_computed_as_in_one(
    steps, here, cluster, monkeypatch
):
    session, server = cluster
    steps.enrich(here)
    done = steps.compute(here)
    at_once = steps.metrics()
    humans = {
        hour: sum(1 for row in counted_events().elements() if row[0] // HOUR_MS == hour and not row[6])
        for hour in HOURS
    }
    assert {hour: of_hour.clicks for hour, of_hour in done.items()} == humans
    assert sum(of_hour.rows for of_hour in done.values()) == len(at_once) > 250

    steps.forget_metrics()
    in_slices(monkeypatch)
    monkeypatch.setattr(computing, "_write_slices", slowed(computing._write_slices))
    with ThreadPoolExecutor(1) as thread:
        work = thread.submit(steps.compute, session, "sliced")
        killed_once_begun(server, work, steps.metrics)
        sliced = work.result()
    with steps.hbase.books() as books:
        assert {len(checkpoint.slices) > 4 for checkpoint in Checkpoints(books).read(HOURS).values()} == {True}
    for hour in HOURS:
        sums = [(of.rows, of.clicks, of.urls, of.by_country) for of in (done[hour], sliced[hour])]
        assert sums[0] == sums[1]
    assert_same_metrics(steps.metrics(), at_once)
    looked = steps.compute(here, whole=HOURS, dry_run=True)
    assert [(of.written, of.deleted) for of in looked.values()] == [(0, 0)] * 2


def test_what_new_events_change_is_added_in_slices_on_executors_to_what_it_is_computed_whole(
    fed, steps, here, cluster, monkeypatch
):
    session, _ = cluster
    in_slices(monkeypatch)
    with steps.hbase.books() as books:  # the last parts of each log and hour come later
        late = [
            max((part for part in parts if part.partition == log), key=lambda part: part.first)
            for parts in books.ledger.parts(HOURS).values()
            for log in {part.partition for part in parts}
        ]
    all_parts = Ledger.parts
    with monkeypatch.context() as patch:
        patch.setattr(
            Ledger,
            "parts",
            lambda *arguments: {
                hour: [part for part in parts if part not in late] for hour, parts in all_parts(*arguments).items()
            },
        )
        steps.enrich(session)
        steps.compute(session, "before")
    before = steps.metrics()
    steps.enrich(session)
    done = steps.compute(session, "behind")
    behind = steps.metrics()
    humans = sum(1 for row in counted_events().elements() if not row[6])
    assert sum(of_hour.clicks for of_hour in done.values()) == humans
    assert sum(of_hour.written for of_hour in done.values()) > 0
    assert before != behind

    steps.forget_metrics()
    monkeypatch.setattr(computing, "LARGE_BYTES", 1 << 30)
    steps.compute(here, "whole", HOURS)
    assert_same_metrics(behind, steps.metrics())


def test_documents_indexed_on_executors_that_are_killed_are_all_there(servers, cluster, tmp_path, monkeypatch):
    session, server = cluster
    pipeline = Pipeline(servers, "killed-index", tmp_path / "sent.jsonl")
    hbase, elasticsearch = pipeline.resources["hbase"], pipeline.resources["elasticsearch"]
    monkeypatch.setattr(indexing, "_index_lists", slowed(indexing._index_lists, 2))

    def row(at: int) -> RowMutation:
        url = f"https://indexed.example/{at}"
        cells = METRICS.encode(
            hour=START,
            url=url,
            country="DE",
            clicks=at,
            unique_users=1,
            measured_views=0,
            time_spent_seconds=0.0,
            users_sketch=b"x" * 200,
            computed_at=0,
            run_id="run",
        )
        return RowMutation(metrics_key(START, url, "DE"), cells)

    def lists(rows: list[RowMutation]) -> list[RowMutation]:
        ids = [bytes.fromhex(row.key.split(b"|")[1].decode()) for row in rows]
        columns = {
            f"changed:1.{at // 500:03d}".encode(): b"".join(ids[at : at + 500]) for at in range(0, len(ids), 500)
        }
        return [RowMutation(page_rows.slice_key(START, 0), columns)]

    with ThreadPoolExecutor(1) as thread, hbase.books() as books, elasticsearch.client() as es:
        rows = [row(at) for at in range(1, EVENTS + 1)]
        books.hbase.mutate(books.tables.metrics, rows)
        books.hbase.mutate(books.tables.blocks, lists(rows))
        ensure_template(es, elasticsearch.alias)

        def clicks_and_versions() -> list[tuple[int, int]]:
            if not es.indices.exists_alias(name=elasticsearch.alias):
                return []
            es.indices.refresh(index=elasticsearch.alias)
            hits = scan(es, index=elasticsearch.alias, query={"version": True, "_source": ["clicks"]}, size=5_000)
            return sorted((hit["_source"]["clicks"], hit["_version"]) for hit in hits)

        def target(version: int) -> Target:
            return Target(elasticsearch.url, elasticsearch.alias, version)

        work = thread.submit(index_changed, session, books, target(100), [START])
        killed_once_begun(server, work, clicks_and_versions)
        written, _ = work.result()
        assert written[START].written == EVENTS
        assert clicks_and_versions() == [(clicks, 100) for clicks in range(1, EVENTS + 1)]

        gone = row(7).key.split(b"|")[1].decode()
        es.delete(index=f"{elasticsearch.alias}-{rfc3339_of_hour(START)[:7]}", id=gone)
        assert index_whole(session, books, target(200), [START], EVENTS)[START].written == 1
        assert clicks_and_versions() == [(clicks, 200 if clicks == 7 else 100) for clicks in range(1, EVENTS + 1)]


def test_a_pipeline_on_executors_is_golden_with_hours_in_slices(servers, cluster, tmp_path, monkeypatch):
    session, _ = cluster
    monkeypatch.setattr(SparkResource, "session", property(lambda resource: session))
    monkeypatch.setattr(computing, "LARGE_BYTES", 8_000)
    in_several, hour_in_slices = [], computing._hour_in_slices
    monkeypatch.setattr(computing, "_hour_in_slices", lambda *task: (in_several.append(task), hour_in_slices(*task))[1])
    pipeline = Pipeline(servers, "on-executors", tmp_path / "sent.jsonl")
    moment = datetime.fromtimestamp(NOW_MS / 1000, UTC)
    pipeline.produce(list(demo_messages(7, moment, events=2_000)))
    pipeline.settle()
    pipeline.produce(hard_cases(NOW_MS))
    pipeline.settle()
    assert in_several
    assert pipeline.failed_checks() == []
    assert_golden(pipeline)
