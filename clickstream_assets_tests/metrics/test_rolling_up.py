"""Days put together from hours: what is missing, what a hand changed, and what a killed run left."""

import runpy
import weakref

import pyarrow as pa
import pytest

from clickstream_assets.books import blocks
from clickstream_assets.books.checkpoints import Checkpoints, people_key
from clickstream_assets.books.table_schemas import DAILY as DAILY_TABLE
from clickstream_assets.events.days import day_of_hour
from clickstream_assets.evidence import people
from clickstream_assets.metrics import daily_metrics, day_rows, hourly_metrics, rolling_up, spans
from clickstream_assets.metrics.page_rows import Superseded
from clickstream_assets_tests.acceptance import golden
from clickstream_assets_tests.fakes.metrics_world import BLOCKS, FIRST, MetricsWorld, event, write_geoip
from clickstream_assets_tests.fakes.servers import HOUR_MS, Killed

HOUR = FIRST + 3
DAY = day_of_hour(HOUR)
DAILY = "clickstream_daily_metrics"
AT = HOUR * HOUR_MS
MEASURES = ("clicks", "unique_users", "measured_views", "time_spent_seconds", "average_time_spent")


@pytest.fixture(scope="module")
def geoip(tmp_path_factory):
    return write_geoip(tmp_path_factory.mktemp("geoip") / "City.mmdb")


@pytest.fixture
def world(geoip, monkeypatch):
    """Two hours of a day and one of the next, put together."""
    world = MetricsWorld(monkeypatch, geoip)
    for hour in (HOUR, HOUR + 1, HOUR + 24):
        visits = [(f"{hour}-{at}", hour * HOUR_MS + at * 60_000, f"u{at % 5}", "xyz"[at % 3]) for at in range(12)]
        world.send(*(event(*visit) for visit in visits))
    world.update()
    world.roll_up()
    return world


def test_a_user_of_several_hours_and_urls_counts_once_in_each_total(world):
    world.assert_golden()
    whole_day = world.days()["2026-11-20|all"]
    assert (whole_day["clicks"], whole_day["unique_users"]) == (24, 5)


def test_what_is_counted_comes_into_days_once_they_have_a_column_for_it(monkeypatch):
    monkeypatch.setattr(hourly_metrics, "COUNTS", [*hourly_metrics.COUNTS, "bounces"])
    assert runpy.run_path(daily_metrics.__file__)["ROLLED_UP"] == daily_metrics.ROLLED_UP
    monkeypatch.setitem(DAILY_TABLE.columns, "bounces", DAILY_TABLE.columns["clicks"])
    assert runpy.run_path(daily_metrics.__file__)["ROLLED_UP"].names == [*daily_metrics.ROLLED_UP.names, "bounces"]


def test_what_stays_the_same_is_not_written(world):
    before = dict(world.hbase.tables[DAILY])
    (again, _) = world.roll_up().values()
    assert (again.written, again.deleted, again.rows) == (0, 0, len([key for key in before if key < b"2026-11-21"]))
    assert world.hbase.tables[DAILY] == before


def test_what_changed_is_written_and_nothing_else_is_looked_at(world, monkeypatch):
    def no_rows(*_, **__):
        raise AssertionError("rows were read")

    world.send(event("more", AT + 30 * 60_000, "fresh", "x"))
    world.update()
    world.index_all()
    with monkeypatch.context() as patch:
        patch.setattr(world.hbase, "scan_batches", no_rows)
        done = world.roll_up(DAY)[DAY]
    assert (done.written, done.deleted) == (5, 0), "url and country, url, country, site, and all"
    world.assert_golden()


def test_a_total_whose_last_measured_view_is_gone_has_no_average(world, monkeypatch):
    def without_views(parts):
        totals = daily_metrics.added_up(parts)
        none = pa.array([0] * len(totals), pa.int64())
        for name in ("measured_views", "spent_ms"):
            totals = totals.set_column(totals.schema.get_field_index(name), name, none)
        return totals

    def averages():
        return [row for key, row in world.days().items() if key[:10] == "2026-11-20" and "average_time_spent" in row]

    assert averages()
    monkeypatch.setattr(rolling_up, "added_up", without_views)
    assert world.roll_up(DAY)[DAY].written > 0
    assert not averages()


def test_after_a_run_that_came_to_no_end_rows_are_compared_twice(world):
    """What it had under way may come behind the first look."""
    key = min(world.hbase.tables[DAILY])
    world.books.days.begin(DAY)
    world.roll_up(DAY)
    world.change(DAILY, key, {b"metrics:clicks": b"99"})
    assert world.roll_up(DAY)[DAY].written == 1
    world.change(DAILY, key, {b"metrics:clicks": b"99"})
    assert world.roll_up(DAY)[DAY].written == 0, "by column again"
    world.books.days.doubt([DAY])
    assert world.roll_up(DAY)[DAY].written == 1, "a check failed"


