"""Documents follow the rows that changed; materializing ``es_index`` writes those that are not as their metrics are."""

import math
from base64 import b64encode
from hashlib import sha256

import dagster as dg
import pytest
from pyspark.errors import PySparkException

from clickstream_assets.books import row_keys
from clickstream_assets.books.checkpoints import Checkpoints
from clickstream_assets.books.hour_states import INDEXED, HourStates
from clickstream_assets.books.row_keys import metrics_key_range
from clickstream_assets.books.table_schemas import METRICS
from clickstream_assets.definitions import resources
from clickstream_assets.events.hours import HOUR_MS, key_of_hour, rfc3339_of_hour
from clickstream_assets.events.message_files import Message
from clickstream_assets.index import documents
from clickstream_assets.index.indexing import Target, index_changed, index_whole
from clickstream_assets.metrics import page_rows
from clickstream_assets.metrics.hourly_metrics import sketch_of
from clickstream_assets.stores.hbase.client import RowMutation
from clickstream_assets_tests.conftest import NOW_MS
from clickstream_assets_tests.hard_cases import FRENCH, GERMAN
from clickstream_assets_tests.integration.pipeline import Pipeline, assert_golden, page_view

MINUTE = 60_000
HOUR = NOW_MS // HOUR_MS - 4
VIEWS = 40


