"""Producers that are wrong, or ahead, and nothing of theirs is refused."""

import itertools
import json
import time
from datetime import UTC, datetime
from importlib import import_module

import dagster as dg

from clickstream_assets.events.hours import HOUR_MS, hour_of_key
from clickstream_assets.events.message_files import Message
from clickstream_assets.orchestration import kafka_offsets
from clickstream_assets.partitions import RANGE_END
from clickstream_assets_tests.conftest import NOW_MS
from clickstream_assets_tests.integration.pipeline import Pipeline, assert_golden

MINUTE = 60_000
LAST_HOUR = NOW_MS // HOUR_MS - 2
USUAL, SILENT, TWICE, OFF, MANY = range(LAST_HOUR - 8, LAST_HOUR + 2, 2)
"""Hours, each with one thing that its producer does wrong."""
_NUMBERS = itertools.count()


def sent(hour: int, recorded_ms: int | None = None, **fields: object) -> Message:
    """A view in the middle of an hour, recorded when it happened unless told otherwise."""
    number = next(_NUMBERS)
    at = hour * HOUR_MS + 30 * MINUTE
    event = {
        "event_id": f"e{number}",
        "user_id": f"u{number % 5}",
        "timestamp": at,
        "url": "https://producers.example/",
    }
    text = json.dumps(event | fields).encode()
    return Message(text, recorded_ms or at)


def warned(pipeline: Pipeline, first: int, last: int) -> set[tuple[str, int]]:
    """What is said of producers in the hours from ``first`` to ``last``."""
    names = {"has_clicks", "few_duplicates", "clocks_near", "few_urls"}
    return {found for found in pipeline.failing_checks(first, last) if found[0] in names}


def test_each_mistake_is_warned_of_in_the_hour_that_it_was_made_in(servers, tmp_path):
    strict = servers.model_copy(update={"warn_events_without_clicks": 30, "warn_urls": 30})
    pipeline = Pipeline(strict, "producers", tmp_path / "sent.jsonl")
    usual = [sent(USUAL, event_type=("scroll", "click")[i % 2], url=f"https://p.example/{i % 30}") for i in range(40)]
    repeated = [sent(TWICE) for _ in range(40)]
    half_a_day = 12 * HOUR_MS
    # Clocks half a day behind: said to have been sent then, and received now.
    off = [sent(OFF, timestamp=OFF * HOUR_MS - half_a_day, sent_at=OFF * HOUR_MS - half_a_day + i) for i in range(40)]
    pipeline.produce(usual)
    pipeline.produce([sent(SILENT, event_type="scroll") for _ in range(40)])
    pipeline.produce([*repeated, *repeated[:20]])
    pipeline.produce(off)
    pipeline.produce([sent(MANY, url=f"https://p.example/{i}") for i in range(40)])
    pipeline.settle()
    assert warned(pipeline, USUAL, MANY) == {
        ("has_clicks", SILENT),
        ("few_duplicates", TWICE),
        ("clocks_near", OFF),
        ("few_urls", MANY),
    }
    assert_golden(pipeline)


def test_what_was_sent_once_more_is_warned_of_in_the_hour_of_that_and_moves_no_book(servers, tmp_path):
    pipeline = Pipeline(servers, "sent-again", tmp_path / "sent.jsonl")
    again = [sent(USUAL + 1) for _ in range(30)]
    pipeline.produce(again)
    pipeline.settle()
    later = [Message(message.value, (USUAL + 3) * HOUR_MS + MINUTE) for message in again]
    pipeline.produce(later)
    pipeline.settle()
    assert warned(pipeline, USUAL + 1, USUAL + 3) == {("few_duplicates", USUAL + 3)}
    assert_golden(pipeline)


def next_hour() -> tuple[int, int]:
    """The hour that comes, and half an hour into it or as far as Kafka lets a record be ahead."""
    while (into := time.time() % 3600) < 90:
        time.sleep(91 - into)
    now_ms = int(time.time() * 1000)
    hour = now_ms // HOUR_MS + 1
    return hour, min(hour * HOUR_MS + 30 * MINUTE, now_ms + 59 * MINUTE)


def test_a_record_ahead_of_its_hour_is_stored_and_waits_until_that_begins(servers, tmp_path, monkeypatch):
    pipeline = Pipeline(servers, "ahead", tmp_path / "sent.jsonl")
    hour, recorded = next_hour()
    fast = sent(hour, recorded, timestamp=recorded)
    pipeline.produce([fast])
    pipeline.produce([sent(hour - 1, time.time_ns() // 1_000_000, timestamp=time.time_ns() // 1_000_000)])
    pipeline.settle()
    asked = [hour_of_key(run.dagster_run.tags[RANGE_END]) for run in pipeline.runs]
    assert max(asked) == hour - 1, "no partition is asked for that does not exist"
    assert pipeline.behind() == (0, 1), "everything is read, and the hour waits"
    with pipeline.resources["hbase"].books() as books:
        assert books.ledger.rows([hour - 1, hour]) == 2
    assert pipeline.of_hour(hour) == {}

    begun = hour * HOUR_MS / 1000 + 60
    for module in (kafka_offsets, import_module("clickstream_assets.assets.es_index")):
        monkeypatch.setattr(module, "time", lambda: begun)
    with dg.partition_loading_context(effective_dt=datetime.fromtimestamp(begun, UTC)):
        pipeline.settle()
    assert pipeline.behind() == (0, 0)
    (document,) = pipeline.of_hour(hour).values()
    assert document["clicks"] == 1
    assert_golden(pipeline)