@pytest.mark.parametrize("what", ["changed", "of other slices", "run that came to no end", "ended since"])
def test_where_totals_by_column_are_not_to_be_trusted_rows_are_compared(world, monkeypatch, what):
    before = world.days()
    key = min(world.hbase.tables[DAILY])
    world.change(DAILY, key, {b"metrics:clicks": b"99"})
    assert world.roll_up(DAY)[DAY].written == 0, "rows are not looked at"
    match what:
        case "changed":
            world.change(BLOCKS, day_rows.totals_key(DAY, 0), {blocks.cell(0, "hour"): b"nothing"})
        case "of other slices":
            monkeypatch.setattr(rolling_up, "SLICE_BYTES", 300)
        case "run that came to no end":
            world.books.days.begin(DAY)
        case "ended since":
            monkeypatch.setattr(rolling_up, "end_of_day_ms", lambda day: world.books.days.read([day])[day].begun_ms)
    assert world.roll_up(DAY)[DAY].written == 1
    assert {key: row["clicks"] for key, row in world.days().items()} == {k: row["clicks"] for k, row in before.items()}


def test_rows_that_a_hand_altered_added_or_deleted_are_put_right(world):
    before = world.days()
    keys = sorted(world.hbase.tables[DAILY])
    world.change(DAILY, keys[0], {b"metrics:clicks": b"99"})
    world.change(DAILY, keys[1], deletes=(b"metrics",))
    world.change(DAILY, keys[2][:-4] + b"ffff", dict(world.hbase.tables[DAILY][keys[2]]))
    done = world.roll_up(DAY, whole=True)[DAY]
    assert (done.written, done.deleted) == (2, 1)
    assert {key: row["clicks"] for key, row in world.days().items()} == {k: row["clicks"] for k, row in before.items()}


@pytest.mark.parametrize("what", ["people", "totals"])
def test_columns_that_a_hand_changed_leave_the_day_as_it_is_and_are_named(world, what):
    before = dict(world.hbase.tables[DAILY])
    columns = Checkpoints(world.books).columns([HOUR])[HOUR]
    key = people_key(HOUR, columns.people[0]) if what == "people" else rolling_up.slice_key(HOUR, 0)
    world.change(BLOCKS, key, {blocks.cell(0, "hour"): b"nothing"})
    assert world.roll_up(DAY)[DAY].unfit == {HOUR}
    assert world.hbase.tables[DAILY] == before
    world.books.hours.doubt([HOUR])
    world.update(whole=[HOUR])
    assert world.roll_up(DAY)[DAY].unfit == set()
    world.assert_golden()


@pytest.mark.parametrize("computed_meanwhile", [True, False])
def test_a_day_whose_hour_is_computed_meanwhile_is_counted_again(world, computed_meanwhile):
    def attempt(marks, columns):
        tried.append(columns[HOUR].stamp_ms)
        if len(tried) > 1:
            return "counted", set()
        if computed_meanwhile:
            world.update(whole=[HOUR])
        return "in part", {HOUR}

    tried = []
    found = rolling_up.of_columns(world.books, DAY, attempt, "nothing")
    assert found == (("counted", set()) if computed_meanwhile else ("nothing", {HOUR}))
    assert len(set(tried)) == len(tried) == 1 + computed_meanwhile


def test_an_hour_of_an_earlier_version_has_no_columns_and_is_named(world):
    Checkpoints(world.books).drop([HOUR + 1])
    assert world.roll_up(DAY)[DAY].unfit == {HOUR + 1}


def test_users_are_shared_out_to_tasks_and_come_to_the_same(world, monkeypatch):
    before = dict(world.hbase.tables[DAILY])
    monkeypatch.setattr(rolling_up, "SLICE_BYTES", 300)
    (done, _) = world.roll_up().values()
    assert (done.written, done.deleted) == (0, 0)
    assert world.hbase.tables[DAILY] == before
    assert done.users_by_hour == {HOUR: 5, HOUR + 1: 5}
    world.send(event("more", AT + 30 * 60_000, "new", "x"))
    world.update()
    world.assert_golden()


def test_killed_at_any_write_and_run_again_it_ends_golden(world):
    world.send(*(event(f"late-{at}", AT + at * 1_000, f"v{at}", "late") for at in range(3)))
    world.update()
    start, kills = world.hbase.snapshot(), 0
    while True:
        world.hbase.restore(start)
        world.hbase.lives = kills
        try:
            world.roll_up(DAY)
        except Killed:
            kills += 1
            world.hbase.lives = None
            world.assert_golden()
            continue
        world.hbase.lives = None
        break
    assert kills > 2


