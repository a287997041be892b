"""What is said of freshness, and in which colour."""

from datetime import UTC, datetime, timedelta

import pytest

from clickstream_assets.page.figures import Freshness
from clickstream_assets.page.freshness import all_of, parts_of

NOW = datetime(2026, 11, 29, 14, 2, 10, tzinfo=UTC)
IDLE = NOW - timedelta(hours=5)
"""The watermark where a partition has brought nothing for five hours, whatever the others bring."""
SILENCE = "nobody has come since, or the pipeline stands still"


def hours_with_clicks(*hours):
    return frozenset(datetime(2026, 11, 29, hour, tzinfo=UTC) for hour in hours)


def graded(fresh):
    """Of each part the colour, and the words of those that clicks are of."""
    parts = {part.asset: part for part in parts_of(fresh, NOW)}
    return {name: part.grade for name, part in parts.items()}, parts["enriched_clicks"].words


def test_freshness_is_told_of_each_part():
    fresh = Freshness(NOW, NOW - timedelta(seconds=10), 0, NOW - timedelta(minutes=5), NOW - timedelta(hours=3))
    said = {part.asset: part.words for part in parts_of(fresh, NOW)}
    assert said["enriched_clicks"] == "Up to date: everything sent until 14:02:00 UTC is counted."
    assert said["raw_clicks"] == "No message waits to be read."
    assert said["es_index"] == "Last changed 5 minutes ago, at 13:57:10 UTC."
    assert said["daily_metrics"] == "Last changed 3 hours ago, at 11:02:10 UTC; no clicks of later hours are known."


def test_what_waits_is_told_in_numbers():
    parts = parts_of(Freshness(watermark=NOW, lag=16), NOW)
    assert parts[0].words == "16 messages wait to be read."
    assert parts[1].words == "Clicks until 14:02:10 UTC are counted; newer ones are under way."
    assert parts_of(Freshness(lag=1), NOW)[0].words == "1 message waits to be read."


@pytest.mark.parametrize(
    ("minutes", "lag", "messages", "clicks"),
    [
        (5, 0, "No message waits to be read.", "Up to date: everything sent until 14:01:10 UTC is counted."),
        (6, 0, "As of 13:56 UTC, no message waited to be read.", "As of 13:56 UTC, everything sent until"),
        (6, 1, "As of 13:56 UTC, 1 message waited to be read.", "As of 13:56 UTC, clicks until"),
        (6, 16, "As of 13:56 UTC, 16 messages waited to be read.", "As of 13:56 UTC, clicks until"),
        (24 * 60, 0, "As of Sat 28 Nov 2026, 14:02 UTC, no message", "As of Sat 28 Nov 2026, 14:02 UTC, everything"),
    ],
)
def test_what_was_written_down_a_while_ago_is_not_said_of_now(minutes, lag, messages, clicks):
    fresh = Freshness(NOW - timedelta(minutes=minutes), NOW - timedelta(minutes=1), lag)
    said = parts_of(fresh, NOW)[:2]
    assert said[0].words.startswith(messages)
    assert said[1].words.startswith(clicks)
    assert {part.grade for part in said} == {"good" if minutes <= 5 else "wait"}


def test_what_is_late_comes_first():
    late = Freshness(NOW, NOW, 0, NOW, NOW - timedelta(days=3), hours_with_clicks(1, 2, 13))
    assert all_of(parts_of(late, NOW)).asset == "daily_metrics"
    assert all_of(parts_of(Freshness(NOW, NOW, 0, NOW, NOW), NOW)).asset == "enriched_clicks"


def test_nothing_written_yet_is_no_fault():
    assert {part.grade for part in parts_of(Freshness(), NOW)} == {"wait"}


def test_an_idle_partition_makes_nothing_late_while_no_message_waits():
    fresh = Freshness(NOW, IDLE, 0, NOW, NOW, hours_with_clicks(8, 9, 13, 14))
    grades, clicks = graded(fresh)
    assert set(grades.values()) == {"good"}
    assert clicks == (
        "Up to date: everything sent is counted; a part of Kafka's topic has brought nothing newer than 09:02:10 UTC."
    )
    assert all_of(parts_of(fresh, NOW)).grade == "good"


def test_an_idle_partition_makes_nothing_late_while_the_others_are_read():
    grades, clicks = graded(Freshness(NOW, IDLE, 16, NOW, NOW, hours_with_clicks(8, 9, 13, 14)))
    assert "bad" not in grades.values()
    assert clicks == "All clicks until 09:02:10 UTC are counted, of newer ones a part; others are under way."


def test_messages_that_wait_while_no_newer_click_is_counted_are_late():
    grades, clicks = graded(Freshness(NOW, IDLE, 16, IDLE, IDLE, hours_with_clicks(8, 9)))
    assert grades["enriched_clicks"] == "bad"
    assert clicks == (
        "Late: messages wait, and of the clicks that are counted the latest hour with any is Sun 29 Nov 2026, "
        "09:00 to 10:00 UTC."
    )
    assert "there are none since 09:02:10 UTC" in graded(Freshness(NOW, IDLE, 16))[1]


def test_where_nobody_came_for_hours_nothing_is_called_late():
    grades, clicks = graded(Freshness(IDLE, IDLE, 0, IDLE, IDLE, hours_with_clicks(7, 8, 9)))
    assert "bad" not in grades.values()
    assert (
        clicks == f"As of 09:02 UTC, everything sent until 09:02:10 UTC was counted. Nothing is known since: {SILENCE}."
    )
    said = {part.asset: part.words for part in parts_of(Freshness(IDLE, IDLE, 0, IDLE, IDLE), NOW)}
    assert said["clickstream-hours"] == f"Last changed 5 hours ago, at 09:02:10 UTC: {SILENCE}."
    assert said["es_index"] == "Last changed 5 hours ago, at 09:02:10 UTC; no clicks of later hours are known."


def test_messages_that_waited_when_something_was_last_written_are_late():
    grades, clicks = graded(Freshness(IDLE, IDLE, 16, IDLE, IDLE))
    assert (grades["enriched_clicks"], grades["clickstream-hours"]) == ("bad", "bad")
    assert clicks == "Late: as of 09:02 UTC, clicks until 09:02:10 UTC were counted, and newer ones waited."


@pytest.mark.parametrize(
    ("hours", "grade"), [((9,), "good"), ((9, 14), "good"), ((9, 12, 14), "good"), ((9, 11, 14), "bad")]
)
def test_numbers_are_late_if_an_hour_since_has_clicks_for_long(hours, grade):
    grades, _ = graded(Freshness(NOW, NOW, 0, IDLE, IDLE, hours_with_clicks(*hours)))
    assert (grades["es_index"], grades["daily_metrics"]) == (grade, grade)


def test_whether_messages_wait_is_not_always_known():
    grades, clicks = graded(Freshness(NOW, IDLE, None, NOW, NOW))
    assert grades["enriched_clicks"] == "wait"
    assert clicks == "Clicks until 09:02:10 UTC are counted. Whether newer ones wait is not known."


def test_hours_that_are_counted_anew_are_not_said_to_be_counted():
    assert graded(Freshness(NOW, NOW, 0, stale=2))[1] == "All that was sent is read; 2 hours are being counted anew."
