"""What new events add to an hour's metrics, and which keys a task reads."""

from collections import defaultdict

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream_assets.books.blocks import CLICKS, kind_of
from clickstream_assets.books.row_keys import document_id, metrics_key, metrics_tasks
from clickstream_assets.events.hours import TIMEOUT_MS
from clickstream_assets.metrics.hourly_metrics import CHANGES, changes, merged, sketch_of, to_sketch
from clickstream_assets.metrics.page_rows import same_users
from clickstream_assets_tests.acceptance import golden

HOUR_MS = 3_600_000
HOUR = 498_000
START = HOUR * HOUR_MS

steady = settings(deadline=None, max_examples=150, derandomize=True)
times = st.integers(-1, 8).map(lambda at: START + at * TIMEOUT_MS // 2) | st.integers(START, START + 2 * HOUR_MS)
events = st.lists(
    st.tuples(
        times,
        st.sampled_from(["ua", "ub", "aa"]),
        st.sampled_from(["x", "y", "x|y"]),
        st.sampled_from(["click", "page_view", "scroll", "page_leave"]),
        st.none() | st.integers(0, 9) | st.just(9_000_000),
        st.sampled_from(["DE", "ZZ"]),
        st.sampled_from([False, False, False, True]),
    ),
    max_size=30,
)


def table(drawn):
    rows = [
        (at, user, url, kind_of(kind), -1 if own is None else own, *rest) for at, user, url, kind, own, *rest in drawn
    ]
    columns = zip(*rows, strict=True) if rows else [()] * len(CLICKS)
    arrays = [pa.array(list(column), of.type) for column, of in zip(columns, CLICKS, strict=True)]
    return pa.Table.from_arrays(arrays, schema=CLICKS)


def changed(drawn, is_new=None, hour=HOUR):
    """By url and country, what :func:`changes` says: clicks, users, views, milliseconds, sketch."""
    new = np.ones(len(drawn), np.bool_) if is_new is None else np.array(is_new, np.bool_)
    result = changes(table(drawn), new, hour).counts
    assert result.schema == CHANGES
    rows = [tuple(row.values()) for row in result.to_pylist()]
    assert len({row[:2] for row in rows}) == len(rows)
    return {row[:2]: row[2:] for row in rows}


def one_by_one(drawn, hour=HOUR):
    """The same of all events as new ones, by golden.py, one user and one event after the other; users in a set."""
    sums = defaultdict(lambda: [0, set(), 0, 0])
    for user in {event[1] for event in drawn}:
        own = sorted((event for event in drawn if event[1] == user and not event[6]), key=lambda event: event[0])
        visits = [{"ms": e[0], "url": e[2], "type": e[3], "engaged": e[4]} for e in own]
        for place, (time, _, url, kind, _, country, _) in enumerate(own):
            if kind in golden.CLICK_TYPES and time // HOUR_MS == hour:
                spent = golden._spent(visits, place)
                of_page = sums[url, country]
                of_page[0] += 1
                of_page[1].add(user)
                of_page[2] += spent is not None
                of_page[3] += spent or 0
    return dict(sums)


def added(*parts):
    """Changes put together: counts added up, users of all sketches."""
    sums = defaultdict(lambda: [0, 0, 0, 0])
    for part in parts:
        for page, (*counts, _) in part.items():
            sums[page] = [a + b for a, b in zip(sums[page], counts, strict=True)]
    return {page: tuple(counts) for page, counts in sums.items() if any(counts)}


@pytest.mark.slow
@steady
@given(events, st.sampled_from([HOUR, HOUR + 1]))
def test_all_events_add_up_to_what_golden_finds_one_by_one(drawn, hour):
    result, expected = changed(drawn, hour=hour), one_by_one(drawn, hour)
    assert {page: row[:4] for page, row in result.items()} == {
        page: (clicks, len(users), views, spent_ms) for page, (clicks, users, views, spent_ms) in expected.items()
    }
    for page, (*_, sketch) in result.items():
        assert same_users(sketch, sketch_of(expected[page][1]))


@pytest.mark.slow
@steady
@given(events, st.randoms(use_true_random=False))
def test_the_order_of_events_makes_no_difference(drawn, random):
    shuffled = random.sample(drawn, len(drawn))
    result, other = changed(drawn), changed(shuffled)
    assert {page: row[:4] for page, row in other.items()} == {page: row[:4] for page, row in result.items()}
    assert all(same_users(row[4], other[page][4]) for page, row in result.items())


@pytest.mark.slow
@steady
@given(events, st.lists(st.booleans(), min_size=30, max_size=30))
def test_what_was_computed_and_what_the_new_ones_add_is_the_whole(drawn, flags):
    is_new = flags[: len(drawn)]
    old = [event for event, new in zip(drawn, is_new, strict=True) if not new]
    # All that the users of new events did, and nothing of others: so a run reads it.
    users = {event[1] for event, new in zip(drawn, is_new, strict=True) if new}
    read = [(event, new) for event, new in zip(drawn, is_new, strict=True) if event[1] in users]
    before, more = changed(old), changed([event for event, _ in read], [new for _, new in read])
    whole = changed(drawn)
    assert added(before, more) == {page: row[:4] for page, row in whole.items()}
    known = {page: users for page, (_, users, _, _) in one_by_one(old).items()}
    for page, (_, count, _, _, sketch) in more.items():
        new_users = one_by_one(drawn)[page][1] - known.get(page, set())
        assert count == len(new_users)
        assert (sketch is None) == (not new_users)
        assert sketch is None or same_users(sketch, sketch_of(new_users))
    # Of nothing that stays as it is, a row is told.
    assert all(any(row[:4]) for row in more.values())


@pytest.mark.slow
@steady
@given(events, st.lists(st.booleans(), min_size=30, max_size=30))
def test_users_dealt_to_several_tasks_add_up(drawn, flags):
    is_new = flags[: len(drawn)]
    numbered = list(zip(drawn, is_new, strict=True))
    buckets = [[(event, new) for event, new in numbered if event[1] == user] for user in ("ua", "ub", "aa")]
    parts = [changed([event for event, _ in bucket], [new for _, new in bucket]) for bucket in buckets]
    assert added(*parts) == added(changed(drawn, is_new))


def test_no_event_changes_nothing():
    assert changed([]) == {}
    assert changed([(START, "ua", "x", "click", None, "DE", False)], [False]) == {}


def test_an_event_of_the_next_hour_tells_how_long_a_view_of_this_one_took_and_counts_in_its_own():
    view = (START + HOUR_MS - 1_000, "ua", "x", "click", None, "DE", False)
    next_view = (START + HOUR_MS + 4_000, "ua", "y", "click", None, "DE", False)
    assert changed([view, next_view], [False, True]) == {("x", "DE"): (0, 0, 1, 5_000, None)}
    assert changed([view, next_view], [False, True], HOUR + 1).keys() == {("y", "DE")}


def test_a_late_event_takes_time_from_the_view_before_it():
    first = (START, "ua", "x", "click", None, "DE", False)
    last = (START + 60_000, "ua", "x", "click", None, "DE", False)
    between = (START + 10_000, "ua", "y", "click", None, "DE", False)
    more = changed([first, last, between], [False, False, True])
    assert {page: row[:4] for page, row in more.items()} == {
        ("x", "DE"): (0, 0, 0, -50_000),
        ("y", "DE"): (1, 1, 1, 50_000),
    }


def test_a_list_that_claims_more_users_than_it_has_room_for_is_no_sketch():
    sketch = bytearray(sketch_of(["ua"]))
    for count in range(9, 256):
        sketch[6] = count
        with pytest.raises(ValueError, match="a list of more"):
            to_sketch(bytes(sketch))


@pytest.mark.parametrize("users", [1, 8, 9, 400, 3_000])
def test_a_sketch_that_is_stored_is_read_and_what_is_none_is_refused(users):
    sketch = sketch_of(f"u{at}" for at in range(users))
    assert to_sketch(sketch).get_estimate() == pytest.approx(users, rel=0.05)
    for stored in (b"", b"7", sketch[:-1], sketch[: len(sketch) // 2], b"\0" + sketch[1:]):
        with pytest.raises(ValueError):
            to_sketch(stored)


@pytest.mark.slow
@steady
@given(st.sets(st.integers(1_000, 1_030), max_size=5), st.integers(0, 12_000_000), st.text("abc", min_size=1))
def test_shares_hold_each_key_once_however_many_rows_there_are(hours, rows, url):
    tasks = metrics_tasks(hours, rows)
    for hour in (*hours, 998):
        key = metrics_key(hour, url, "DE")
        assert sum(start <= key < stop for task in tasks for start, stop in task) == (hour in hours)


def test_few_metrics_are_one_share_and_many_are_spread_by_their_hours_and_then_by_their_ids():
    assert [len(metrics_tasks([1_000], rows)) for rows in (0, 40_000, 40_001, 10**9)] == [1, 1, 2, 256]
    week = range(1_000, 1_168)
    assert [len(ranges) for ranges in metrics_tasks(week, 40_000)] == [1]
    tasks = [len(metrics_tasks(week, rows)) for rows in (400_000, 6_720_000, 13_440_000, 10**10)]
    assert tasks == [10, 168, 336, 168 * 256]
    assert sum(map(len, metrics_tasks(week, 400_000))) == 168
    slices = metrics_tasks([1_000], 10**9)
    holding = [task for task in slices if any(s <= metrics_key(1_000, "x", "DE") < e for s, e in task)]
    assert holding == [slices[int(document_id(1_000, "x", "DE")[:2], 16)]]


def test_hours_put_together_add_up_and_count_a_user_of_several_hours_once():
    hours = [("a", "DE", 3, ["ada", "bob"], 2, 10.0), ("a", "DE", 1, ["ada"], 0, 0.0), ("b", "FR", 9, ["eve"], 0, 0.0)]
    rows = [
        {
            "url": url,
            "country": country,
            "clicks": clicks,
            "measured_views": views,
            "time_spent_seconds": seconds,
            "users_sketch": sketch_of(users),
        }
        for url, country, clicks, users, views, seconds in hours
    ]
    most, other = merged(rows)
    assert [most[name] for name in ("url", "clicks", "unique_users", "average_time_spent")] == ["b", 9, 1, None]
    assert other == {
        "url": "a",
        "country": "DE",
        "clicks": 4,
        "unique_users": 2,
        "measured_views": 2,
        "time_spent_seconds": 10.0,
        "average_time_spent": 5.0,
    }
    with pytest.raises(ValueError):
        merged([rows[0] | {"users_sketch": b"by hand"}])
    del rows[0]["users_sketch"]
    with pytest.raises(KeyError):
        merged(rows)