def test_a_run_that_another_has_overtaken_writes_no_more(world, monkeypatch):
    world.send(event("late", AT + 1_000, "v", "late"))
    world.update()
    monkeypatch.setattr(day_rows.DayStates, "is_latest", lambda *_: False)
    with pytest.raises(Superseded):
        world.roll_up(DAY)


def test_an_hour_of_many_runs_lies_in_a_few_places_and_names_nobody_twice(world):
    for at in range(40):
        world.send(event(f"run-{at}", AT + at * 1_000, f"w{at}", "x"))
        world.update()
    places = Checkpoints(world.books).columns([HOUR])[HOUR].people
    assert len(places) <= 6
    named = {people_key(HOUR, place) for place in places}
    assert {key for key in world.hbase.tables[BLOCKS] if key.startswith(people_key(HOUR, places[0])[:7])} == named
    world.assert_golden()


def test_hours_that_lack_columns_are_computed_again_and_those_that_are_about_to_be_are_left_alone(world):
    world.index_all()
    before = {hour: state.touched for hour, state in world.books.hours.read(world.hours).items()}
    Checkpoints(world.books).drop([HOUR])
    world.books.hours.touch([HOUR + 1])
    assert rolling_up.ask_again(world.books, [HOUR, HOUR + 1, HOUR + 24]) == [HOUR, HOUR + 24]
    after = world.books.hours.read([HOUR, HOUR + 1, HOUR + 24])
    assert [state.touched - before[hour] for hour, state in after.items()] == [1, 1, 1]
    assert [state.doubted > 0 for state in after.values()] == [False, False, True]
    assert rolling_up.ask_again(world.books, [HOUR, HOUR + 1, HOUR + 24]) == []
    world.update()
    world.assert_golden()


@pytest.mark.parametrize("most", [1, 3, 1_000])
def test_people_are_counted_from_events_in_as_many_passes_as_memory_asks_for(world, monkeypatch, most):
    monkeypatch.setattr(people, "MOST_AT_A_TIME", most)
    assert people.count_people(world.books, [HOUR, HOUR + 1], 24) == world.days()["2026-11-20|all"]["unique_users"] == 5
    assert people.count_people(world.books, [], 0) == 0


@pytest.mark.parametrize(("most", "is_enough"), [(40, False), (256 << 20, True)])
def test_a_span_is_put_together_in_as_many_passes_as_memory_asks_for(world, monkeypatch, most, is_enough):
    read = []
    monkeypatch.setattr(spans, "_BYTES_AT_A_TIME", most)
    monkeypatch.setattr(spans, "_people", lambda *of, people=spans._people: read.append(of[1]) or people(*of))
    world.assert_golden()
    for scope in daily_metrics.SCOPES:
        read.clear()
        assert_span(world, scope)
        assert (read.count(HOUR) == 1) == is_enough
    Checkpoints(world.books).drop([HOUR])
    with pytest.raises(spans.WithoutColumns) as without:
        spans.span_totals(world.books, range(HOUR, HOUR + 2), "all")
    assert without.value.hours == [HOUR]


@pytest.mark.parametrize(("rows", "most"), [(1, 1), (5, 3), (1_000, 9)])
def test_a_spans_totals_are_held_of_some_hours_at_a_time(world, monkeypatch, rows, most):
    class Held(bytearray):
        """What a batch lies in, to have a weak reference to."""

    def watched(hbase, table, family, wanted, schema, *of):
        for place, batch in read(hbase, table, family, wanted, schema, *of):
            if schema == hourly_metrics.COUNTED and batch is not None:
                held = Held(batch.serialize())
                batches.append(weakref.ref(held))
                yield place, pa.ipc.read_record_batch(pa.py_buffer(held), schema)
                del held, batch
                alive.append(sum(of() is not None for of in batches))
            else:
                yield place, batch

    for hour in range(HOUR + 2, HOUR + 9):
        world.send(event(f"{hour}", hour * HOUR_MS, "u1", f"of-{hour}"), event(f"{hour}+", hour * HOUR_MS, "w", "x"))
    world.update()
    world.assert_golden()
    read, batches, alive = blocks.read, [], []
    monkeypatch.setattr(blocks, "read", watched)
    monkeypatch.setattr(spans, "_ROWS_AT_A_TIME", rows)
    assert_span(world, "url")
    assert max(alive) == most


def assert_span(world, scope):
    """A whole day as a span against its rows."""
    rows = spans.span_totals(world.books, range(DAY * 24, DAY * 24 + 24), scope)
    found = {golden._day_key({"day": "2026-11-20", "scope": scope, **row}): row for row in rows}
    wanted = {key: row for key, row in world.days().items() if key.split("|")[:2] == ["2026-11-20", scope]}
    assert {key: [row[name] for name in MEASURES] for key, row in found.items()} == {
        key: [row.get(name) for name in MEASURES] for key, row in wanted.items()
    }
