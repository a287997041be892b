"""What is warned of when a producer is wrong and nothing is refused, from what the ledger counted."""

import pytest

from clickstream_assets.checks.producers import clocks_near, few_duplicates, few_urls, has_clicks
from clickstream_assets.domain.ledger import HourShare


def shares(*counts):
    """The shares of an hour in some entries: kept, and others by name."""
    return [HourShare("id", 0, at, kept, 0, **others) for at, (kept, others) in enumerate(counts)]


@pytest.mark.parametrize(
    ("counts", "passes"),
    [
        ([(500, {"other_types": 500}), (501, {"other_types": 501})], False),
        ([(500, {"other_types": 500}), (501, {"other_types": 500})], True),  # one click
        ([(500, {"other_types": 500}), (500, {"other_types": 500})], True),  # not many events
        ([(500, {"other_types": 500}), (900, {})], True),  # booked before types were counted
        ([], True),
    ],
)
def test_many_events_want_a_click_among_them(counts, passes):
    assert has_clicks(shares(*counts), 1_000).passed is passes


@pytest.mark.parametrize(
    ("counts", "passes"),
    [
        ([(80, {"duplicates": 15}), (0, {"duplicates": 5})], True),
        ([(79, {"duplicates": 15}), (0, {"duplicates": 6})], False),
        ([(0, {"duplicates": 30})], False),  # an old file sent once more keeps nothing
        ([(3, {"duplicates": 16})], True),  # a handful
    ],
)
def test_duplicates_are_judged_by_their_share_of_what_was_kept_and_what_was_not(counts, passes):
    assert few_duplicates(shares(*counts), 0.2).passed is passes


@pytest.mark.parametrize(("corrected", "passes"), [(0, True), (20, True), (21, False)])
def test_clocks_are_judged_by_the_share_of_events_that_they_were_off_for(corrected, passes):
    finding = clocks_near(shares((60, {"corrected": corrected}), (40, {})), 0.2)
    assert finding.passed is passes
    assert f"{corrected} of 100" in finding.words


def test_urls_are_counted():
    assert few_urls(50, 50).passed
    assert not few_urls(51, 50).passed
