"""Metrics brought up to date by what is new: always what golden.py makes of all messages, whatever happened before."""

import random
import zlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream_assets.books import blocks, checkpoints
from clickstream_assets.books.checkpoints import Checkpoints
from clickstream_assets.enrich.enrichment import EnrichmentRules
from clickstream_assets.metrics import computing, page_rows
from clickstream_assets.metrics.hour_tasks import Computed
from clickstream_assets.metrics.hourly_metrics import sketch_of
from clickstream_assets.metrics.page_rows import Superseded, same_users
from clickstream_assets_tests.fakes.geoip_databases import write_database
from clickstream_assets_tests.fakes.metrics_world import (
    BLOCKS,
    CELL,
    FIRST,
    METRICS,
    MetricsWorld,
    bot,
    event,
    write_geoip,
)
from clickstream_assets_tests.fakes.servers import HOUR_MS, Killed
from clickstream_assets_tests.fakes.spark import TaskLost
from clickstream_assets_tests.hard_cases import BRITISH, GERMAN

HOUR = FIRST + 3
AT = HOUR * HOUR_MS
MINUTE = 60_000


@pytest.fixture(scope="module")
def geoip(tmp_path_factory):
    return write_geoip(tmp_path_factory.mktemp("geoip") / "City.mmdb")


@pytest.fixture
def make(geoip, monkeypatch):
    """Makes worlds; the last one made is the one that tasks see."""
    return lambda **more: MetricsWorld(monkeypatch, geoip, **more)


@pytest.fixture
def world(make):
    """Two hours that are computed and indexed: 9 clicks of 4 users, a bot, a leave and a duplicate."""
    world = make(partitions=2)
    world.send(*FIRST_EVENTS)
    world.send(*OF_PARTITION_1, partition=1)
    world.update()
    world.index()
    return world


FIRST_EVENTS = (
    event("1", AT, "ada"),
    event("2", AT + 5 * MINUTE, "ada", "y"),
    event("3", AT + 6 * MINUTE, "bob"),
    event("4", AT + 7 * MINUTE, "bob", event_type="page_leave"),
    bot("5", AT + 8 * MINUTE, "crawler"),
    event("6", AT + 55 * MINUTE, "ada"),
    event("7", AT + HOUR_MS + MINUTE, "ada", "z"),
    event("8", AT + HOUR_MS + 2 * MINUTE, "cid", ip=BRITISH),
    event("8", AT + HOUR_MS + 2 * MINUTE, "cid", ip=BRITISH),
)
OF_PARTITION_1 = (
    event("10", AT + 20 * MINUTE, "dan", engagement_time_ms=9_000),
    event(None, AT + 21 * MINUTE, "dan", "y"),
    event("12", AT + HOUR_MS + 40 * MINUTE, "dan", "y"),
)
MORE_EVENTS = (
    event("20", AT + 56 * MINUTE, "ada", "w"),
    event("21", AT + 9 * MINUTE, "eve"),
    event("22", AT + HOUR_MS + 3 * MINUTE, "ada"),
    bot("23", AT + 9 * MINUTE, "crawler"),
    event("1", AT, "ada"),
)


def test_the_worlds_first_hours_are_golden(world):
    world.assert_golden()
    world.assert_indexed()
    assert len(world.metrics()) == 5


# By what is new


kinds = st.sampled_from(["page_view", "page_view", "click", "scroll", "page_leave"])
messages = st.lists(
    st.tuples(
        st.sampled_from("1234567") | st.none(),
        st.integers(0, 24).map(lambda at: AT + at * 10 * MINUTE) | st.integers(AT, AT + 4 * HOUR_MS),
        st.sampled_from("abc"),
        st.sampled_from("xy"),
        st.fixed_dictionaries(
            {"event_type": kinds, "ip": st.sampled_from([GERMAN, GERMAN, BRITISH, None])},
            optional={
                "engagement_time_ms": st.integers(0, 9_000_000),
                "user_agent": st.sampled_from(
                    [None, "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"]
                ),
            },
        ),
    ),
    max_size=9,
)
increments = st.lists(messages, min_size=1, max_size=4)


