"""Materializing ``es_index`` writes the documents that are not as their metrics are, and no other."""

import math

import pyarrow as pa
import pytest

from clickstream_assets.clients.hbase import RowMutation
from clickstream_assets.domain import documents
from clickstream_assets.domain.hours import HOUR_MS, rfc3339_of_hour
from clickstream_assets.domain.metrics import metrics_key_range
from clickstream_assets.spark_sources import elasticsearch as source
from clickstream_assets.traffic.message_files import Message
from clickstream_assets_tests.conftest import NOW_MS
from clickstream_assets_tests.integration.pipeline import Pipeline, assert_golden, page_view
from clickstream_assets_tests.traffic.hard_cases import FRENCH, GERMAN

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


def test_an_index_that_cannot_be_asked_for_a_field_is_written_whole(servers, es):
    es.indices.create(index="mapped-otherwise", mappings={"properties": {"word": {"type": "text"}}})
    es.index(index="mapped-otherwise", id="1", document={"word": "x"}, refresh=True)
    writer = source.ElasticsearchWriter(source.options(servers.elasticsearch_url, [{"field": "word"}]))
    batch = pa.RecordBatch.from_pylist([{"_index": "mapped-otherwise", "_id": "1", "word": "x"}])
    assert writer.write(iter([batch])).documents == 1


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_the_source_asks_each_index_for_its_own_ids(servers, es, monkeypatch, chunk):
    monkeypatch.setattr(source, "_CHUNK", chunk)
    names = [f"things-{chunk}-{letter}" for letter in "abc"]
    there = {"n": 1, "at": 5, "word": "x", "note": "old"}
    mapping = {"n": {"type": "long"}, "at": {"type": "date"}, "word": {"type": "keyword"}, "note": {"type": "keyword"}}
    for name in names[:2]:
        es.indices.create(index=name, mappings={"properties": mapping})
    es.index(index=names[0], id="1", document=there)
    es.index(index=names[1], id="2", document=there | {"word": None})
    es.indices.refresh(index=names[:2])

    rows = [
        {"_index": name, "_id": doc_id, "n": 1, "at": 5, "word": word, "note": "new"}
        for name in names
        for doc_id, word in (("1", "x"), ("2", None))
    ]
    fields = [{"field": "n"}, {"field": "at", "format": "epoch_millis"}, {"field": "word"}]
    writer = source.ElasticsearchWriter(source.options(servers.elasticsearch_url, fields))
    batch = pa.RecordBatch.from_pylist(rows)
    assert writer.write(iter([batch.slice(0, 4), batch.slice(4)])).documents == 4
    es.indices.refresh(index=names)
    found = es.search(index=names, size=100)["hits"]["hits"]
    assert {(hit["_index"][-1], hit["_id"], hit["_source"]["note"]) for hit in found} == {
        ("a", "1", "old"),
        ("a", "2", "new"),
        ("b", "1", "new"),
        ("b", "2", "old"),
        ("c", "1", "new"),
        ("c", "2", "new"),
    }
    assert source.ElasticsearchWriter({"url": servers.elasticsearch_url}).write(iter([batch])).documents == len(rows)
