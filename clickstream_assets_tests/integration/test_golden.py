"""What ends up in Elasticsearch equals what an independent computation expects."""

import json
from collections import Counter
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from clickstream_assets.books.checkpoints import Checkpoints
from clickstream_assets.cli import metrics as command
from clickstream_assets.cli.main import main
from clickstream_assets.events.days import day_of_hour, key_of_day
from clickstream_assets.events.hours import HOUR_MS, hour_of_key, key_of_hour
from clickstream_assets.events.message_files import Message
from clickstream_assets.local.demo.visits import demo_messages
from clickstream_assets_tests.acceptance import golden
from clickstream_assets_tests.conftest import NOW_MS
from clickstream_assets_tests.hard_cases import BRITISH, GERMAN
from clickstream_assets_tests.integration.pipeline import (
    Pipeline,
    assert_days_golden,
    assert_golden,
    page_view,
    plain,
)


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
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert "exact" in result.stderr
    clicks, most_users = Counter(), Counter()
    for key, row in expected.items():
        page = tuple(key.split("|", 1)[1].rsplit("|", 1))
        clicks[page] += row["clicks"]
        most_users[page] += row["unique_users"]
    assert {(row["url"], row["country"]): row["clicks"] for row in rows} == clicks
    assert [row["clicks"] for row in rows] == sorted(clicks.values(), reverse=True)
    assert all(0 < row["unique_users"] <= most_users[row["url"], row["country"]] for row in rows)
    seconds, views = (sum(row[name] for row in expected.values()) for name in ("time_spent_seconds", "measured_views"))
    assert sum(row["time_spent_seconds"] for row in rows) == pytest.approx(seconds)
    assert sum(row["measured_views"] for row in rows) == views


@pytest.mark.parametrize("scope", ["url_country", "site", "all"])
def test_the_command_gives_a_day_as_golden_does(hard, monkeypatch, scope):
    monkeypatch.setattr(command, "settings", lambda: hard.settings)
    expected = {key: row for key, row in hard.expected()["daily"].items() if key.split("|")[1] == scope}
    day = max(key[:10] for key in expected)
    first = hour_of_key(f"{day}-00:00")
    span = key_of_hour(first), key_of_hour(first + 24)
    arguments = ["metrics", *span, "--scope", scope, "--limit", "0", "--json"]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    rows = [{"day": day, "scope": scope, **json.loads(line)} for line in result.stdout.splitlines()]
    of_day = {key: row for key, row in expected.items() if key.startswith(day)}
    assert golden.compare(of_day, {golden._day_key(row): row for row in rows}) == []


def test_late_events_of_three_days_change_the_days_that_they_are_of(servers, tmp_path):
    pipeline = Pipeline(servers, "three-days", tmp_path / "sent.jsonl")
    first = NOW_MS // HOUR_MS - 3 * 24
    hours = [first + 1, first + 25, first + 49]
    pipeline.produce(
        [page_view(hour, i, f"https://s{i % 3}.example/{i % 4}", BRITISH) for hour in hours for i in range(40)]
    )
    pipeline.settle()
    assert_days_golden(pipeline)
    before = pipeline.days()
    late = [page_view(hour + 1, i, f"https://s{i % 3}.example/{i % 5}", GERMAN) for hour in hours[:2] for i in range(9)]
    pipeline.produce([Message(message.value, NOW_MS) for message in late])
    pipeline.settle()
    assert_days_golden(pipeline)
    after = pipeline.days()
    changed = {key[:10] for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    # The late events are of the hour behind, which may be another day's; time spent before it grows too.
    assert changed == {key_of_day(day_of_hour(at)) for hour in hours[:2] for at in (hour, hour + 1)}
    with pipeline.resources["hbase"].books() as books:
        Checkpoints(books).drop([hours[2]])  # as an earlier version left it
        books.hours.touch([hours[2]])
    pipeline.settle()
    assert_days_golden(pipeline)
    assert pipeline.settle_days() == []