@pytest.mark.slow
@settings(deadline=None, max_examples=60, derandomize=True)
@given(increments, st.booleans())
def test_any_events_in_any_increments_are_golden_after_each_and_end_as_if_read_at_once(geoip, drawn, again):
    with pytest.MonkeyPatch.context() as patch:
        world = MetricsWorld(patch, geoip)
        for batch in drawn:
            values = [event(*of, **fields) for *of, fields in batch]
            world.send(*values, *values[: again and 2])
            world.update()
            world.assert_golden()
            world.assert_indexed()
        whole = MetricsWorld(patch, geoip)
        whole.topic, whole.lines = world.topic, world.lines
        whole.topic.group = {0: None}
        whole.update()
    assert whole.plain() == world.plain()
    sketches = {key: cells[CELL["users_sketch"]] for key, cells in world.metrics().items()}
    for key, cells in whole.metrics().items():
        assert same_users(cells[CELL["users_sketch"]], sketches[key])


def test_what_new_events_leave_as_it_is_is_not_written(world):
    before = world.metrics()
    world.send(*MORE_EVENTS)
    done = world.update()
    world.assert_golden()
    after = world.metrics()
    changed = {key for key, cells in after.items() if cells != before.get(key)}
    # ada stays on x for a minute only, goes on to w, and to x in the hour behind; eve is on x.
    assert changed == {world.key_of(HOUR), world.key_of(HOUR, "w"), world.key_of(HOUR + 1), world.key_of(HOUR + 1, "z")}
    assert (done[HOUR].written, done[HOUR + 1].written) == (2, 2)
    assert world.index() == changed, "lists name what changed, and nothing else"
    assert {after[key][CELL["run_id"]] for key in changed} == {f"run-{world.runs}".encode()}
    assert all(
        int(after[key][CELL["computed_at"]]) > int(before[key][CELL["computed_at"]]) for key in changed & before.keys()
    )


def test_events_that_change_no_metric_write_none_and_are_covered(world):
    before = world.metrics()
    world.send(bot("30", AT + 9 * MINUTE, "crawler"), event("31", AT + 58 * MINUTE, "fay", event_type="scroll"))
    done = world.update()
    assert (done[HOUR].written, world.metrics()) == (0, before)
    assert world.index() == set()
    checkpoint = Checkpoints(world.books).read([HOUR])[HOUR]
    covered = {place: cells.digest for place, cells in world.places().items()}
    del covered["id-1", 1, 0, HOUR + 1]  # the earliest event in it comes too late to tell of this hour
    assert {place: digest[:16] for place, digest in checkpoint.covered.items()} == covered
    assert {place.hour for place, digest in checkpoint.covered.items() if len(digest) == 32} == {HOUR}, "its audience"
    world.assert_golden()


def test_the_sums_of_a_computation_are_those_of_its_rows(world):
    world.send(*MORE_EVENTS)
    done = world.update()
    for hour in (HOUR, HOUR + 1):
        rows = [cells for key, cells in world.metrics().items() if cells[CELL["hour"]] == b"%d" % hour]
        sums = {}
        for cells in rows:
            of_country = sums.setdefault(cells[CELL["country"]].decode(), [0] * 5)
            seconds = float(cells[CELL["time_spent_seconds"]])
            numbers = [1, *(int(cells[CELL[name]]) for name in ("clicks", "unique_users", "measured_views"))]
            sums[cells[CELL["country"]].decode()] = [
                a + b for a, b in zip(of_country, [*numbers, round(seconds * 1000)], strict=True)
            ]
        assert done[hour].by_country == sums
        assert done[hour].rows == len(rows)
        assert done[hour].clicks == sum(of[1] for of in sums.values())
        assert done[hour].urls == len({cells[CELL["url"]] for cells in rows})
        stored = Checkpoints(world.books).read([hour])[hour].sums
        assert (stored.rows, stored.clicks, stored.urls, stored.by_country) == (
            len(rows),
            done[hour].clicks,
            done[hour].urls,
            sums,
        )


def test_an_hour_without_clicks_is_computed_and_has_none(make):
    world = make()
    world.send(bot("1", AT), event("2", AT + 1, "ada", event_type="scroll"))
    done = world.update()
    assert replace(done[HOUR], audience=[]) == Computed()
    assert (world.metrics(), world.index()) == ({}, set())
    world.send(event("3", AT + MINUTE, "ada"))
    world.update()
    world.assert_golden()
    world.assert_indexed()


def test_an_hour_with_an_event_in_its_first_half_only_is_computed_with_what_follows_it(world):
    """What comes after the first half hour of the next one changes nothing, and is not even read."""
    world.send(event("40", AT + HOUR_MS + 31 * MINUTE, "ada"))
    done = world.update()
    assert HOUR not in done
    world.send(event("41", AT + HOUR_MS + 29 * MINUTE, "cid"))
    assert HOUR in world.update()
    world.assert_golden()


# The whole hour


