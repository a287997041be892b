"""What is warned of when a producer is wrong and nothing is refused, from what the books counted."""

from types import SimpleNamespace

import pytest

from clickstream_assets.books.ledger_entries import HourCounts
from clickstream_assets.checks.raw_clicks import clocks_near, few_dead_letters, few_duplicates, few_late, has_clicks
from clickstream_assets.checks.url_country_metrics import few_other_urls, few_urls
from clickstream_assets.evidence.metric_counts import MetricCounts
from clickstream_assets.settings import Settings

HOUR = 500_000
LIMITS = Settings(
    warn_events_without_clicks=1_000, warn_duplicate_share=0.2, warn_corrected_clock_share=0.2, warn_urls=50
)


def found(check, limits=LIMITS, **counts):
    """The finding of a check in an hour of such counts, beside one that is empty."""
    both = {HOUR: HourCounts(**counts), HOUR + 1: HourCounts()}
    findings = check(SimpleNamespace(hours=list(both), counts=both, limits=limits))
    assert findings[HOUR + 1].passed, "an empty hour is none of a producer's faults"
    return findings[HOUR]


@pytest.mark.parametrize(
    ("counts", "passes"),
    [
        ({"kept": 1_001, "other_types": 1_001}, False),
        ({"kept": 1_001, "other_types": 1_000}, True),  # one click
        ({"kept": 1_000, "other_types": 1_000}, True),  # not many events
    ],
)
def test_many_events_want_a_click_among_them(counts, passes):
    assert found(has_clicks, **counts).passed is passes


@pytest.mark.parametrize(
    ("counts", "passes"),
    [
        ({"kept": 80, "duplicates": 20}, True),
        ({"kept": 79, "duplicates": 21}, False),
        ({"duplicates": 30}, False),  # an old file sent once more keeps nothing
        ({"kept": 3, "duplicates": 16}, True),  # a handful
    ],
)
def test_duplicates_are_judged_by_their_share_of_what_was_kept_and_what_was_not(counts, passes):
    assert found(few_duplicates, **counts).passed is passes


@pytest.mark.parametrize(("corrected", "passes"), [(0, True), (20, True), (21, False)])
def test_clocks_are_judged_by_the_share_of_events_that_they_were_off_for(corrected, passes):
    finding = found(clocks_near, kept=100, corrected=corrected)
    assert finding.passed is passes
    assert f"{corrected} of 100" in finding.words


@pytest.mark.parametrize("check", [few_dead_letters, few_late])
def test_each_pipeline_warns_by_its_own_thresholds(check):
    strict, lenient = (Settings(warn_dead_letter_share=most, warn_late_share=most) for most in (0.1, 0.9))
    counts = {"kept": 50, "dead_lettered": 50, "late": 30}
    assert not found(check, strict, **counts).passed
    assert found(check, lenient, **counts).passed


@pytest.mark.parametrize(("urls", "passes"), [(50, True), (51, False)])
def test_urls_are_counted(urls, passes):
    evidence = SimpleNamespace(metrics={HOUR: (MetricCounts(urls=urls), 0)}, limits=LIMITS)
    assert few_urls(evidence)[HOUR].passed is passes


@pytest.mark.parametrize(("other", "passes"), [(0, True), (10, True), (11, False)])
def test_clicks_on_urls_that_do_not_count_by_name_are_judged_by_their_share(other, passes):
    evidence = SimpleNamespace(limits=Settings(), metrics={HOUR: (MetricCounts(clicks=100, other_clicks=other), 0)})
    assert few_other_urls(evidence)[HOUR].passed is passes
