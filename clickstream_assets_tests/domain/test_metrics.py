"""A user's events added up by page, and which keys a task reads."""

from collections import defaultdict

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream_assets.domain.metrics import MetricsTasks, by_user, document_id, metrics_key
from clickstream_assets.domain.time_spent import TIMEOUT_MS
from clickstream_assets_tests.acceptance import golden

HOUR_MS = 3_600_000
START = 498_000 * HOUR_MS
FIELDS = (
    ("hour", pa.int64()),
    ("timestamp", pa.int64()),
    ("url", pa.string()),
    ("country", pa.string()),
    ("user_key", pa.string()),
    ("is_click", pa.bool_()),
    ("is_leave", pa.bool_()),
    ("engagement_time_ms", pa.int64()),
)

steady = settings(deadline=None, max_examples=150, derandomize=True)
times = st.integers(0, 8).map(lambda at: START + at * TIMEOUT_MS // 2) | st.integers(START, START + 2 * HOUR_MS)
events = st.tuples(
    times,
    st.sampled_from("xy"),
    st.sampled_from("ab"),
    st.sampled_from(["u", "v", "w", None]),
    st.sampled_from(["click", "click", "scroll", "page_leave", None]),
    st.none() | st.integers(0, 9),
)


def batches(drawn, size):
    rows = [
        (time // HOUR_MS, time, url, country, user, kind and kind == "click", kind and kind == "page_leave", own)
        for time, url, country, user, kind, own in drawn
    ]
    columns = zip(*rows, strict=True) if rows else [[]] * len(FIELDS)
    table = pa.table({name: pa.array(list(column), kind) for (name, kind), column in zip(FIELDS, columns, strict=True)})
    return table.to_batches(max_chunksize=size)


def one_by_one(drawn):
    """The same, one user and one event after the other."""
    found = defaultdict(lambda: [0, 0, 0])
    for user in {event[3] for event in drawn}:
        own = sorted((event for event in drawn if event[3] == user), key=lambda event: event[0])
        visits = [{"ms": e[0], "url": e[1], "type": e[4], "engaged": e[5]} for e in own]
        for place, (time, url, country, _, kind, _) in enumerate(own):
            if kind == "click":
                spent = golden._spent(visits, place)
                sums = found[time // HOUR_MS, url, country, user]
                sums[0] += 1
                sums[1] += spent is not None
                sums[2] += spent or 0
    return {key: tuple(sums) for key, sums in found.items()}


@steady
@given(st.lists(events, max_size=40), st.integers(1, 9))
def test_a_users_events_add_up_to_what_golden_finds_one_by_one_in_whatever_order_they_come(drawn, size):
    rows = [tuple(row.values()) for batch in by_user(batches(drawn, size)) for row in batch.to_pylist()]
    assert {row[:4]: (row[4], row[5], row[6] or 0) for row in rows} == one_by_one(drawn)
    assert len({row[:4] for row in rows}) == len(rows)


@steady
@given(st.sets(st.integers(1_000, 1_030), max_size=5), st.integers(0, 12_000_000), st.text("abc", min_size=1))
def test_shares_hold_each_key_once_however_many_rows_there_are(hours, rows, url):
    tasks = MetricsTasks.of(hours, rows).tasks()
    for hour in (*hours, 998):
        key = metrics_key(hour, url, "DE")
        assert sum(start <= key < stop for task in tasks for start, stop in task) == (hour in hours)


def test_few_metrics_are_one_share_and_many_are_spread_by_their_hours_and_then_by_their_ids():
    assert [len(MetricsTasks.of([1_000], rows)) for rows in (0, 40_000, 40_001, 10**9)] == [1, 1, 2, 256]
    week = MetricsTasks.of(range(1_000, 1_168), 40_000)
    assert [len(ranges) for ranges in week.tasks()] == [1]
    ranges = [
        len(MetricsTasks.of(range(1_000, 1_168), rows).tasks()) for rows in (400_000, 6_720_000, 13_440_000, 10**10)
    ]
    assert ranges == [10, 168, 336, 168 * 256]
    assert sum(map(len, MetricsTasks.of(range(1_000, 1_168), 400_000).tasks())) == 168
    shares = MetricsTasks.of([1_000], 10**9)
    holding = [task for task in shares.tasks() if any(s <= metrics_key(1_000, "x", "DE") < e for s, e in task)]
    assert holding == [shares.ranges(int(document_id(1_000, "x", "DE")[:2], 16))]