@pytest.mark.parametrize("size", [1, 7, 8, 9, 40, 400, 3_000])
def test_the_same_users_in_another_order_are_the_same_and_others_are_not(size):
    # A sketch lists some users, then keeps a set of them, then registers.
    users = [f"u{at}" for at in range(size)]
    shuffled = random.Random(size).sample(users, size)
    assert same_users(sketch_of(users), sketch_of(shuffled))
    assert not same_users(sketch_of(users), sketch_of([*shuffled[1:], "somebody"]))
    assert not same_users(sketch_of(users), sketch_of([*shuffled, *(f"v{at}" for at in range(20))]))
    assert not same_users(sketch_of(users), b"7")
    assert not same_users(b"", sketch_of(users))


def test_an_hour_computed_whole_leaves_rows_that_are_right_as_they_are(world):
    before = world.metrics()
    done = world.compute(whole=world.hours)
    assert {hour: (of.written, of.deleted, of.named) for hour, of in done.items()} == dict.fromkeys(
        world.hours, (0, 0, [])
    )
    assert (world.metrics(), world.index()) == (before, set())


def test_rows_that_wait_for_the_index_are_no_difference_and_are_not_written_again(world):
    world.send(*MORE_EVENTS)
    world.update()
    before = world.metrics()
    assert _dry(world) == {hour: (0, 0, []) for hour in world.hours}
    world.compute(whole=world.hours)
    assert world.metrics() == before
    world.assert_indexed()


def test_what_a_run_has_listed_that_came_to_no_checkpoint_is_no_difference_to_a_dry_run(world):
    world.send(*MORE_EVENTS)
    world.ingest()
    world.enrich()
    drop = Checkpoints(world.books).drop
    world.compute()
    drop(world.hours)
    assert _dry(world) == {hour: (0, 0, []) for hour in world.hours}


@pytest.fixture
def moved(tmp_path, world):
    """A later build of the database, in which what was German is French: its path, and the rules that go with it."""
    records = {GERMAN: {"country": {"iso_code": "FR"}}, BRITISH: {"country": {"iso_code": "GB"}}}
    path = write_database(tmp_path / "City.mmdb", records, built=8)
    return path, EnrichmentRules(str(path), (), ("GeoLite2-City 8", world.rules.versions[1]))


def test_rows_of_countries_that_an_hour_has_no_more_are_deleted(world, moved):
    world.geoip, world.rules = moved
    before = set(world.metrics())
    done = world.update(whole=world.hours)
    world.assert_golden()
    after = set(world.metrics())
    assert world.index() == before ^ after != set()
    assert world.documents == world.metrics()
    assert sum(of.deleted for of in done.values()) == len(before - after)
    assert sum(of.written for of in done.values()) == len(after - before)


# Killed


@pytest.mark.slow
def test_killed_at_any_write_and_run_again_it_ends_golden(make):
    world = make()
    world.send(*FIRST_EVENTS[:3])
    kills = 0
    for kills in world.killed_at_each_write_of(world.update):  # noqa: B007
        world.update()
        world.assert_golden()
        world.assert_indexed()
        world.documents = {}
    assert kills > 20


@pytest.mark.slow
def test_killed_at_any_write_of_what_is_new_and_run_again_it_ends_golden(world):
    documents = dict(world.documents)
    world.send(*MORE_EVENTS)
    kills = 0
    for kills in world.killed_at_each_write_of(world.update):  # noqa: B007
        world.documents = dict(documents)
        world.update()
        world.assert_golden()
        world.assert_indexed()
    assert kills > 30


@pytest.mark.slow
def test_killed_at_any_write_of_a_whole_computation_and_run_again_it_ends_golden(world):
    documents, start = dict(world.documents), world.hbase.snapshot()
    damaged = world.key_of(HOUR)
    world.change(METRICS, damaged, {CELL["clicks"]: b"7"})
    world.change(METRICS, world.key_of(HOUR, "y"), deletes=(b"metrics",))
    world.change(METRICS, world.key_of(HOUR, "never"), {CELL["clicks"]: b"7"})
    kills = 0
    for kills in world.killed_at_each_write_of(lambda: world.update(whole=world.hours)):  # noqa: B007
        world.documents = dict(documents)
        world.update(whole=world.hours)
        world.assert_golden()
        world.assert_indexed()
    assert kills > 10
    world.hbase.restore(start)


