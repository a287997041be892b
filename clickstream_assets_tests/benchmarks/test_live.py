"""What ``--live`` prints."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from benchmarks import live
from benchmarks.latency import Latency, Run
from benchmarks.live import latency_rows, live_part, runs_table
from benchmarks.processes import RUNS

NOON = 1_795_521_600
STEPS = {"raw_clicks": 1.0, "enriched_clicks": 2.0, "url_country_metrics": 0.5, "es_index": 0.25}


def run_of(launched, ended, why="new offsets"):
    return Run(launched - 1, launched, launched + 0.5, launched + 4, ended, STEPS, why)


def latency_of(seconds, **further):
    figures = {"parts": {}, "runs": 3, "last_runs": [], "cores": {}, "cores_elsewhere": 0.0, "differences": []}
    return Latency(np.array(seconds), **(figures | further))


def test_whether_latency_grows_is_told_by_thirds():
    rows = dict(latency_rows(latency_of([1.0, 2, 3, 10, 20, 30, 100, 200, 300])))
    assert rows == {
        "median": "20.0",
        "95th percentile": "260.0",  # 60 % of the way from the last but one to the last
        "mean": "74.0",
        "median of the first third": "2.0",
        "median of the second third": "20.0",
        "median of the last third": "200.0",
    }


def test_runs_are_compared_from_launched_to_ended():
    rows = runs_table(
        [run_of(NOON, NOON + 5), run_of(NOON + 6, NOON + 46, "stale hours"), run_of(NOON + 50, NOON + 57)]
    )
    assert rows.splitlines()[2:] == [
        "| 12:00:00 | new offsets | 0.5 s | 1.0 s | 2.0 s | 0.5 s | 0.2 s | 0.8 s | 5.0 s |",
        "| 12:00:06 | stale hours | 0.5 s | 1.0 s | 2.0 s | 0.5 s | 0.2 s | 35.8 s | 40.0 s |",
        "| 12:00:50 | new offsets | 0.5 s | 1.0 s | 2.0 s | 0.5 s | 0.2 s | 2.8 s | 7.0 s |",
        "| median | new offsets | 0.5 s | 1.0 s | 2.0 s | 0.5 s | 0.2 s | 1.8 s | 6.0 s |",
    ]


def test_an_hour_without_runs_has_no_median():
    assert len(runs_table([]).splitlines()) == 2


def test_all_of_it_is_printed(monkeypatch):
    asked = []

    def measure(*call):
        asked.append(call)
        return latency_of(
            [2.0, 4.0, 6.0],
            parts={"ingest": 1.5, "index": 2.5},
            last_runs=[run_of(NOON, NOON + 5)],
            cores={"Kafka": 0.125, RUNS: 0.75, "HBase Thrift": 0.001},
            cores_elsewhere=1.5,
            differences=["missing a", "missing b"],
        )

    monkeypatch.setattr(live, "measure_latency", measure)
    bench = SimpleNamespace(watch=SimpleNamespace(peak_mb={"Kafka": 300, RUNS: 1_500}), home=Path())
    text, differences = live_part(bench, 50, 2, 2_000, {"cores": "2"})
    assert asked == [(bench, 50, 120, 2_000)]
    assert differences == ["missing a", "missing b"]
    assert "50 events a second for 2 min, into an hour that held 2,000 events" in text
    assert "3 clicks, 3 runs. Documents that differ from the independent computation: 2." in text
    lines = text.splitlines()
    for line in (
        "| cores | 2 |",
        "| median | 4.0 |",
        "| ingest | 1.5 s |",
        "| together | 4.0 s |",
        "| Kafka | 0.12 | 300 MB |",
        "| Dagster's runs | 0.75 | 1,500 MB |",
        "| together | 0.88 |  |",
        "| all else on this machine | 1.50 |  |",
    ):
        assert line in lines
    assert "HBase Thrift" not in text, "it was at rest"
