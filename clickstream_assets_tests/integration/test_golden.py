"""What ends up in Elasticsearch equals what an independent computation expects."""

import json
from collections import Counter
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from clickstream_assets.cli import metrics as command
from clickstream_assets.cli.main import main
from clickstream_assets.events.hours import hour_of_key, key_of_hour
from clickstream_assets.local.demo.visits import demo_messages
from clickstream_assets_tests.conftest import NOW_MS
from clickstream_assets_tests.integration.pipeline import Pipeline, assert_days_golden, assert_golden, plain


def test_demo_events_match_golden_and_produced_a_second_time_add_nothing(servers, tmp_path):
    pipeline = Pipeline(servers, "demo", tmp_path / "sent.jsonl")
    messages = list(demo_messages(7, datetime.fromtimestamp(NOW_MS / 1000, UTC), events=3000))
    pipeline.produce(messages)
    pipeline.settle()
    assert_golden(pipeline)
    assert_days_golden(pipeline)
    assert pipeline.failed_checks() == []

    before, counts = pipeline.documents(), pipeline.reconcile()
    with_ids = [message for message in messages if message.key]
    assert len(with_ids) > 2_900
    pipeline.produce(with_ids)
    pipeline.settle()
    assert_golden(pipeline)
    after = pipeline.reconcile()
    assert (after.read, after.rows) == (counts.read + len(with_ids), counts.rows)
    assert {key: plain(doc) for key, doc in pipeline.documents().items()} == {k: plain(d) for k, d in before.items()}


def test_hard_cases_match_golden(hard):
    assert_golden(hard)
    assert_days_golden(hard)
    assert hard.failed_checks() == []


def test_offsets_set_back_by_hand_change_nothing(hard):
    before = hard.documents()
    with hard.topic() as topic:
        topic.commit(dict.fromkeys(topic.partitions(), 0))
    assert hard.behind()[0] > 0
    hard.settle()
    assert_golden(hard)
    assert {key: plain(doc) for key, doc in hard.documents().items()} == {k: plain(d) for k, d in before.items()}


def test_an_hour_materialized_by_hand_ends_in_the_same_rows(hard):
    hour = max(key[:13] for key in hard.documents())
    key = f"{hour[:10]}-{hour[11:13]}:00"
    assert hard.run(partition_key=key).success
    hard.settle()
    assert_golden(hard)


def test_the_command_puts_hours_together_to_what_golden_adds_up_to(hard, monkeypatch):
    monkeypatch.setattr(command, "settings", lambda: hard.settings)
    expected = hard.expected()["metrics"]
    hours = sorted({hour_of_key(f"{key[:10]}-{key[11:13]}:00") for key in expected})
    span = key_of_hour(hours[0]), key_of_hour(hours[-1] + 1)
    result = CliRunner().invoke(main, ["metrics", *span, "--limit", "0", "--json"], catch_exceptions=False)
    rows = [json.loads(line) for line in result.output.splitlines()]
    clicks, most_users = Counter(), Counter()
    for key, row in expected.items():
        page = tuple(key.split("|", 1)[1].rsplit("|", 1))
        clicks[page] += row["clicks"]
        most_users[page] += row["unique_users"]
    assert {(row["url"], row["country"]): row["clicks"] for row in rows} == clicks
    assert [row["clicks"] for row in rows] == sorted(clicks.values(), reverse=True)
    assert all(0 < row["unique_users"] <= most_users[row["url"], row["country"]] * 1.02 for row in rows)
    seconds, views = (sum(row[name] for row in expected.values()) for name in ("time_spent_seconds", "measured_views"))
    assert sum(row["time_spent_seconds"] for row in rows) == pytest.approx(seconds)
    assert sum(row["measured_views"] for row in rows) == views
