"""Metrics that are computed again: what is the same is left as it is, whatever differs is mended."""

import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from pyspark.errors import PySparkException

from clickstream_assets.clients.hbase import RowMutation
from clickstream_assets.definitions import resources
from clickstream_assets.domain import metrics
from clickstream_assets.domain.replacing import Replaced, replace, same_users
from clickstream_assets.domain.table_schemas import METRICS

HOUR = 498_000
HOURS = [HOUR, HOUR + 1]
CELLS = {name: column.key for name, column in METRICS.columns.items()}
SIZES = (1, 7, 8, 9, 40, 400, 3_000)
"""Users of a page: a sketch lists some, then keeps a set of them, then registers."""


def events(seed: int) -> list[tuple]:
    """Clicks in an order of their own: url ``p<n>`` has n users in the first hour, each of the others one in both."""
    start = HOUR * 3_600_000
    made = [(f"p{n}", f"u{user}", start + 1000 * user) for n in SIZES for user in range(n)]
    made += [(f"q{page}", "ada", start + hour * 3_600_000 + 1_900_000) for page in range(60) for hour in (0, 1)]
    random.Random(seed).shuffle(made)
    return [
        (time, f"https://replaced.example/{url}", user, None, "click", None, "DE", "false") for url, user, time in made
    ]


@pytest.fixture(scope="module")
def hbase(servers):
    made = resources(servers.model_copy(update={"name_prefix": "replacing-"}))
    made.hbase.ensure_tables()
    return made


@pytest.fixture
def compute(hbase, monkeypatch):
    """Compute events and replace the hours' metrics by a run; returns what became of each hour."""
    monkeypatch.setattr(metrics, "AT_MOST_PER_TASK", 20)
    names = ", ".join(
        f"{name} {'long' if name in ('timestamp', 'engagement_time_ms') else 'string'}" for name in metrics.INPUT
    )

    def work(rows: list[tuple], run_id: str, at_most: int = 127) -> dict[int, Replaced]:
        session = hbase.spark.session
        computed = metrics.compute(session.createDataFrame(rows, names), HOURS, 0, run_id)
        with hbase.hbase.books() as books:
            return replace(computed, books, HOURS, at_most)

    yield work
    delete = [RowMutation(key, {}, (b"metrics",)) for key in stored(hbase)]
    change(hbase, *delete)


def change(hbase, *mutations: RowMutation) -> None:
    with hbase.hbase.books() as books:
        books.hbase.mutate(books.tables.metrics, mutations)


def stored(hbase) -> dict[bytes, dict[bytes, bytes]]:
    with hbase.hbase.books() as books:
        return dict(books.hbase.scan(books.tables.metrics, b"", b""))


def by_run(hbase) -> dict[str, int]:
    runs = [cells[CELLS["run_id"]].decode() for cells in stored(hbase).values()]
    return {run: runs.count(run) for run in runs}


PAGES = len(SIZES) + 60
CLICKS = sum(SIZES) + 60


@pytest.mark.parametrize("at_most", [0, 127, 100_000])
def test_what_is_computed_in_another_order_is_the_same_and_stays(hbase, compute, at_most):
    assert compute(events(1), "first", at_most) == {
        HOUR: Replaced(PAGES, CLICKS, written=PAGES),
        HOUR + 1: Replaced(60, 60, written=60),
    }
    before = stored(hbase)
    assert {int(c[CELLS["unique_users"]]) for c in before.values()} == set(SIZES)
    assert compute(events(2), "second", at_most) == {HOUR: Replaced(PAGES, CLICKS), HOUR + 1: Replaced(60, 60)}
    assert stored(hbase) == before


def test_what_differs_is_written_and_what_is_gone_deleted(hbase, compute):
    some = events(1)
    compute(some, "first")
    # One user of 400 is another one: the counts stay, the sketch alone tells.
    other = [
        (*row[:2], "somebody", *row[3:]) if row[1:3] == ("https://replaced.example/p400", "u7") else row for row in some
    ]
    gone = [row for row in other if not row[1].endswith("/q5")]
    new = (HOUR * 3_600_000, "https://replaced.example/new", "bob", None, "click", None, "FR", "false")
    done = compute([*gone, new], "second")
    # p400 and the new page are written; ada's clicks are all in one moment, so that q5's time changes nobody's.
    assert done[HOUR] == Replaced(PAGES, CLICKS, written=2, deleted=1)
    assert done[HOUR + 1] == Replaced(59, 59, deleted=1)
    assert by_run(hbase) == {"first": PAGES + 59 - 2, "second": 2}
    assert not any(cells[CELLS["url"]].endswith(b"/q5") for cells in stored(hbase).values())


@pytest.mark.parametrize("cell", [name for name in CELLS if name != "run_id"])
def test_cells_that_somebody_changed_or_lost_are_mended(hbase, compute, cell):
    compute(events(1), "first")
    before = stored(hbase)
    (key,) = (key for key, cells in before.items() if cells[CELLS["url"]].endswith(b"/p9"))
    changes = [RowMutation(key, {CELLS[cell]: b"7" if cell != "computed_at" else b"never"})]
    if CELLS[cell] in before[key]:
        changes.append(RowMutation(key, {}, (CELLS[cell],)))
    for number, mutation in enumerate(changes):
        change(hbase, mutation)
        assert compute(events(3), f"mends-{number}")[HOUR].written == 1
        mended = stored(hbase)[key]
        sketch, stamps = CELLS["users_sketch"], (CELLS["run_id"], CELLS["computed_at"])
        assert same_users(mended[sketch], before[key][sketch])
        assert {c: v for c, v in mended.items() if c not in (sketch, *stamps)} == {
            c: v for c, v in before[key].items() if c not in (sketch, *stamps)
        }
        assert mended[CELLS["run_id"]] == f"mends-{number}".encode()


def test_an_hour_that_became_empty_ends_empty(hbase, compute):
    compute(events(1), "first")
    done = compute([], "second")
    assert done == {HOUR: Replaced(deleted=PAGES), HOUR + 1: Replaced(deleted=60)}
    assert stored(hbase) == {}


def test_the_job_of_a_run_that_was_killed_is_interrupted_by_the_next_one(hbase):
    def slow(batches):
        import time

        for batch in batches:
            time.sleep(60)
            yield batch

    def left_over() -> None:
        with hbase.spark.alone("interrupted-table") as session:
            session.range(1).mapInArrow(slow, "id long").toArrow()

    with ThreadPoolExecutor(1) as thread:
        job = thread.submit(left_over)
        time.sleep(5)
        assert not job.done()
        with hbase.spark.alone("another-table") as session:
            assert session.range(3).count() == 3
        assert not job.done()
        begun = time.monotonic()
        with hbase.spark.alone("interrupted-table") as session:
            assert session.range(3).count() == 3
        with pytest.raises(PySparkException, match=r"OPERATION_CANCELED|cancel|interrupt"):
            job.result(30)
        assert time.monotonic() - begun < 30
