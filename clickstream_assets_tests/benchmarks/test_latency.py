"""Where a click's seconds went, told from the times of the runs."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import latency
from benchmarks.latency import Run, last_of, parts_of
from clickstream_assets.local.stack.errors import StackError

FIRST = Run(
    created=100,
    launched=101,
    first_step=105,
    index_step=115,
    ended=118,
    steps={"raw_clicks": 3, "enriched_clicks": 4, "url_country_metrics": 2, "es_index": 2},
)
AHEAD = Run(
    created=112,
    launched=119,
    first_step=122,
    index_step=130,
    ended=134,
    steps={"raw_clicks": 2, "enriched_clicks": 3, "url_country_metrics": 1, "es_index": 1},
)
LATE = Run(
    created=140,
    launched=141,
    first_step=144,
    index_step=150,
    ended=153,
    steps={"raw_clicks": 1, "enriched_clicks": 2, "url_country_metrics": 1, "es_index": 1},
)
RUNS = [FIRST, AHEAD, LATE]
NAMES = [
    "for the run before it to end",
    "for the sensor to ask for a run",
    "in the run queue",
    "starting the run's process",
    "ingest",
    "enrich",
    "metrics",
    "between the steps",
    "index, until it is seen",
]


def parts(sent: float, counted: float) -> list[float]:
    found, runs = parts_of(RUNS, np.array([sent]), np.array([counted]))
    assert list(found) == NAMES
    assert runs == 1
    return list(found.values())


@pytest.mark.parametrize(
    ("sent", "counted", "expected"),
    [
        (113.0, 131.5, [5, 0, 1, 3, 2, 3, 1, 2, 1.5]),  # while the first was at work, and the second asked for
        (121.0, 131.5, [0, 0, 0, 1, 2, 3, 1, 2, 1.5]),  # while the process that takes it started
        (135.0, 151.0, [0, 5, 1, 3, 1, 2, 1, 2, 1]),  # at rest
    ],
)
def test_each_second_is_in_one_part(sent, counted, expected):
    found = parts(sent, counted)
    assert found == expected
    assert sum(found) == counted - sent


def test_means_over_all_clicks_add_up_to_the_mean():
    sent = np.linspace(100, 145, 200)
    counted = np.array([116.0 if at < 105 else 131.0 if at < 122 else 152.0 for at in sent])
    found, runs = parts_of(RUNS, sent, counted)
    assert runs == 3
    assert sum(found.values()) == pytest.approx(float((counted - sent).mean()))


def test_the_last_runs_are_those_launched_since_the_first_event():
    assert last_of(RUNS, 119) == [AHEAD, LATE]
    assert last_of(RUNS, 120) == [LATE]
    many = [Run(at, at, at, at, at, {}) for at in range(100, 150)]
    assert last_of(many, 0) == many[-10:]


class Counted:
    """Elasticsearch under an alias: says so many clicks, one after the other, then the last for ever."""

    def __init__(self, *counts: int) -> None:
        self._counts = list(counts)
        self.elasticsearch = self.settings = self
        self.alias = "alias"

    def client(self) -> "Counted":
        return self

    def __enter__(self) -> "Counted":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def clicks(self, *_: object) -> int:
        return self._counts.pop(0) if len(self._counts) > 1 else self._counts[0]


@pytest.fixture
def clock(monkeypatch):
    """A time of day that passes by sleeping."""
    now = [1_000.0]
    monkeypatch.setattr(
        latency, "time", SimpleNamespace(time=lambda: now[0], sleep=lambda s: now.__setitem__(0, now[0] + s))
    )
    monkeypatch.setattr(latency, "_clicks", lambda es, _: es.clicks())


def test_clicks_that_the_hour_held_before_are_not_counted_again(clock):
    looked, counts = latency._looks(Counted(700, 705, 705, 712), 700, 12, patience=10)
    assert list(counts) == [0, 0, 5, 5, 12]
    assert list(looked) == [1_000, 1_000.25, 1_000.5, 1_000.75, 1_001]


def test_waiting_ends_where_nothing_is_sent_and_nothing_rises(clock):
    with pytest.raises(TimeoutError, match="5 of 12 clicks"):
        latency._looks(Counted(700, 705), 700, 12, patience=10)


def test_while_events_are_sent_it_waits_as_long_as_it_takes(clock):
    sending = iter([True] * 400)
    _, counts = latency._looks(Counted(*[0] * 300, 12), 0, 12, patience=10, is_sending=lambda: next(sending))
    assert counts[-1] == 12


def test_an_hour_that_is_to_hold_nothing_is_not_waited_for(clock):
    _, counts = latency._looks(Counted(0), 0, 0, patience=10)
    assert list(counts) == [0]


class Processes:
    """Dagster's, in a folder where they have written a log."""

    def __init__(self, home: Path, _: object) -> None:
        self.is_stopped = False
        (home / "log").write_text("the daemon said why\n")

    def stop(self) -> None:
        self.is_stopped = True


@pytest.mark.parametrize(
    "error", [TimeoutError("5 of 12 clicks were counted in the end"), AssertionError("a run failed")]
)
def test_what_is_waited_for_in_vain_is_told_with_the_end_of_the_log(monkeypatch, tmp_path, error):
    monkeypatch.setattr(latency, "DagsterDev", Processes)
    with pytest.raises(StackError) as raised, latency._dagster(tmp_path / "dagster") as processes:
        raise error
    assert str(error) in raised.value.message
    assert "the daemon said why" in raised.value.message
    assert processes.is_stopped


class Runs:
    """What Dagster says of its runs, time after time: which, with * behind it while one is under way."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = iter(answers)
        self._latest: list[str] = []

    def runs(self) -> list[str]:
        self._latest = next(self._answers)
        return [name.rstrip("*") for name in self._latest]

    def is_idle(self) -> bool:
        return not any(name.endswith("*") for name in self._latest)


@pytest.mark.parametrize(
    ("answers", "rests"),
    [
        ([["first*"]], False),  # under way
        ([[]], False),  # none yet, not even of the closed hour
        ([["first"], ["first", "second*"]], False),  # the next has begun
        ([["first"], ["first", "second"]], False),  # and ended
        ([["first"], ["first"]], True),
    ],
)
def test_a_pipeline_is_at_rest_when_no_run_follows(clock, answers, rests):
    assert latency._is_at_rest(Runs(*answers)) is rests
