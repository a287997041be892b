"""What is a usual number of clicks, case by case."""

import pytest

from clickstream_assets.evidence.volume import WEEK, compare, hours_before, same_hour_of_earlier_weeks

HOUR, NOW = 500_000, 500_010


def weeks(*clicks):
    return dict(zip(same_hour_of_earlier_weeks(HOUR), clicks, strict=False))


def before(*clicks):
    return dict(zip(hours_before(HOUR), clicks, strict=False))


def test_the_hours_compared_with():
    assert same_hour_of_earlier_weeks(HOUR) == [HOUR - 168, HOUR - 336, HOUR - 504, HOUR - 672]
    assert hours_before(HOUR) == [HOUR - 1, HOUR - 2, HOUR - 3]


@pytest.mark.parametrize(
    ("history", "clicks", "passes"),
    [
        (weeks(100, 120), 110, True),
        (weeks(100, 120), 441, False),
        (weeks(100, 120), 440, True),
        (weeks(100, 120), 27, False),
        (weeks(100, 120), 28, True),
        # One week is no history: the hours before decide
        (weeks(1000) | before(100, 100, 100), 100, True),
        (weeks(100, 100) | before(9000, 9000, 9000), 100, True),
        (before(100, 90, 5000), 100, True),
        (before(100, 90, 5000), 401, False),
        # A median, so one odd hour of three does not decide
        (before(0, 100, 100), 100, True),
        # Without a history, and with too little to compare, it is quiet
        ({}, 100_000, True),
        (before(100, 100), 100_000, True),
        (before(2, 2, 2), 40, True),
        (before(200, 200, 200), 0, False),
        # Traffic that begins, or goes on after an outage, has nothing to be compared with
        (before(0, 0, 0), 100_000, True),
        (before(100, 0, 0), 100_000, True),
        (weeks(0, 0, 100, 100), 401, False),
    ],
)
def test_more_or_fewer_clicks_than_usual_are_noticed(history, clicks, passes):
    passed, words, figures = compare(HOUR, {**history, HOUR: clicks}, NOW, 4)
    assert passed is passes, words
    assert figures["clicks"] == clicks


def test_an_hour_that_has_not_closed_is_not_judged():
    passed, words, _ = compare(HOUR, weeks(1000, 1000) | {HOUR: 1}, HOUR, 4)
    assert passed
    assert "not closed" in words


def test_a_week_is_seven_days():
    assert WEEK == 7 * 24