@pytest.mark.slow
def test_a_run_that_is_killed_is_followed_by_one_with_more_and_both_are_golden(world):
    world.send(*MORE_EVENTS[:2])
    sent, documents = list(world.topic.logs[0]), dict(world.documents)
    lines = list(world.lines)
    for _ in world.killed_at_each_write_of(world.update):
        world.documents = dict(documents)
        world.topic.logs[0], world.lines = list(sent), list(lines)
        world.send(*MORE_EVENTS[2:])
        world.update()
        world.assert_golden()
        world.assert_indexed()
        world.topic.logs[0], world.lines = list(sent), list(lines)


@pytest.mark.slow
def test_rows_of_a_run_that_was_killed_are_found_though_the_last_checkpoint_is_true_again(world, moved):
    """It enriched by a build of the database that was put back then: the blocks are those of before."""
    rules, documents = world.rules, dict(world.documents)
    world.send(*MORE_EVENTS)
    world.ingest()

    def killed():
        world.rules = moved[1]
        world.enrich(whole=world.hours)
        world.compute()

    for _ in world.killed_at_each_write_of(killed):
        world.rules, world.documents = rules, dict(documents)
        world.books.hours.touch(world.hours)
        world.enrich(whole=world.hours)
        world.compute()
        world.assert_golden()
        world.assert_indexed()


@pytest.mark.slow
@pytest.mark.parametrize("attempts", [1, 2])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_task_whose_executor_is_lost_at_any_write_runs_again_and_all_is_golden(make, is_first, attempts):
    world = make()
    world.spark.attempts = attempts
    if not is_first:
        world.send(*FIRST_EVENTS)
        world.update()
        world.index()
    world.send(*MORE_EVENTS)
    world.ingest()
    _lost_at_each_write_of(world, world.enrich, world.compute)


@pytest.mark.slow
def test_an_executor_that_is_lost_in_a_whole_computation_leaves_no_row_unlisted(world):
    for url in ("x", "y"):
        world.change(METRICS, world.key_of(HOUR, url), {CELL["clicks"]: b"7"})
        world.change(METRICS, world.key_of(HOUR, f"never {url}"), {CELL["clicks"]: b"7"})
    _lost_at_each_write_of(world, lambda: world.update(whole=world.hours))


def _lost_at_each_write_of(world, *actions):
    """Run actions from the same tables, with a task lost before its first write, its second, …"""

    def lose():
        world.hbase.lives = None
        raise TaskLost

    world.hbase.die = lose
    start, documents = world.hbase.snapshot(), dict(world.documents)
    lives = 0
    while True:
        world.hbase.restore(start)
        world.documents = dict(documents)
        world.hbase.lives = lives
        try:
            for action in actions:
                action()
        except TaskLost:  # of a write by the run itself
            lives += 1
            continue
        is_over, world.hbase.lives = world.hbase.lives is not None, None
        world.assert_golden()
        world.assert_indexed()
        if is_over:
            assert lives > 8
            return
        lives += 1


# What a run that was killed still writes


class Late(Killed):
    """The run is gone, but its put is on the way."""


def _overtaken_at_each_write_of(world, meanwhile):
    """Compute; before a write of it, which then arrives, another run does ``meanwhile``; for each of its writes.

    Yields, each time from the same tables, what the first run ended with.
    """
    start, documents, lines, log = (
        world.hbase.snapshot(),
        dict(world.documents),
        list(world.lines),
        list(world.topic.logs[0]),
    )
    for lives in range(1_000):
        world.hbase.restore(start)
        world.documents, world.lines, world.topic.logs[0] = dict(documents), list(lines), list(log)
        world.topic.group = {p: len(log) for p, log in world.topic.logs.items()}
        seen = []

        def overtake(seen=seen):
            world.hbase.lives = None
            meanwhile()
            seen.append((world.metrics(), Checkpoints(world.books).read(world.hours)))

        world.hbase.die, world.hbase.lives = overtake, lives
        ended = None
        try:
            world.compute()
        except Superseded as superseded:
            ended = superseded
        world.hbase.lives = None
        if not seen:
            return
        yield ended, seen[0]


@pytest.mark.slow
def test_what_a_run_writes_late_that_another_has_overtaken_changes_nothing(world):
    world.send(*MORE_EVENTS[:2])
    world.ingest()
    world.enrich()

    def meanwhile():
        world.send(*MORE_EVENTS[2:])
        world.update()

    ends = []
    for ended, after_the_other in _overtaken_at_each_write_of(world, meanwhile):
        ends.append(ended)
        assert (world.metrics(), Checkpoints(world.books).read(world.hours)) == after_the_other
        world.assert_golden()
        world.assert_indexed()
        world.send(event("50", AT + 10 * MINUTE, "gil"), event("51", AT + 11 * MINUTE, "ada"))
        world.update()
        world.assert_golden()
        world.assert_indexed()
    assert len(ends) > 9
    assert sum(isinstance(ended, Superseded) for ended in ends) > 2, "the fence stops all but the put that is under way"