def view(hour: int, i: int) -> Message:
    return page_view(hour, i, f"https://documents.example/{i % 20}", (GERMAN, FRENCH)[i // 20])


@pytest.fixture(scope="module")
def pipeline(servers, tmp_path_factory):
    """A pipeline at rest, with a document for each of 40 views in each of two hours."""
    made = Pipeline(servers, "documents", tmp_path_factory.mktemp("documents") / "sent.jsonl")
    made.produce([view(hour, i) for hour in (HOUR, HOUR + 1) for i in range(VIEWS)])
    made.settle()
    return made


@pytest.fixture
def es(pipeline):
    with pipeline.resources["elasticsearch"].client() as client:
        yield client


def hits(es, pipeline) -> dict:
    """Every document by its id, with its version."""
    es.indices.refresh(index=pipeline.settings.alias)
    found = es.search(index=pipeline.settings.alias, size=1_000, version=True, seq_no_primary_term=True)
    return {hit["_id"]: hit for hit in found["hits"]["hits"]}


def sources(found: dict) -> dict:
    return {doc_id: hit["_source"] for doc_id, hit in found.items()}


def written(found: dict) -> dict:
    return {doc_id: (hit["_version"], hit["_seq_no"]) for doc_id, hit in found.items()}


def metadata(run) -> dict:
    """What the run says of ``es_index``, by name."""
    (event,) = (e for e in run.get_asset_materialization_events() if e.asset_key.path == ["es_index"])
    return {name: value.value for name, value in event.materialization.metadata.items()}


def test_documents_that_are_as_their_metrics_are_not_written(pipeline, es):
    before = hits(es, pipeline)
    averages = {hit["_source"]["average_time_spent"] is None for hit in before.values()}
    assert (len(before), averages) == (2 * VIEWS, {True, False})
    run = pipeline.materialize("es_index", HOUR)
    assert written(hits(es, pipeline)) == written(before)
    assert metadata(run)["dagster/partition_row_count"] == VIEWS
    assert metadata(run)["documents_left_over"] == 0


def test_every_field_changed_by_hand_is_put_right_and_nothing_else_is_written(pipeline, es):
    before = hits(es, pipeline)
    of_hour = [hit for hit in before.values() if hit["_source"]["hour"] == rfc3339_of_hour(HOUR)]
    measured = [hit for hit in of_hour if hit["_source"]["average_time_spent"] is not None]
    other_sketch = b64encode(sketch_of(["somebody"])).decode()
    unmeasured = next(hit for hit in of_hour if hit["_source"]["average_time_spent"] is None)
    changes = [
        {"hour": rfc3339_of_hour(HOUR + 1)},
        {"hour": rfc3339_of_hour(HOUR - 1)},
        {"url": "https://documents.example/other"},
        {"country": "AQ"},
        {"clicks": 7},
        {"clicks": [1, 7]},
        {"unique_users": None},
        {"measured_views": 0},
        {"time_spent_seconds": math.nextafter(measured[8]["_source"]["time_spent_seconds"], math.inf)},
        {"average_time_spent": math.nextafter(measured[9]["_source"]["average_time_spent"], math.inf)},
        {"average_time_spent": None},
        {"computed_at": measured[11]["_source"]["computed_at"] + 1},
        {"run_id": "another"},
        {"users_sketch": other_sketch},
        {"users_sketch": None},
    ]
    changed = [*zip(measured, changes, strict=False), (unmeasured, {"average_time_spent": 1.0})]
    assert len(changed) == len(changes) + 1
    for hit, change in changed:
        es.update(index=hit["_index"], id=hit["_id"], doc=change)
    gone = measured[len(changes)]
    es.delete(index=gone["_index"], id=gone["_id"])

    assert pipeline.materialize("es_index", HOUR).success
    after = hits(es, pipeline)
    assert sources(after) == sources(before)
    rewritten = {hit["_id"] for hit, _ in changed} | {gone["_id"]}
    assert {doc_id for doc_id, one in written(after).items() if one != written(before)[doc_id]} == rewritten
    pipeline.settle()  # the sensor's run behind it finds nothing to write
    assert written(hits(es, pipeline)) == written(after)
    assert_golden(pipeline)


def test_documents_without_a_metric_are_deleted_from_their_hour(pipeline, es, monkeypatch):
    monkeypatch.setattr(documents, "ROWS_PER_CALL", 3)
    before = hits(es, pipeline)
    of_hour = [hit for hit in before.values() if hit["_source"]["hour"] == rfc3339_of_hour(HOUR)]
    other = next(hit for hit in before.values() if hit["_source"]["hour"] == rfc3339_of_hour(HOUR + 1))
    for i, hit in enumerate(of_hour[:10]):
        es.index(index=hit["_index"], id=f"stranger-{i}", document=hit["_source"])
    es.index(index=other["_index"], id="of-the-other-hour", document=other["_source"])

    run = pipeline.materialize("es_index", HOUR)
    after = hits(es, pipeline)
    assert set(after) == {*before, "of-the-other-hour"}
    assert metadata(run)["documents_left_over"] == 10
    assert metadata(run)["dagster/partition_row_count"] == VIEWS
    assert pipeline.materialize("es_index", HOUR + 1).success
    assert written(hits(es, pipeline)) == written(before)


def test_an_hour_without_metrics_ends_without_documents(pipeline, es):
    before = pipeline.documents()
    with pipeline.resources["hbase"].client() as client:
        table = pipeline.table("clickstream_metrics")
        rows = list(client.scan(table, *metrics_key_range(HOUR, HOUR)))
        client.mutate(table, [RowMutation(key, {}, (b"metrics",)) for key, _ in rows])
        run = pipeline.materialize("es_index", HOUR)
        assert pipeline.of_hour(HOUR) == {}
        assert metadata(run)["documents_left_over"] == len(rows) == VIEWS
        client.mutate(table, [RowMutation(key, cells) for key, cells in rows])
    assert pipeline.materialize("es_index", HOUR).success
    assert pipeline.documents() == before


def test_an_index_deleted_whole_comes_back_with_its_mapping_and_alias(pipeline, es):
    before = pipeline.documents()
    for index in {hit["_index"] for hit in hits(es, pipeline).values()}:
        es.indices.delete(index=index)
    es.indices.delete_index_template(name=pipeline.settings.alias)
    for hour in (HOUR, HOUR + 1):
        assert pipeline.materialize("es_index", hour).success
    pipeline.settle()
    assert pipeline.documents() == before
    assert pipeline.failing_checks(HOUR, HOUR + 1) == set()
    assert_golden(pipeline)


def test_documents_twice_behind_the_alias_stay_in_the_index_of_their_month(pipeline, es):
    before = hits(es, pipeline)
    copy = f"{pipeline.settings.alias}-copied"  # behind the alias, as the template has it
    for hit in before.values():
        es.index(index=copy, id=hit["_id"], document=hit["_source"])
    for hour in (HOUR, HOUR + 1):
        assert metadata(pipeline.materialize("es_index", hour))["documents_left_over"] == VIEWS
    es.indices.refresh(index=copy)
    assert es.count(index=copy)["count"] == 0
    assert written(hits(es, pipeline)) == written(before)
    es.indices.delete(index=copy)


def listed(pipeline) -> dict:
    """The lists of changed rows of the hour."""
    with pipeline.resources["hbase"].books() as books:
        return Checkpoints(books).lists(HOUR)


def test_what_changed_stays_listed_until_the_hour_is_marked_as_indexed(pipeline, es, monkeypatch):
    mark, forget, when_forgotten = HourStates.mark, Checkpoints.forget, []

    def dies_before_the_mark(states, step, marks):
        if step == INDEXED:
            raise ConnectionError("gone before the mark")
        mark(states, step, marks)

    def forgets(checkpoints, lists):
        with pipeline.resources["hbase"].books() as books:
            when_forgotten.append((bool(lists), books.hours.read([HOUR])[HOUR].stale))
        forget(checkpoints, lists)

    pipeline.produce([page_view(HOUR, 50, "https://documents.example/0", GERMAN)])
    with monkeypatch.context() as patch, pytest.raises(ConnectionError, match="before the mark"):
        patch.setattr(HourStates, "mark", dies_before_the_mark)
        pipeline.tick()
    written_before = hits(es, pipeline)
    assert sum(hit["_source"]["clicks"] for hit in written_before.values()) == 2 * VIEWS + 1
    assert listed(pipeline) != {}

    pipeline.instance = dg.DagsterInstance.ephemeral()  # behind a failed run the sensor would pause
    monkeypatch.setattr(Checkpoints, "forget", forgets)
    pipeline.settle()
    assert when_forgotten == [(True, False)]
    assert listed(pipeline) == {}
    assert sources(hits(es, pipeline)) == sources(written_before)
    assert_golden(pipeline)


# The index alone, on rows and lists that are put by hand


class Index:
    """Rows of one hour's metrics, what is listed of them, and their documents."""

    def __init__(self, servers, name):
        self.stores = resources(servers.model_copy(update={"name_prefix": f"documents-{name}-"}))
        self.url, self.alias = servers.elasticsearch_url, self.stores.elasticsearch.alias
        with self.stores.elasticsearch.client() as es:
            documents.ensure_template(es, self.alias)

    @staticmethod
    def doc_id(page: str) -> str:
        return sha256(f"{rfc3339_of_hour(HOUR)}|{page}|DE".encode()).hexdigest()

    def key(self, page: str) -> bytes:
        return f"{key_of_hour(HOUR)}|{self.doc_id(page)}".encode()

    def put(self, *pages: str, clicks: int = 1) -> None:
        rows = [
            RowMutation(
                self.key(page),
                METRICS.encode(
                    hour=HOUR,
                    url=page,
                    country="DE",
                    clicks=clicks,
                    unique_users=1,
                    measured_views=0,
                    time_spent_seconds=0.0,
                    users_sketch=b"\xff\x00sketch",
                    computed_at=7,
                    run_id="run",
                ),
            )
            for page in pages
        ]
        with self.stores.hbase.books() as books:
            books.hbase.mutate(books.tables.metrics, rows)

    def drop(self, *pages: str) -> None:
        with self.stores.hbase.books() as books:
            books.hbase.mutate(books.tables.metrics, [RowMutation(self.key(page), {}, (b"metrics",)) for page in pages])

    def list(self, stamp: int, *pages: str, slice_number: int = 0) -> None:
        """Put pages on a list of what a run changed, as ``url_country_metrics`` does."""
        ids = b"".join(bytes.fromhex(self.doc_id(page)) for page in pages)
        key = page_rows.slice_key(HOUR, slice_number)
        with self.stores.hbase.books() as books:
            books.hbase.mutate(books.tables.blocks, [RowMutation(key, {f"changed:{stamp}.000".encode(): ids})])

    def index_changed(self, version: int):
        """Index what is listed; returns what became of the hour. Lists are forgotten, as if the hour was marked."""
        with self.stores.hbase.books() as books:
            target = Target(self.url, self.alias, version)
            results, lists = index_changed(self.stores.spark.session, books, target, [HOUR])
            assert Checkpoints(books).lists(HOUR) == lists, "lists are there until somebody forgets them"
            Checkpoints(books).forget(lists)
            return results[HOUR]

    def index_whole(self, version: int, at_most: int, *, dry_run: bool = False):
        with self.stores.hbase.books() as books:
            target = Target(self.url, self.alias, version, dry_run)
            return index_whole(self.stores.spark.session, books, target, [HOUR], at_most)[HOUR]

    def documents(self) -> dict[str, tuple[int, int]]:
        """Clicks and version of each document by its page; that all else is as it should be is asserted."""
        with self.stores.elasticsearch.client() as es:
            es.indices.refresh(index=f"{self.alias}*")
            answer = es.search(index=self.alias, ignore_unavailable=True, size=10_000, version=True)
        documents_by_page = {}
        for hit in answer["hits"]["hits"]:
            document = hit["_source"]
            page, clicks = document["url"], document["clicks"]
            assert hit["_id"] == self.doc_id(page)
            assert hit["_index"] == f"{self.alias}-{rfc3339_of_hour(HOUR)[:7]}"
            assert document == {
                "hour": rfc3339_of_hour(HOUR),
                "url": page,
                "country": "DE",
                "clicks": clicks,
                "unique_users": 1,
                "measured_views": 0,
                "time_spent_seconds": 0.0,
                "average_time_spent": None,
                "users_sketch": "/wBza2V0Y2g=",
                "computed_at": 7,
                "run_id": "run",
                "state": "open",  # the versions here are times of 1970
            }
            documents_by_page[page] = clicks, hit["_version"]
        return documents_by_page


def test_rows_on_lists_are_written_by_id_and_documents_of_rows_that_are_gone_deleted(servers):
    index = Index(servers, "listed")
    index.put("/a", "/b", "/c", "/unlisted")
    index.list(1, "/a", "/b")
    index.list(2, "/b", "/c", slice_number=3)
    assert index.index_changed(100).written == 4
    assert index.documents() == {"/a": (1, 100), "/b": (1, 100), "/c": (1, 100)}

    index.put("/b", clicks=5)
    index.drop("/a")
    index.list(3, "/a", "/b", "/never-there")
    assert index.index_changed(200).written == 3
    assert index.documents() == {"/b": (5, 200), "/c": (1, 100)}
    assert index.index_changed(300).written == 0, "the lists are forgotten"


def test_a_long_list_is_worked_off_page_by_page(servers):
    index, pages = Index(servers, "long-list"), [f"/{number}" for number in range(1_000)]
    index.put(*pages)
    index.list(1, *pages)
    assert index.index_changed(100).written == len(pages)
    assert index.documents() == dict.fromkeys(pages, (1, 100))


def test_what_a_later_run_wrote_or_deleted_stays_when_an_earlier_one_writes_late(servers):
    index = Index(servers, "late")
    index.put("/changed", "/gone", "/came")
    index.list(1, "/changed", "/gone")
    index.index_changed(100)

    index.put("/changed", "/came", clicks=2)
    index.drop("/gone")
    index.list(3, "/changed", "/gone", "/came")
    index.index_changed(300)
    as_the_later_run_left_it = {"/changed": (2, 300), "/came": (2, 300)}
    assert index.documents() == as_the_later_run_left_it

    # What the earlier run had read before.
    index.put("/changed", "/gone")
    index.drop("/came")
    index.list(2, "/changed", "/gone", "/came")
    index.index_changed(200)
    assert index.documents() == as_the_later_run_left_it


def test_elasticsearch_remembers_what_was_deleted_for_longer_than_any_task_may_be_late(servers):
    index = Index(servers, "remembered")
    index.put("/a")
    index.list(1, "/a")
    index.index_changed(100)
    with index.stores.elasticsearch.client() as es:
        (own,) = es.indices.get_settings(index=f"{index.alias}-*", flat_settings=True).values()
    assert own["settings"]["index.gc_deletes"] == "1h"


def test_a_document_that_the_mapping_refuses_ends_the_run_with_its_reason(servers):
    index = Index(servers, "refused")
    immense = "/" + "x" * 40_000  # Lucene takes terms of up to 32,766 bytes
    index.put("/a", immense)
    index.list(1, "/a", immense)
    with pytest.raises(
        PySparkException, match=r"refused 1 document\(s\), the first one with .*failed to parse field .url."
    ):
        index.index_changed(100)
    index.drop(immense)
    assert index.index_changed(200).written == 2, "what was listed still is"
    assert index.documents() == {"/a": (1, 200)}


@pytest.mark.parametrize("tasks", [1, 7])
def test_of_a_whole_hour_the_documents_that_differ_are_written_and_named(servers, monkeypatch, tasks):
    index, pages = Index(servers, f"whole-{tasks}"), [f"/{number}" for number in range(700)]
    monkeypatch.setattr(row_keys, "AT_MOST_PER_TASK", len(pages) // tasks)
    index.put(*pages)
    assert index.index_whole(100, len(pages)).written == len(pages), "there was not even an index"
    assert index.documents() == dict.fromkeys(pages, (1, 100))

    in_order = sorted(pages, key=index.doc_id)
    altered, deleted = in_order[::50], in_order[25::50]
    with index.stores.elasticsearch.client() as es:
        own = f"{index.alias}-{rfc3339_of_hour(HOUR)[:7]}"
        for page in altered:
            es.update(index=own, id=index.doc_id(page), doc={"clicks": 9})
        for page in deleted:
            es.delete(index=own, id=index.doc_id(page))
    before = index.documents()
    looked = index.index_whole(200, len(pages), dry_run=True)
    assert (looked.written, len(looked.named)) == (28, 10)
    assert set(looked.named) < {index.doc_id(page) for page in altered + deleted}
    assert index.documents() == before, "a look changes nothing"

    assert index.index_whole(300, len(pages)).written == 28
    mended = dict.fromkeys(altered + deleted, (1, 300))
    assert index.documents() == dict.fromkeys(pages, (1, 100)) | mended
