"""Which lines stand in the table of targets."""

from pathlib import Path

import pytest

from benchmarks.dagster_run import DagsterRun
from benchmarks.feed import Feed
from benchmarks.hour import BY_TWO, Figures
from benchmarks.pipeline import STAGES
from benchmarks.statistics import Timing
from benchmarks.summary import lines_of
from benchmarks.traffic import Distinct


def figures_of(late_events: int, **further: float) -> Figures:
    """An hour of 100 events, each stage and yardstick a second."""
    feed = Feed("topic", 0, 100, {}, late_events, {}, Path("sent"), Distinct())
    figures = Figures(feed, DagsterRun(9, {"raw_clicks": 4}, 300), rows=100, documents=10)
    checks = [f"checks of {stage}" for stage in STAGES.values()]
    yardsticks = ["bare puts", BY_TWO, "bare puts of its cells", "bare puts of its rows", "bare bulk"]
    yardsticks += ["the seed's loop", "read again"]
    for name in (*STAGES.values(), *checks, *yardsticks):
        figures.timings[name] = [Timing(100, 1)]
    for name, seconds in further.items():
        figures.timings[name] = [Timing(100, seconds)]
    return figures


def test_what_was_not_measured_has_no_line():
    assert not [line for line in lines_of(figures_of(0)) if line.what.startswith("the hour again")]


@pytest.mark.parametrize(("seconds", "is_met"), [(0.6, True), (0.7, False)])
def test_an_hour_with_late_events_is_held_against_the_hour_afresh_checks_included(seconds, is_met):
    (again,) = (line for line in lines_of(figures_of(3, late=seconds)) if line.yardstick == "the hour afresh")
    assert again.what == "the hour again, 3 events new"
    assert again.ratio is not None
    assert again.ratio.median == pytest.approx(seconds / 8)  # four stages and their checks took a second each
    assert again.is_met is is_met


@pytest.mark.parametrize(("seconds", "is_met"), [(1.7, True), (1.5, False)])
def test_everything_is_held_against_puts_over_two_connections(seconds, is_met):
    (everything,) = (line for line in lines_of(figures_of(0, **{BY_TWO: seconds})) if line.yardstick == BY_TWO)
    assert everything.what == "everything"
    assert everything.ratio is not None
    assert everything.ratio.median == pytest.approx(seconds / 4)
    assert everything.is_met is is_met