@pytest.mark.slow
def test_a_row_that_nobody_computes_any_more_is_not_put_late(world, moved):
    """The run that is overtaken has enriched by a build of the database that was put back since."""
    rules = world.rules
    world.send(*MORE_EVENTS)
    world.ingest()
    world.rules = moved[1]
    world.enrich(whole=world.hours)

    def meanwhile():
        world.rules = rules
        world.books.hours.touch(world.hours)
        world.enrich(whole=world.hours)
        world.compute()

    ends = 0
    for _, (metrics, _) in _overtaken_at_each_write_of(world, meanwhile):
        ends += 1
        assert world.metrics() == metrics
        world.assert_golden()
        world.assert_indexed()
    assert ends > 9


@pytest.mark.slow
@pytest.mark.parametrize("lives", range(0, 12, 2))
def test_nor_does_it_when_the_run_that_has_overtaken_it_is_killed_too(world, lives):
    world.send(*MORE_EVENTS[:2])
    world.ingest()
    world.enrich()

    def meanwhile():
        world.send(*MORE_EVENTS[2:])
        world.ingest()
        world.enrich()
        die = world.hbase.die
        del world.hbase.die
        world.hbase.lives = lives
        with pytest.raises(Killed):
            world.compute()
        world.hbase.lives, world.hbase.die = None, die

    for _ in _overtaken_at_each_write_of(world, meanwhile):
        world.update()
        world.assert_golden()
        world.assert_indexed()


# Blocks, totals and checkpoints that are not what they were


