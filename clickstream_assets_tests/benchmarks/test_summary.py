"""Which lines stand in the table of targets."""

from pathlib import Path

import pytest

from benchmarks.dagster_run import DagsterRun
from benchmarks.feed import Feed
from benchmarks.hour import Figures
from benchmarks.pipeline import STAGES
from benchmarks.statistics import Timing
from benchmarks.summary import lines_of
from benchmarks.traffic import Distinct


def figures_of(late_events: int, **further: float) -> Figures:
    """An hour of 100 events, each stage and yardstick a second."""
    feed = Feed("topic", 0, 100, {}, late_events, {}, Path("sent"), Distinct())
    figures = Figures(feed, DagsterRun(9, {"raw_clicks": 4}, 300), rows=100, documents=10)
    checks = [f"checks of {stage}" for stage in STAGES.values()]
    yardsticks = ["bare puts", "bare scan and puts", "bare scan", "bare bulk", "the seed's loop", "read again"]
    for name in (*STAGES.values(), *checks, *yardsticks):
        figures.timings[name] = [Timing(100, 1)]
    for name, seconds in further.items():
        figures.timings[name] = [Timing(100, seconds)]
    return figures


def test_what_was_not_measured_has_no_line():
    lines = lines_of(figures_of(0))
    assert "Spark on Parquet" not in [line.yardstick for line in lines]
    assert not [line for line in lines if line.what.startswith("the hour again")]


def test_late_events_and_parquet_have_theirs():
    found = figures_of(3, **{"late": 2.0, "Spark on Parquet": 0.25})
    lines = {line.yardstick or line.what: line for line in lines_of(found)}
    again = lines["the hour afresh"]
    assert again.what == "the hour again, 3 events new"
    assert again.ratio is not None
    assert again.ratio.median == pytest.approx(2 / 4)  # 2 s, where four stages took a second each
    assert again.is_met is False
    parquet = lines["Spark on Parquet"].ratio
    assert parquet is not None
    assert parquet.median == pytest.approx(0.25)
