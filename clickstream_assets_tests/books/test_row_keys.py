"""Row keys: one event one row, one hour one short range in every salt."""

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream_assets.books.row_keys import (
    SALTS,
    contiguous,
    derived_key,
    event_key,
    hour_of,
    key_ranges,
    scan_tasks,
)


def key_of(hour, event_id):
    """Of one user's view of one page, by its id."""
    return event_key(hour, event_id, "uu-1", "page_view", "https://shop.example/")


HOURS = st.integers(0, (1 << 32) - 2)
steady = settings(deadline=None, max_examples=100, derandomize=True)


@steady
@given(HOURS, st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=128))
def test_a_key_tells_its_hour_and_begins_with_a_salt(hour, event_id):
    key = key_of(hour, event_id)
    assert len(key) == 21
    assert key[0] in SALTS
    assert hour_of(key) == hour
    assert key == key_of(hour, event_id)


def test_events_spread_over_all_salts():
    counts = Counter(key_of(500_000, f"event-{n}")[0] for n in range(8_000))
    assert set(counts) == set(SALTS)
    assert min(counts.values()) > 800


def test_the_salt_is_the_ids_and_not_the_hours():
    assert key_of(1, "a")[:1] + key_of(1, "a")[5:] == key_of(2, "a")[:1] + key_of(2, "a")[5:]


def test_an_id_that_different_events_share_loses_none_of_them():
    same = ("x", "uu-1", "click", "https://shop.example/a")
    others = [(*same[:place], f"{same[place]}b", *same[place + 1 :]) for place in range(4)]
    shifted = [("xu", "u-1", *same[2:]), ("x", "uu-1c", "lick", same[3])]
    assert len({event_key(7, *identity) for identity in (same, *others, *shifted)}) == 7


def test_derived_keys_differ_by_every_part_and_lie_in_a_namespace_of_their_own():
    place = ("topic", 1, 23, 456)
    others = [("topic1", 1, 23, 456), ("topic", 12, 3, 456), ("topic", 1, 2, 3456), ("topic", 1, 23, 457)]
    keys = {derived_key(7, *parts) for parts in (place, *others)}
    assert len(keys) == 5
    assert all(hour_of(key) == 7 for key in keys)
    assert not keys & {key_of(7, text) for text in ("topic/1/23/456", "ktopic/1/23/456")}


@pytest.mark.slow
@steady
@given(st.lists(st.integers(-50, 50), max_size=40))
def test_contiguous_stretches_hold_the_hours_and_nothing_else(hours):
    stretches = list(contiguous(hours))
    assert [hour for first, last in stretches for hour in range(first, last + 1)] == sorted(set(hours))
    assert all(after - last > 1 for (_, last), (after, _) in itertools.pairwise(stretches))


@pytest.mark.slow
@steady
@given(st.sets(st.integers(1_000, 1_030), max_size=12), st.integers(998, 1_032), st.text("abc", min_size=1, max_size=6))
def test_key_ranges_hold_exactly_the_keys_of_the_hours(hours, hour, event_id):
    ranges = key_ranges(hours)
    assert [[start[0] for start, _ in of_salt] for of_salt in ranges] == [
        [salt] * len(of_salt) for salt, of_salt in zip(SALTS, ranges, strict=True)
    ]
    key = key_of(hour, event_id)
    holding = [start for of_salt in ranges for start, stop in of_salt if start <= key < stop]
    assert len(holding) == (hour in hours)


@pytest.mark.slow
@steady
@given(st.sets(st.integers(1_000, 1_030), max_size=12), st.integers(0, 3_000_000), st.text("abc", min_size=1))
def test_scan_tasks_hold_each_key_once_however_many_rows_there_are(hours, rows, event_id):
    tasks = scan_tasks(hours, rows)
    for hour in (*hours, 998):
        key = key_of(hour, event_id)
        assert sum(start <= key < stop for task in tasks for start, stop in task) == (hour in hours)


def test_few_rows_are_one_tasks_and_many_are_spread_by_salt_and_hour_and_digest():
    hours = range(1_000, 1_004)
    sizes = [len(scan_tasks(hours, rows)) for rows in (0, 20_000, 20_001, 160_000, 160_001, 640_000, 640_001, 10**9)]
    assert sizes == [1, 1, 2, 8, 9, 32, 33, 32 * 256]
    assert all(len({start[0] for start, _ in task}) == 1 for task in scan_tasks(hours, 10**9))
    assert scan_tasks([], 0) == []
