"""Where a click's seconds went, told from the times of the runs."""

import numpy as np
import pytest

from benchmarks.latency import Run, parts_of

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
    "checks between the stages",
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
