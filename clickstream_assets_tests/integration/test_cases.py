"""Each message that went wrong once ends as the contract says, from the topic to Elasticsearch.

Ids and users are the same in many cases, so each has an hour of its own, with one between that stays empty.
"""

from collections import Counter

import pytest

from clickstream_assets.books.row_keys import key_ranges
from clickstream_assets.books.table_schemas import CLICKS, DEAD_LETTERS
from clickstream_assets.events.hours import HOUR_MS
from clickstream_assets_tests.acceptance import golden
from clickstream_assets_tests.acceptance.cases import CASES, NIGHT_MS
from clickstream_assets_tests.conftest import NOW_MS
from clickstream_assets_tests.integration.pipeline import Pipeline, assert_golden

NIGHT = NIGHT_MS // HOUR_MS
HOURS = {case.id: NOW_MS // HOUR_MS - 2 * (number + 1) for number, case in enumerate(CASES)}
MOVED = {case.id: case.moved(HOURS[case.id] - NIGHT) for case in CASES}


@pytest.fixture(scope="module")
def settled(servers, tmp_path_factory):
    """A pipeline at rest behind all cases, with its documents."""
    pipeline = Pipeline(servers, "cases", tmp_path_factory.mktemp("cases") / "sent.jsonl")
    pipeline.produce([message for case in MOVED.values() for message in case.messages])
    pipeline.settle()
    return pipeline, pipeline.documents()


@pytest.mark.parametrize("name", HOURS)
def test_a_case_ends_as_expected(settled, name):
    pipeline, documents = settled
    expected, hour = MOVED[name].expected, HOURS[name]
    assert golden.compare(expected["metrics"], pipeline.of_hour(hour, documents)) == []
    with pipeline.resources["hbase"].client() as hbase:
        bots = [row.get(CLICKS.columns["bot"].key) == b"true" for row in rows_of(hbase, pipeline, hour)]
        refused = Counter(
            letter[DEAD_LETTERS.columns["reason"].key].decode()
            for letter in letters(hbase, pipeline)
            if int(letter[DEAD_LETTERS.columns["record_time"].key]) // HOUR_MS == hour
        )
    assert (len(bots), sum(bots), refused) == (expected["stored"], expected["bots"], expected["refused"])


def test_all_cases_together_are_goldens_and_in_order(settled):
    pipeline, documents = settled
    assert_golden(pipeline)
    assert documents.keys() == {key for case in MOVED.values() for key in case.expected["metrics"]}
    assert pipeline.reconcile().duplicates == sum(case.expected["duplicates"] for case in CASES)
    assert pipeline.failed_checks() == []


def rows_of(hbase, pipeline, hour):
    for ranges in key_ranges([hour]):
        for start, stop in ranges:
            yield from cells(hbase, pipeline.table(CLICKS.name), start, stop)


def letters(hbase, pipeline):
    yield from cells(hbase, pipeline.table(DEAD_LETTERS.name), b"", b"\xff")


def cells(hbase, table, start, stop):
    for _, row in hbase.scan(table, start, stop):
        yield row
