"""What a hand changes in closed hours: the audit finds it, names it, and the sensor heals it."""

from datetime import UTC, datetime

import dagster as dg
import pytest

from clickstream_assets.books.row_keys import hour_of
from clickstream_assets.books.table_schemas import CLICKS, METRICS
from clickstream_assets.events.hours import hour_of_key, key_of_hour
from clickstream_assets.index.documents import index_of
from clickstream_assets.local.demo.visits import demo_messages
from clickstream_assets.partitions import tags_of
from clickstream_assets.stores.hbase.client import RowMutation
from clickstream_assets_tests.conftest import NOW_MS
from clickstream_assets_tests.integration.pipeline import Pipeline, assert_golden


@pytest.fixture(scope="module")
def pipeline(servers, tmp_path_factory):
    pipeline = Pipeline(servers, "audit", tmp_path_factory.mktemp("audit") / "sent.jsonl")
    pipeline.produce(list(demo_messages(3, datetime.fromtimestamp(NOW_MS / 1000, UTC), events=1_500)))
    pipeline.settle()
    assert_golden(pipeline)
    return pipeline


@pytest.fixture(scope="module")
def hours(pipeline):
    """Closed hours that have documents, latest first."""
    closed = NOW_MS // 3_600_000
    keys = {hour_of_key(f"{key[:10]}-{key[11:13]}:00") for key in pipeline.documents()}
    return sorted((hour for hour in keys if hour < closed), reverse=True)


def audit(pipeline, hours):
    """The audit's findings of what is wrong, as words by check and hour; what is merely unusual is none."""
    job = pipeline.defs.resolve_job_def("clickstream_audit")
    result = job.execute_in_process(instance=pipeline.instance, tags=tags_of(min(hours), max(hours)))
    assert result.success
    latest = {(e.check_name, e.partition): e for e in result.get_asset_check_evaluations()}
    failed = {
        (name, key): e.description
        for (name, key), e in latest.items()
        if key and not e.passed and e.severity is dg.AssetCheckSeverity.ERROR
    }
    # Hours between without an event are not there: nobody waited for the sensor to make them.
    return {found: words for found, words in failed.items() if found[0] != "latest_closed_hour"}


def some_row(pipeline, table, hour, of):
    with pipeline.resources["hbase"].client() as hbase:
        return next((key, cells) for key, cells in hbase.scan(pipeline.table(table), b"", b"") if of(key) == hour)


def put(pipeline, table, key, **cells):
    schema = {CLICKS.name: CLICKS, METRICS.name: METRICS}[table]
    with pipeline.resources["hbase"].client() as hbase:
        hbase.mutate(pipeline.table(table), [RowMutation(key, schema.encode(**cells))])


def alter_document(pipeline, hour):
    key, _ = some_metric(pipeline, hour)
    doc_id = key.split(b"|")[1].decode()
    with pipeline.resources["elasticsearch"].client() as es:
        (hit,) = es.search(index=pipeline.settings.alias, query={"ids": {"values": [doc_id]}})["hits"]["hits"]
        es.index(index=hit["_index"], id=doc_id, document=hit["_source"] | {"url": "https://elsewhere.example/"})
    return "documents_match", doc_id


def delete_document(pipeline, hour):
    key, _ = some_metric(pipeline, hour)
    doc_id = key.split(b"|")[1].decode()
    with pipeline.resources["elasticsearch"].client() as es:
        es.delete(index=index_of(pipeline.settings.alias, hour), id=doc_id, refresh=True)
    return "documents_match", doc_id


def add_document(pipeline, hour):
    key, _ = some_metric(pipeline, hour)
    doc_id = key.split(b"|")[1].decode()
    with pipeline.resources["elasticsearch"].client() as es:
        (hit,) = es.search(index=pipeline.settings.alias, query={"ids": {"values": [doc_id]}})["hits"]["hits"]
        es.index(index=hit["_index"], id="0" * 64, document=hit["_source"], refresh=True)
    return "documents_match", "0" * 64


def alter_metric(pipeline, hour):
    key, _ = some_metric(pipeline, hour)
    put(pipeline, METRICS.name, key, time_spent_seconds=0.5)
    return "clicks_add_up", key.decode()


def delete_metric(pipeline, hour):
    key, _ = some_metric(pipeline, hour)
    with pipeline.resources["hbase"].client() as hbase:
        hbase.mutate(pipeline.table(METRICS.name), [RowMutation(key, {}, (b"metrics",))])
    return "clicks_add_up", key.decode()


def alter_country(pipeline, hour):
    key, _ = some_row(pipeline, CLICKS.name, hour, hour_of)
    put(pipeline, CLICKS.name, key, country="XX")
    return "every_row_enriched", key.hex()


def alter_city(pipeline, hour):
    key, _ = some_row(pipeline, CLICKS.name, hour, hour_of)
    put(pipeline, CLICKS.name, key, city="Nowhere")
    return "every_row_enriched", key.hex()


def some_metric(pipeline, hour):
    return some_row(pipeline, METRICS.name, hour, lambda key: hour_of_key(key.split(b"|")[0].decode()))


DAMAGES = (
    alter_document,
    delete_document,
    add_document,
    alter_metric,
    delete_metric,
    alter_country,
    alter_city,
)


def test_the_audit_finds_names_and_heals_what_a_hand_changed_or_deleted_in_closed_hours(pipeline, hours):
    assert audit(pipeline, hours) == {}
    for turn in range(0, len(DAMAGES), len(hours)):
        wanted = {}
        for damage, hour in zip(DAMAGES[turn:], hours, strict=False):
            check, name = damage(pipeline, hour)
            wanted[check, key_of_hour(hour)] = name
        found = audit(pipeline, hours)
        for (check, key), name in wanted.items():
            assert name in found.get((check, key), ""), (check, key, found)
        assert pipeline.settle() >= 1
        assert audit(pipeline, hours) == {}
        assert_golden(pipeline)
    assert pipeline.failed_checks() == []