def _flip(value, at):
    return value[: at // 8] + bytes((value[at // 8] ^ 1 << at % 8,)) + value[at // 8 + 1 :]


def _damages(world, place, other):
    """Names, and what a hand makes of the first cell of a block."""
    value = world.hbase.tables[BLOCKS][blocks.row_key(place)][b"block:0"]
    others = world.hbase.tables[BLOCKS][blocks.row_key(other)][b"block:0"]
    return {
        "deleted": None,
        "emptied": b"",
        "cut in its head": value[:7],
        "cut short": value[:-1],
        "longer": value + b"\0",
        "of another format": b"\0" + value[1:],
        "of another length": value[:1] + b"\xff\xff\xff\xff" + value[5:],
        "another's": others,
        "flipped in the middle": _flip(value, len(value) * 4),
        "flipped at the end": _flip(value, len(value) * 8 - 1),
    }


@pytest.mark.parametrize(
    "damage",
    [
        "deleted",
        "emptied",
        "cut in its head",
        "cut short",
        "longer",
        "of another format",
        "of another length",
        "another's",
        "flipped in the middle",
        "flipped at the end",
    ],
)
@pytest.mark.parametrize("which", [0, 1])
def test_a_block_that_is_not_what_the_ledger_says_is_named_and_made_again_from_rows(world, damage, which):
    # Of the hour itself, and of the one behind it, whose first half hour it looks into.
    place, other = sorted((place for place in world.places() if place.partition == 0), key=lambda of: of.hour)[
        :: 1 - 2 * which
    ]
    value = _damages(world, place, other)[damage]
    before = world.metrics()
    if value is None:
        world.change(BLOCKS, blocks.row_key(place), deletes=(b"block",))
    else:
        world.change(BLOCKS, blocks.row_key(place), {b"block:0": value})
    stored = world.metrics()
    done, unfit = computing.compute(world.spark, world.books, world.hours, "notices")
    assert unfit == {place}
    assert done.keys() == set(world.hours) - {place.hour, place.hour - 1}
    assert (world.metrics(), world.index()) == (stored, set())
    world.send(*MORE_EVENTS)
    world.update()
    world.assert_golden()
    world.assert_indexed()
    assert world.metrics().keys() >= before.keys()


def test_blocks_that_are_exchanged_are_both_named(world):
    one, other = (place for place in world.places() if place.hour == HOUR)
    cells = [world.hbase.tables[BLOCKS][blocks.row_key(place)][b"block:0"] for place in (one, other)]
    for place, value in zip((other, one), cells, strict=True):
        world.change(BLOCKS, blocks.row_key(place), {b"block:0": value})
    assert computing.compute(world.spark, world.books, [HOUR], "notices") == ({}, {one, other})
    world.compute(whole=[HOUR])
    world.assert_golden()


def test_a_block_of_another_topic_is_none_of_ours(world):
    """A topic that is made anew has other ids, and its offsets begin again."""
    (place,) = (place for place in world.places() if (place.partition, place.hour) == (1, HOUR))
    cells = dict(world.hbase.tables[BLOCKS][blocks.row_key(place)])
    elsewhere = blocks.row_key(place._replace(log_id="id-2"))
    world.change(BLOCKS, elsewhere, cells)
    before = world.metrics()
    world.compute(whole=world.hours)
    assert world.metrics() == before
    world.change(BLOCKS, blocks.row_key(place), deletes=(b"block", b"todo"))
    assert computing.compute(world.spark, world.books, [HOUR], "notices") == ({}, {place})


@pytest.mark.parametrize("flipped", [False, True])
def test_events_that_are_not_what_the_ledger_says_are_read_from_rows(make, flipped):
    world = make()
    world.send(*FIRST_EVENTS[:4])
    world.ingest()
    world.send(*FIRST_EVENTS[4:])
    world.ingest()
    row = sorted(key for key in world.hbase.tables[BLOCKS] if b"todo:0" in world.hbase.tables[BLOCKS][key])[0]
    if flipped:
        world.change(BLOCKS, row, {b"todo:0": _flip(world.hbase.tables[BLOCKS][row][b"todo:0"], 300)})
    else:
        world.change(BLOCKS, row, deletes=(b"todo",))
    world.update()
    world.assert_golden()
    world.assert_indexed()


def test_rows_that_no_entry_tells_of_yet_are_in_no_block(make):
    """A run that reads while another enriches from rows, or that was killed before the ledger."""
    world = make()
    world.send(*FIRST_EVENTS[:3])
    world.update()
    world.send(*MORE_EVENTS)
    world.hbase.lives = 6
    with pytest.raises(Killed):
        world.ingest()
    world.hbase.lives = None
    assert len(world.rows()) > 3
    world.enrich(whole=world.hours)
    world.compute(whole=world.hours)
    world.update()
    world.assert_golden()


HOUR_ROW = checkpoints.hour_key(HOUR)
TOTALS = HOUR_ROW + b"000"


def _delete(column):
    return lambda world, row: world.change(BLOCKS, row, deletes=(column,))


def _put(column, change):
    return lambda world, row: world.change(BLOCKS, row, {column: change(world.hbase.tables[BLOCKS][row][column])})


STATE_DAMAGES = {
    "totals flipped": (TOTALS, _put(b"hour:0", lambda value: _flip(value, 200))),
    "totals cut short": (TOTALS, _put(b"hour:0", lambda value: value[:-9])),
    "totals deleted": (TOTALS, _delete(b"hour")),
    "checkpoint deleted": (HOUR_ROW, _delete(b"hour:checkpoint")),
    "checkpoint empty": (HOUR_ROW, _put(b"hour:checkpoint", lambda value: b"")),
    "checkpoint cut short": (HOUR_ROW, _put(b"hour:checkpoint", lambda value: value[:-2])),
    "checkpoint of another kind": (HOUR_ROW, _put(b"hour:checkpoint", lambda value: b"7")),
    "checkpoint flipped": (HOUR_ROW, _put(b"hour:checkpoint", lambda value: _flip(value, 333))),
    "checkpoint of no json": (HOUR_ROW, _put(b"hour:checkpoint", lambda value: zlib.compress(b"[1"))),
    "checkpoint of numbers": (HOUR_ROW, _put(b"hour:checkpoint", lambda value: zlib.compress(b"[1, 2, 3]"))),
    "checkpoint of other sums": (
        HOUR_ROW,
        _put(b"hour:checkpoint", lambda value: zlib.compress(b'[1, [], [], {"more": 3}]')),
    ),
    "checkpoint and fence deleted": (HOUR_ROW, _delete(b"hour")),
}


@pytest.mark.parametrize("with_more", [False, True])
@pytest.mark.parametrize("damage", STATE_DAMAGES)
def test_an_hour_whose_totals_or_checkpoint_are_not_what_they_were_is_computed_whole(world, damage, with_more):
    row, garble = STATE_DAMAGES[damage]
    garble(world, row)
    before = world.metrics()
    if with_more:
        world.send(*MORE_EVENTS)
        world.update()
        world.assert_golden()
    done, unfit = computing.compute(world.spark, world.books, [HOUR], "whole")
    assert unfit == set()
    assert done[HOUR].written == 0
    if not with_more:
        assert world.metrics() == before
    world.assert_golden()
    world.assert_indexed()


ROW_DAMAGES = {
    "deleted": lambda world, key: world.change(METRICS, key, deletes=(b"metrics",)),
    "without sketch": lambda world, key: world.change(METRICS, key, deletes=(CELL["users_sketch"],)),
    "sketch of nothing": lambda world, key: world.change(METRICS, key, {CELL["users_sketch"]: b""}),
    "sketch of text": lambda world, key: world.change(METRICS, key, {CELL["users_sketch"]: b"seven"}),
}


@pytest.mark.parametrize("damage", ROW_DAMAGES)
def test_an_hour_whose_row_cannot_be_added_to_is_computed_whole(world, damage):
    ROW_DAMAGES[damage](world, world.key_of(HOUR))
    world.change(METRICS, world.key_of(HOUR, "y"), {CELL["clicks"]: b"7"})
    world.send(*MORE_EVENTS)  # eve is new to x
    world.update()
    world.assert_golden()
    world.assert_indexed()


@pytest.mark.parametrize("users", [1, 9, 400, 3_000])
def test_a_sketch_cut_short_anywhere_is_no_sketch_to_add_to(world, users):
    sketch = sketch_of(f"u{at}" for at in range(users))
    for length in {*range(min(60, len(sketch))), len(sketch) // 2, len(sketch) - 1}:
        assert not same_users(sketch[:length], sketch)
        with pytest.raises(ValueError):
            page_rows.union([sketch[:length], sketch])


# By hand


@pytest.mark.slow
@pytest.mark.parametrize("cell", [name for name in CELL if name != "run_id"])
def test_cells_that_somebody_changed_or_lost_are_mended_by_a_whole_computation(world, cell):
    key, before = world.key_of(HOUR), world.metrics()
    changes = [{CELL[cell]: b"7" if cell != "computed_at" else b"never"}]
    if CELL[cell] in before[key]:
        changes.append(None)
    for change in changes:
        world.change(METRICS, key, change, () if change else (CELL[cell],))
        done = world.compute(whole=world.hours)
        assert (done[HOUR].written, done[HOUR].named) == (1, [key.decode()])
        assert world.index() == {key}
        after = world.metrics()
        assert after.pop(key)[CELL["run_id"]] == f"run-{world.runs}".encode()
        assert after == {other: cells for other, cells in before.items() if other != key}
        world.assert_golden()


def test_cells_and_rows_that_nothing_computes_are_deleted_by_a_whole_computation(world):
    before = world.metrics()
    world.change(METRICS, world.key_of(HOUR), {b"metrics:note": b"mine"})
    world.change(METRICS, world.key_of(HOUR, "never"), {CELL["clicks"]: b"7", b"metrics:note": b"mine"})
    done = world.compute(whole=world.hours)
    assert (done[HOUR].written, done[HOUR].deleted) == (1, 1)
    assert world.index() == {world.key_of(HOUR), world.key_of(HOUR, "never")}
    assert world.metrics().keys() == before.keys()
    world.assert_golden()


def test_a_dry_run_names_what_a_hand_changed_and_changes_nothing(world):
    keys = [world.key_of(HOUR), world.key_of(HOUR, "y"), world.key_of(HOUR, "never")]
    assert _dry(world) == {hour: (0, 0, []) for hour in world.hours}
    world.change(METRICS, keys[0], {CELL["unique_users"]: b"7"})
    world.change(METRICS, keys[1], deletes=(b"metrics",))
    world.change(METRICS, keys[2], {CELL["clicks"]: b"7"})
    written, deleted, named = _dry(world)[HOUR]
    assert (written, deleted, sorted(named)) == (2, 1, sorted(key.decode() for key in keys))
    assert _dry(world)[HOUR + 1] == (0, 0, [])


def test_a_dry_run_of_what_is_new_tells_how_much_would_be_written(world):
    world.send(*MORE_EVENTS)
    world.ingest()
    world.enrich()
    wanted = _dry(world, whole=())
    done = world.compute()
    assert {hour: of[0] for hour, of in wanted.items()} == {
        hour: done[hour].written if hour in done else 0 for hour in world.hours
    }


def _dry(world, whole=None):
    before = world.hbase.snapshot()[0]
    done, unfit = computing.compute(
        world.spark, world.books, world.hours, "dry", world.hours if whole is None else whole, dry_run=True
    )
    assert (world.hbase.tables, unfit) == (before, set())
    return {hour: (of.written, of.deleted, of.named) for hour, of in done.items()}


# An hour of many events


@pytest.fixture
def sliced(monkeypatch):
    """Have hours computed in a few slices, and read in several."""
    monkeypatch.setattr(computing, "LARGE_BYTES", 150)


@pytest.mark.slow
def test_a_large_hour_in_slices_is_the_same_as_in_one(make, sliced, monkeypatch):
    worlds, results = [], []
    for large in (150, 1 << 30):
        monkeypatch.setattr(computing, "LARGE_BYTES", large)
        world = make(partitions=2)
        done = []
        for first, second in ((FIRST_EVENTS, OF_PARTITION_1), (MORE_EVENTS, ())):
            world.send(*first)
            world.send(*second, partition=1)
            done.append(world.update())
            world.assert_golden()
            world.assert_indexed()
        worlds.append(world)
        results.append(done)
    sliced_world, other = worlds
    assert len(Checkpoints(sliced_world.books).read([HOUR])[HOUR].slices) > 1
    assert len(Checkpoints(other.books).read([HOUR])[HOUR].slices) == 1
    assert sliced_world.plain() == other.plain()
    for done, of_other in zip(*results, strict=True):
        for hour, computed in done.items():
            computed.named, of_other[hour].named = sorted(computed.named), sorted(of_other[hour].named)
            for lie_elsewhere in (computed, of_other[hour]):
                lie_elsewhere.people = lie_elsewhere.audience = []
        assert done == of_other


@pytest.mark.slow
@settings(deadline=None, max_examples=15, derandomize=True)
@given(increments)
def test_any_events_are_golden_in_slices_too(geoip, drawn):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(computing, "LARGE_BYTES", 150)
        world = MetricsWorld(patch, geoip)
        for batch in drawn:
            world.send(*(event(*of, **fields) for *of, fields in batch))
            world.update()
            world.assert_golden()
            world.assert_indexed()


def test_an_hour_that_has_outgrown_its_slices_is_computed_whole_in_more(world, monkeypatch):
    monkeypatch.setattr(computing, "LARGE_BYTES", 150)
    world.send(*MORE_EVENTS)
    world.update()
    assert len(Checkpoints(world.books).read([HOUR])[HOUR].slices) > computing._GROWN
    world.assert_golden()
    world.assert_indexed()


def test_an_hour_that_grows_keeps_its_slices_until_it_is_computed_whole(world, monkeypatch):
    monkeypatch.setattr(computing, "LARGE_BYTES", 150)
    monkeypatch.setattr(computing, "_GROWN", 100)
    world.send(*MORE_EVENTS)
    world.update()
    world.assert_golden()
    assert len(Checkpoints(world.books).read([HOUR])[HOUR].slices) == 1
    before = world.metrics()
    world.compute(whole=[HOUR])
    assert len(Checkpoints(world.books).read([HOUR])[HOUR].slices) > 1
    assert world.metrics() == before
    world.assert_golden()
    world.assert_indexed()


def test_a_large_hour_with_a_block_that_is_unfit_is_left_as_it_is(world, sliced):
    world.compute(whole=world.hours)
    place = next(place for place in world.places() if place.hour == HOUR)
    world.change(BLOCKS, blocks.row_key(place), deletes=(b"block",))
    before = world.metrics()
    assert computing.compute(world.spark, world.books, [HOUR], "notices", [HOUR]) == ({}, {place})
    assert world.metrics() == before
    assert world.index() == set()
    world.compute(whole=world.hours)
    world.assert_golden()


@pytest.mark.slow
def test_a_large_hour_whose_totals_are_unfit_in_one_slice_is_computed_whole_and_every_row_is_listed(world, sliced):
    world.compute(whole=world.hours)
    slices = Checkpoints(world.books).read([HOUR])[HOUR].slices
    with_rows = [number for number, cells in enumerate(slices) if cells.rows]
    assert len(with_rows) > 1
    world.send(*MORE_EVENTS)
    world.ingest()
    world.enrich()
    start, documents = world.hbase.snapshot(), dict(world.documents)
    for number in with_rows:
        world.hbase.restore(start)
        world.documents = dict(documents)
        world.change(BLOCKS, HOUR_ROW + b"%03d" % number, {b"hour:0": b"none"})
        world.change(METRICS, world.key_of(HOUR, "y"), {CELL["clicks"]: b"7"})
        world.compute()
        world.assert_golden()
        world.assert_indexed()


@pytest.mark.slow
def test_a_large_hour_killed_at_any_write_and_run_again_ends_golden(world, sliced):
    world.compute(whole=world.hours)
    documents = dict(world.documents)
    world.send(*MORE_EVENTS)
    for _ in world.killed_at_each_write_of(world.update):
        world.documents = dict(documents)
        world.update()
        world.assert_golden()
        world.assert_indexed()
