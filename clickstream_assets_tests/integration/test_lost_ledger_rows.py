"""Rows of the ledger deleted in HBase itself: told, and healed by materializing one of their hours by hand."""

import json
from collections import Counter

import pytest

from clickstream_assets.clients.hbase import RowMutation
from clickstream_assets.domain.hours import key_of_hour
from clickstream_assets.domain.ledger import Ledger
from clickstream_assets.domain.table_schemas import LEDGER
from clickstream_assets.traffic.message_files import Message
from clickstream_assets_tests.conftest import NOW_MS
from clickstream_assets_tests.integration.pipeline import Pipeline, assert_golden

HOUR = 3_600_000
START = NOW_MS // HOUR - 12


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


def books(pipeline: Pipeline) -> tuple[list, dict[int, Counter[str]]]:
    """The entries without what says when and by which run, and what the shares of each hour add up to."""
    hbase = pipeline.resources["hbase"]
    with hbase.client() as client:
        ledger = Ledger(client, hbase.table(LEDGER.name))
        entries = [
            (entry.partition, entry.first, entry.end, entry.kind, entry.read, entry.kept_by_hour, entry.late_by_hour)
            for entry in ledger.entries()
        ]
        sums = {
            hour: sum(
                (Counter(kept=s.kept, late=s.late, refused=s.dead_lettered) for s in ledger.shares(hour)), Counter()
            )
            for hour in range(START, START + 4)
        }
    return entries, sums


def test_an_hour_materialized_by_hand_books_a_lost_entry_anew_in_all_its_hours(pipeline):
    before = books(pipeline)
    hbase = pipeline.resources["hbase"]
    with hbase.client() as client:
        ledger = Ledger(client, hbase.table(LEDGER.name))
        lost = [entry for entry in ledger.entries() if START in entry.hours and START + 3 in entry.hours]
        assert lost
        for entry in lost:
            key = f"range|{entry.topic_id}|{entry.partition:06d}|{entry.first:020d}".encode()
            client.mutate(hbase.table(LEDGER.name), [RowMutation(key, {}, (b"entry",))])
        for entry in lost:
            assert ledger.holes(entry.topic_id, entry.partition, entry.first, entry.end) == [(entry.first, entry.end)]
        gone = [share for share in ledger.shares(START) if ledger.at(share) is None]
        assert {(share.partition, share.first) for share in gone} == {(entry.partition, entry.first) for entry in lost}
    assert pipeline.reconcile().differences != []

    assert pipeline.run(partition_key=key_of_hour(START)).success
    pipeline.settle()
    assert books(pipeline) == before
    assert_golden(pipeline)
