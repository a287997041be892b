"""Figures of repeated measurements, and what they are held against."""

import pytest

from benchmarks.statistics import Summary, Target, Timing, rates, ratios


def test_the_median_stands_between_lowest_and_highest():
    assert Summary.of([3.0, 1.0, 2.0]) == Summary(2.0, 1.0, 3.0, 3)
    assert Summary.of([4.0, 1.0]).median == 2.5
    with pytest.raises(ValueError, match="nothing"):
        Summary.of([])


def test_rates_are_of_each_repetition():
    assert rates([Timing(100, 2.0), Timing(100, 1.0)]) == Summary(75.0, 50.0, 100.0, 2)


def test_a_ratio_compares_what_was_measured_side_by_side():
    # A machine that was half as fast in the second repetition changes no ratio.
    assert ratios([60, 30], [100, 50]) == Summary(0.6, 0.6, 0.6, 2)
    with pytest.raises(ValueError):
        ratios([60], [100, 50])


def test_targets_are_reached_from_below_or_kept_below():
    assert Target(0.6).is_met(0.6)
    assert not Target(0.6).is_met(0.59)
    assert Target(600, at_least=False).is_met(599)
    assert not Target(600, at_least=False).is_met(600)
