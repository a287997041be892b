"""Whatever happened on the way, at rest the metrics are golden and nobody had to materialize anything by hand."""

import json
import signal
import time

from clickstream_assets.events.message_files import Message
from clickstream_assets.partitions import hours_in
from clickstream_assets_tests.conftest import NOW_MS
from clickstream_assets_tests.hard_cases import hard_cases
from clickstream_assets_tests.integration.pipeline import Pipeline, assert_golden, in_one_hour

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NOON = NOW_MS // HOUR * HOUR - 6 * HOUR
"""An hour that has long closed."""


def event(event_id: str, user: str, time_ms: int, recorded_ms: int | None = None, **fields: object) -> Message:
    value = {"event_id": event_id, "user_id": user, "timestamp": time_ms, "url": "https://rest.example/", **fields}
    text = json.dumps(value).encode()
    return Message(text, recorded_ms or time_ms)


def test_events_three_weeks_late_and_the_first_minutes_of_an_hour_reach_the_hours_they_change(servers, tmp_path):
    pipeline = Pipeline(servers, "late", tmp_path / "sent.jsonl")
    weeks_ago = NOON - 20 * DAY
    views = [event(f"v{hour}", "ada", start + 50 * MINUTE) for hour, start in enumerate((weeks_ago, NOON))]
    pipeline.produce([*views, event("other", "bob", weeks_ago + 5 * MINUTE)])
    pipeline.settle()
    assert_golden(pipeline)
    assert all(doc["measured_views"] == 0 for doc in pipeline.documents().values())

    # Ten minutes after each view, so in the first minutes of the next hour; the one of weeks ago arrives only now.
    pipeline.produce(
        [
            event("next", "ada", NOON + 60 * MINUTE),
            event("late-next", "ada", weeks_ago + 60 * MINUTE, NOW_MS),
            event("late-new", "cleo", weeks_ago + 30 * MINUTE, NOW_MS),
        ]
    )
    pipeline.settle()
    assert_golden(pipeline)
    measured = {
        key[:13]: doc["time_spent_seconds"] for key, doc in pipeline.documents().items() if doc["measured_views"]
    }
    assert sorted(measured.values()) == [600.0, 600.0]


def test_a_backlog_of_eighty_small_hours_takes_a_few_runs(servers, tmp_path):
    pipeline = Pipeline(servers, "backlog", tmp_path / "sent.jsonl")
    start = NOON - 79 * HOUR
    pipeline.produce(
        [
            event(f"b{hour}-{i}", f"user-{i}", start + hour * HOUR + i * 5 * MINUTE)
            for hour in range(80)
            for i in range(10)
        ]
    )
    begun = time.time()
    runs, done = pipeline.settle(), time.time()
    closed_meanwhile = done // 3600 - begun // 3600
    assert runs <= 3 + closed_meanwhile
    assert done - begun < 180
    assert_golden(pipeline)


def test_scattered_stale_hours_take_a_few_runs_and_the_newest_come_first(servers, tmp_path):
    few = servers.model_copy(update={"max_hours_per_run": 40})
    pipeline = Pipeline(few, "scattered", tmp_path / "sent.jsonl")
    hours = [NOON // HOUR - 9 * number for number in range(12)]
    pipeline.produce([event(f"s{hour}", "ada", hour * HOUR) for hour in hours[::3]])

    def spans_of_all():
        pipeline.settle()
        before = len(pipeline.runs)
        with pipeline.resources["hbase"].books() as books:
            books.hours.touch(hours)
        pipeline.settle()
        return [hours_in(run.dagster_run.tags) for run in pipeline.runs[before:]]

    _, spans = in_one_hour(spans_of_all)
    # 40 hours at most, from the newest stale one back.
    assert [(span[0], span[-1]) for span in spans[:3]] == [
        (hours[4], hours[0]),
        (hours[9], hours[5]),
        (hours[11], hours[10]),
    ]
    assert_golden(pipeline)


def test_runs_killed_between_two_writes_are_made_good_by_the_next(servers, tmp_path):
    pipeline = Pipeline(servers, "killed", tmp_path / "sent.jsonl")
    some = hard_cases(NOW_MS)[:400]
    pipeline.produce(some[:200])
    pipeline.settle()
    pipeline.produce(some[200:])
    for gap in ("rows", "ledger", "touched"):
        killed = pipeline.tick_in_a_process_killed_after(gap)
        assert killed == -signal.SIGKILL
        assert pipeline.behind()[0] > 0, "nothing was committed"
    pipeline.settle()
    assert_golden(pipeline)
