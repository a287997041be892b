"""Rows of the ledger deleted in HBase itself: checks name their hours, and a rebuild of these heals them."""

import json

import pytest

from clickstream_assets.books.ledger_entries import HourCounts
from clickstream_assets.events.message_files import Message
from clickstream_assets.stores.hbase.client import RowMutation
from clickstream_assets_tests.conftest import NOW_MS
from clickstream_assets_tests.integration.pipeline import Pipeline, assert_golden

HOUR = 3_600_000
START = NOW_MS // HOUR - 12
HOURS = range(START, START + 4)


def event(name: str, hour: int, recorded_ms: int) -> Message:
    fields = {"event_id": name, "user_id": name[0], "timestamp": hour * HOUR + 60_000, "url": "https://books.example/"}
    text = json.dumps(fields).encode()
    return Message(text, recorded_ms)


@pytest.fixture
def pipeline(servers, tmp_path):
    """At rest behind four hours of events, some of the first come in the last, and some refused."""
    made = Pipeline(servers, "lost", tmp_path / "sent.jsonl")
    for hour in range(START, START + 4):
        made.produce([event(f"{name}-{hour}", hour, hour * HOUR + 90_000) for name in "abcdefgh"])
    late = (START + 3) * HOUR + 120_000
    made.produce([event(f"{name}-late", START, late) for name in "abcdefgh"] + [Message(b"{", late)] * 8)
    made.settle()
    assert_golden(made)
    return made


def counts(pipeline: Pipeline) -> dict[int, HourCounts]:
    """What the ledger says of each hour."""
    with pipeline.resources["hbase"].books() as books:
        return books.ledger.counts(HOURS)


def test_lost_entries_are_named_in_all_their_hours_and_read_again_by_a_rebuild_of_them(pipeline):
    before = counts(pipeline)
    with pipeline.resources["hbase"].books() as books:
        lost = [entry for entry in books.ledger.entries() if START in entry.hours and START + 3 in entry.hours]
        assert lost
        for entry in lost:
            key = f"range|{entry.topic_id}|{entry.partition:06d}|{entry.first:020d}".encode()
            books.hbase.mutate(books.tables.ledger, [RowMutation(key, {}, (b"entry",))])
        parts = books.ledger.parts([START])[START]
        gone = {part for part, entry in books.ledger.entries_of(parts).items() if entry is None}
        assert {(part.partition, part.first) for part in gone} == {(entry.partition, entry.first) for entry in lost}
    assert pipeline.reconcile().differences != []
    failing = pipeline.failing_checks(*HOURS)
    assert failing >= {
        (check, hour)
        for check in ("books_balance", "offsets_complete")
        for hour in set().union(*(entry.hours for entry in lost))
    }
    assert {name for name, _ in failing} <= {"books_balance", "offsets_complete", "letters_match_ledger", "held_back"}

    pipeline.rebuild(START, START + 4)
    pipeline.settle()
    assert pipeline.failing_checks(*HOURS) == set()
    assert counts(pipeline) == before
    assert_golden(pipeline)
