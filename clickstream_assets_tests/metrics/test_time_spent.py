"""Time spent, by numpy over all users at once, is what golden.py finds visit by visit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream_assets.events.click_event import CLICK_TYPES, LEAVE_TYPES
from clickstream_assets.events.hours import TIMEOUT_MS
from clickstream_assets.metrics.time_spent import UNKNOWN, time_spent_ms
from clickstream_assets_tests.acceptance import golden

START = 1_795_402_800_000


def arrays(events):
    """Columns of (user, url, time, type, engagement or None), in the order that time_spent_ms wants."""
    ordered = sorted(events, key=lambda event: (event[0], event[2]))
    users, urls, times, kinds, engaged = zip(*ordered, strict=True) if ordered else ([],) * 5
    numbers = (np.array(column, np.int64) for column in (users, urls, times))
    clicks, leaves = (
        np.array([kind in kinds_of for kind in kinds], np.bool_) for kinds_of in (CLICK_TYPES, LEAVE_TYPES)
    )
    return *numbers, clicks, leaves, np.array([UNKNOWN if own is None else own for own in engaged], np.int64)


def by_golden(users, urls, times, clicks, leaves, engaged):
    """The same, one user after the other."""
    spent = []
    for user in dict.fromkeys(users.tolist()):
        visits = [
            {
                "ms": int(ms),
                "url": int(url),
                "type": "click" if click else "page_leave" if leave else "scroll",
                "engaged": None if own == UNKNOWN else int(own),
            }
            for who, url, ms, click, leave, own in zip(users, urls, times, clicks, leaves, engaged, strict=True)
            if who == user
        ]
        spent += [golden._spent(visits, place) for place in range(len(visits))]
    return [UNKNOWN if value is None else value for value in spent]


# Few distinct times, so that ties are the rule, and steps around the timeout's very edge.
times = st.one_of(
    st.integers(0, 4).map(lambda at: at * 1_000),
    st.integers(0, 8).map(lambda at: at * TIMEOUT_MS // 2),
    st.sampled_from([TIMEOUT_MS - 1, TIMEOUT_MS, TIMEOUT_MS + 1]),
    st.integers(0, 3 * TIMEOUT_MS),
).map(START.__add__)
engagement = st.none() | st.sampled_from([0, 1, TIMEOUT_MS - 1, TIMEOUT_MS, TIMEOUT_MS + 1, (1 << 63) - 1])
mostly_unmeasured = st.integers(0, 3).flatmap(lambda n: engagement if n == 0 else st.none())
kinds = st.sampled_from(["click", "page_view", "scroll", "page_leave"])
events = st.tuples(st.integers(0, 3).map(lambda n: n * 7 - 3), st.integers(0, 2), times, kinds, mostly_unmeasured)


@pytest.mark.slow
@settings(deadline=None, max_examples=150, derandomize=True)
@given(st.lists(events, max_size=40))
def test_equals_golden(drawn):
    columns = arrays(drawn)
    assert time_spent_ms(*columns).tolist() == by_golden(*columns)


def test_many_users_do_not_see_each_other():
    drawn = np.random.default_rng(7).integers(0, [200, 5, 6 * TIMEOUT_MS, 3], (2_000, 4)).tolist()
    names = ("click", "scroll", "$pageleave")
    columns = arrays([(user, url, START + ms, names[kind], None) for user, url, ms, kind in drawn])
    assert time_spent_ms(*columns).tolist() == by_golden(*columns)


def spent(*visits):
    """Of one user on one page; True for a click, False for a sign of life, a text for another type."""
    names = {True: "click", False: "scroll"}
    rows = [(1, 1, START + ms, names.get(kind, kind), engaged) for ms, kind, engaged in visits]
    return time_spent_ms(*arrays(rows)).tolist()


def test_a_click_beats_a_later_sign_of_life_and_a_sign_of_life_beats_nothing():
    assert spent((0, True, None), (10, False, None), (20, True, None), (90, False, None)) == [20, 10, 70, UNKNOWN]
    assert spent((0, True, None), (10, False, None), (30, False, None))[0] == 30


def test_leaving_ends_a_view_of_its_url_and_of_no_other():
    rows = [(1, 1, START, "click", None), (1, 2, START + 10, "pageleave", None), (1, 1, START + 30, "page_leave", None)]
    assert time_spent_ms(*arrays([*rows, (1, 3, START + 90, "click", None)]))[0] == 30
    assert time_spent_ms(*arrays(rows[:2]))[0] == 10  # a sign of life


def test_half_an_hour_is_in_reach_and_a_millisecond_more_is_not():
    assert spent((0, True, None), (TIMEOUT_MS, True, None)) == [TIMEOUT_MS, UNKNOWN]
    assert spent((0, True, None), (TIMEOUT_MS + 1, True, None)) == [UNKNOWN, UNKNOWN]


def test_an_event_at_the_same_time_is_not_later():
    assert spent((0, True, None), (0, True, None), (5, True, None)) == [5, 5, UNKNOWN]


def test_the_clients_own_measurement_goes_first_and_is_capped():
    assert spent((0, True, 3), (10, True, 1 << 62)) == [3, TIMEOUT_MS]


def test_no_events_give_no_times():
    assert spent() == []
