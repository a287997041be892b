"""What a hand changes in days that are at rest: their checks find it, tell it with their hours, and it is mended."""

import pytest

from clickstream_assets.books.row_keys import daily_document_id, daily_key_range
from clickstream_assets.books.table_schemas import DAILY
from clickstream_assets.checks.day_checks import DAY_AUDIT_JOB
from clickstream_assets.events.days import day_of_hour, key_of_day
from clickstream_assets.events.hours import HOUR_MS, key_of_hour
from clickstream_assets.events.message_files import Message
from clickstream_assets.index.daily_documents import index_of
from clickstream_assets.partitions import RANGE_END, RANGE_START
from clickstream_assets.stores.hbase.client import RowMutation
from clickstream_assets_tests.conftest import NOW_MS
from clickstream_assets_tests.hard_cases import BRITISH
from clickstream_assets_tests.integration.pipeline import Pipeline, assert_days_golden, page_view

HOUR = NOW_MS // HOUR_MS // 24 * 24 - 30
DAY = day_of_hour(HOUR)
ALL = daily_document_id(DAY, "all", None, None, None)
URL = "https://audited.example/"
OF_URL = daily_document_id(DAY, "url", None, URL, None)
PEOPLE, SUMS, DOCUMENTS, DIMENSIONS = (
    "daily_metrics.people_are_those_of_the_events",
    "daily_metrics.clicks_add_up",
    "es_daily_index.documents_match",
    "es_dimensions_index.hours_add_up",
)


@pytest.fixture(scope="module")
def pipeline(servers, tmp_path_factory):
    pipeline = Pipeline(servers, "days-audit", tmp_path_factory.mktemp("days") / "sent.jsonl")
    pipeline.produce([page_view(HOUR + i % 3, i, (URL, f"{URL}b")[i % 2], BRITISH) for i in range(30)])
    pipeline.settle()
    assert_days_golden(pipeline)
    return pipeline


def put(pipeline, row, **cells):
    with pipeline.resources["hbase"].client() as hbase:
        key = daily_key_range(DAY)[0] + row.encode()
        hbase.mutate(pipeline.table(DAILY.name), [RowMutation(key, DAILY.encode(**cells))])


def update(pipeline, document, **fields):
    with pipeline.resources["elasticsearch"].client() as es:
        es.update(index=index_of(pipeline.settings.daily_alias, DAY), id=document, doc=fields, refresh=True)


def alter_people(pipeline):
    put(pipeline, ALL, unique_users=99)
    update(pipeline, ALL, unique_users=99)
    return {PEOPLE}


def alter_clicks(pipeline):
    put(pipeline, OF_URL, clicks=1)
    update(pipeline, OF_URL, clicks=1)
    return {SUMS}


def alter_document(pipeline):
    update(pipeline, ALL, time_spent_seconds=1.5)
    return {DOCUMENTS}


def delete_document(pipeline):
    with pipeline.resources["elasticsearch"].client() as es:
        es.delete(index=index_of(pipeline.settings.daily_alias, DAY), id=OF_URL, refresh=True)
    return {DOCUMENTS}


def alter_dimension(pipeline):
    of_day = {"bool": {"filter": [{"term": {"span": "day"}}, {"term": {"dimension": "browser"}}]}}
    with pipeline.resources["elasticsearch"].client() as es:
        hit, *_ = es.search(index=pipeline.settings.dimensions_alias, query=of_day)["hits"]["hits"]
        es.update(index=hit["_index"], id=hit["_id"], doc={"events": 7}, refresh=True)
    return {DIMENSIONS}


def audit(pipeline):
    """The checks that fail in the day."""
    tags = {RANGE_START: key_of_day(DAY), RANGE_END: key_of_day(DAY)}
    job = pipeline.defs.resolve_job_def(DAY_AUDIT_JOB)
    result = job.execute_in_process(instance=pipeline.instance, tags=tags)
    assert result.success
    evaluations = result.get_asset_check_evaluations()
    assert {evaluation.partition for evaluation in evaluations} == {key_of_day(DAY)}
    return {f"{of.asset_key.to_user_string()}.{of.check_name}" for of in evaluations if not of.passed}


def told(pipeline):
    """What the document of one of the day's hours says of the day's checks."""
    pipeline.settle()
    with pipeline.resources["elasticsearch"].client() as es:
        index = f"{pipeline.settings.hours_alias}-{key_of_day(DAY)[:4]}"
        document = es.get(index=index, id=key_of_hour(HOUR))["_source"]
    assert document["day_checks_failed"] == len(document["day_failed_checks"])
    assert document["day_checks_passed"] + document["day_checks_failed"] == 6
    return {words.partition(":")[0] for words in document["day_failed_checks"]}


@pytest.mark.parametrize(
    "damage", [alter_people, alter_clicks, alter_document, delete_document, alter_dimension], ids=lambda of: of.__name__
)
def test_what_a_hand_changed_in_a_day_is_found_told_and_mended(pipeline, damage):
    assert audit(pipeline) == set()
    assert told(pipeline) == set()
    wanted = damage(pipeline)
    assert wanted <= audit(pipeline)
    assert wanted <= told(pipeline)
    assert_days_golden(pipeline)
    assert told(pipeline) == set()
    assert pipeline.settle_days() == []


def test_a_roll_up_whose_check_fails_is_followed_by_one_that_compares_all(pipeline):
    alter_clicks(pipeline)
    late = page_view(HOUR + 1, 40, f"{URL}c", BRITISH)
    pipeline.produce([Message(late.value, NOW_MS)])
    pipeline.settle()
    looks = [run.get_asset_check_evaluations() for run in pipeline.settle_days()]
    of_day = [look for look in looks if key_of_day(DAY) in {of.partition for of in look}]
    # The late event is of another url: by column nothing is to be done about the altered row.
    assert [[of.check_name for of in look if not of.passed] for look in of_day] == [["clicks_add_up"], []]
    assert_days_golden(pipeline)
