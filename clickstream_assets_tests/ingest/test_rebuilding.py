"""What a hand has changed in the database is made anew from Kafka, or left as it is where Kafka has not all of it."""

import copy
import itertools
import json
from collections import defaultdict

import pytest

from clickstream_assets.books.row_keys import event_key, hour_of
from clickstream_assets.events.hours import hour_of_key, key_of_hour
from clickstream_assets.ingest.outcomes import SOURCE, letter_key
from clickstream_assets.ingest.rebuilding import NotInKafka, Rebuild, totals
from clickstream_assets_tests.fakes.servers import CLICKS, HOUR_MS, LEDGER, LETTERS, World

FIRST = hour_of_key("2026-11-20-00:00")
HOUR = FIRST + 20
HOURS = range(HOUR - 3, HOUR + 1)
NOW = HOUR * HOUR_MS + HOUR_MS // 2


def event(event_id, hours_ago=0, page=""):
    fields = {"event_id": event_id, "user_id": "u", "timestamp": NOW - hours_ago * HOUR_MS}
    return json.dumps(fields | {"url": "https://h.example/", "page": page}).encode()


def rebuild(world, hours=HOURS):
    work = Rebuild(world.topic, world.books, world.ingestion)
    for hour in hours:
        work.plan(hour)
    return [work.run(hour) for hour in hours]


@pytest.fixture
def world():
    """Entries of five offsets each: an event of each of three hours, a letter and a duplicate. Then one late event."""
    world = World(FIRST)
    for first in (0, 5, 10):
        for ago in range(3):
            world.topic.send(event(f"{first}-{ago}", ago), NOW)
        world.topic.send(b"{", NOW)
        world.topic.send(event(f"{first}-0"), NOW)
        world.ingest()
    world.topic.send(event("late", 3), NOW)
    world.ingest()
    assert [(entry.first, entry.end) for entry in world.entries()] == [(0, 5), (5, 10), (10, 15), (15, 16)]
    world.assert_books_balance()
    return world


def state(world):
    """Rows, letters, the counts of each hour, and what was committed."""
    counts = {hour: counts for hour, counts in world.ledger.counts(range(FIRST - 9, HOUR + 9)).items() if counts}
    return world.rows(), world.letters(), counts, dict(world.topic.group)


def lines(world, prefix):
    return sorted(key for key in world.hbase.tables[LEDGER] if key.startswith(prefix))


def delete(world, table, *keys):
    for key in keys:
        del world.hbase.tables[table][key]


def range_lines_gone(world):
    delete(world, LEDGER, *lines(world, b"range|"))


def all_lines_gone(world):
    delete(world, LEDGER, *lines(world, b"range|"), *lines(world, b"hour|"))


def hour_lines_gone(world):
    delete(world, LEDGER, *lines(world, b"hour|"))


def rows_and_letters_gone(world):
    delete(world, CLICKS, *list(world.rows())[::2])
    delete(world, LETTERS, letter_key("id-1", 0, 3), letter_key("id-1", 0, 13))


def rows_added(world):
    copied = next(iter(world.rows().values()))
    for ago, cells in enumerate([copied, {b"click_data:url": b"https://h.example/"}, copied | {SOURCE: b"by hand"}]):
        key = event_key(HOUR - ago, "added", "uu", "click", "https://h.example/")
        world.hbase.tables[CLICKS][key] = dict(cells)


def rows_of_another_offset(world):
    for cells in world.hbase.tables[CLICKS].values():
        cells[SOURCE] = b"id-1/0/7"


def letters_added(world):
    world.hbase.tables[LETTERS][letter_key("id-1", 0, 1)] = dict(world.hbase.tables[LETTERS][letter_key("id-1", 0, 3)])


def parts_added(world):
    entry = world.entries()[-1]
    world.ledger.write([entry])
    cells = world.hbase.tables[LEDGER][lines(world, b"hour|")[0]]
    for part in (b"|id-1|000000|00000000000000000015", b"|id-1|000000|00000000000000000007"):
        world.hbase.tables[LEDGER][b"hour|" + key_of_hour(HOUR).encode() + part] = dict(cells)


BY_HAND = (
    range_lines_gone,
    all_lines_gone,
    hour_lines_gone,
    rows_and_letters_gone,
    rows_added,
    rows_of_another_offset,
    letters_added,
    parts_added,
)
by_hand = pytest.mark.parametrize("change", BY_HAND, ids=[change.__name__ for change in BY_HAND])


def test_hours_that_nobody_changed_end_as_they_are_and_are_touched(world):
    before, entries, touched = state(world), world.entries(), world.touched()
    rebuild(world)
    assert state(world) == before
    assert [(entry.offsets, entry.hours) for entry in world.entries()] == [
        (entry.offsets, entry.hours) for entry in entries
    ]
    assert all(world.touched()[hour] > touched[hour] for hour in HOURS)
    world.assert_books_balance()


@by_hand
def test_what_a_hand_has_changed_is_as_if_it_never_had_been(world, change):
    before = state(world)
    change(world)
    with pytest.raises(AssertionError):
        world.assert_books_balance()
        assert state(world) == before
    rebuild(world)
    world.assert_books_balance()
    assert state(world) == before


@pytest.mark.slow
@pytest.mark.parametrize("change", [range_lines_gone, hour_lines_gone, rows_and_letters_gone, rows_added])
def test_a_rebuild_killed_at_any_write_ends_the_same_when_it_is_run_again(world, change):
    before = state(world)
    change(world)
    kills = 0
    for kills in world.killed_at_each_write_of(lambda: rebuild(world)):  # noqa: B007
        rebuild(world)
        world.assert_books_balance()
        assert state(world) == before
    assert kills > 20


@pytest.mark.slow
@pytest.mark.parametrize("change", [range_lines_gone, all_lines_gone, hour_lines_gone, rows_added])
@pytest.mark.parametrize("hour", [HOUR - 3, HOUR - 2])
def test_a_rebuild_of_one_hour_killed_at_any_write_loses_nothing_of_it(world, change, hour):
    """Though its events were recorded in another hour, so that record times do not lead to them."""

    def of_hour():
        return {key: cells for key, cells in world.rows().items() if hour_of(key) == hour}

    before, rows = state(world), of_hour()
    change(world)
    for _ in world.killed_at_each_write_of(lambda: rebuild(world, [hour])):
        rebuild(world, [hour])
        assert of_hour() == rows
        assert world.ledger.counts([hour]) == {hour: before[2][hour]}
    rebuild(world)
    assert state(world) == before


@pytest.mark.parametrize("gone", [chosen for n in (1, 2, 3) for chosen in itertools.combinations(range(3), n)])
def test_any_lost_entries_are_written_again(world, gone):
    before = state(world)
    delete(world, LEDGER, *[lines(world, b"range|")[at] for at in gone])
    rebuild(world)
    world.assert_books_balance()
    assert state(world) == before


@pytest.mark.slow
def test_any_one_line_of_the_ledger_may_be_lost(world):
    before, tables = state(world), world.hbase.tables
    for key in (*lines(world, b"range|"), *lines(world, b"hour|")):
        world.hbase.tables = copy.deepcopy(tables)
        delete(world, LEDGER, key)
        rebuild(world)
        world.assert_books_balance()
        assert state(world) == before


def test_an_entry_lost_on_both_sides_of_an_hours_end_is_booked_once():
    world = World(FIRST)
    for ago in (1, 0):
        for at in range(3):
            world.topic.send(event(f"{ago}-{at}", ago), NOW - ago * HOUR_MS)
    world.ingest()
    before = state(world)
    for hour in (HOUR - 1, HOUR):
        delete(world, LEDGER, *lines(world, b"range|"))
        rebuild(world, [hour])
        assert [(entry.first, entry.end) for entry in world.entries()][-1][1] == 6
        rebuild(world, [HOUR - 1, HOUR])
        world.assert_books_balance()
        assert state(world) == before


def test_a_row_whose_message_is_refused_now_goes_and_another_message_of_the_event_has_it(refuse):
    world, strict = World(FIRST), World(FIRST)
    for each in (world, strict):
        each.topic.send(event("a", page="odd"), NOW)
        each.topic.send(event("a", page="fine"), NOW)
        each.topic.send(event("b", 2, page="odd"), NOW)
        each.topic.send(event("c", 2), NOW)
    world.ingest()
    refuse(b"odd")
    strict.ingest()
    world.read_hours(HOUR)  # before it is rebuilt, as any run may
    rebuild(world, [HOUR - 2, HOUR])
    world.assert_books_balance()
    assert state(world) == state(strict)
    assert world.letters() == {(0, 0): "invalid_url", (0, 2): "invalid_url"}
    assert sorted(cells[SOURCE] for cells in world.rows().values()) == [b"id-1/0/1", b"id-1/0/3"]


@pytest.mark.parametrize(("then", "now"), [(FIRST, HOUR - 1), (HOUR - 1, FIRST)], ids=["raised", "lowered"])
def test_a_first_partition_that_was_moved(then, now):
    def world_of(first_hour):
        world = World(first_hour)
        for ago in (10, 4):
            world.topic.send(b"{", NOW - ago * HOUR_MS)
            world.topic.send(event(f"{ago}", ago), NOW - ago * HOUR_MS)
        world.topic.send(event("a", 10), NOW)
        world.topic.send(event("b"), NOW)
        world.ingest()
        world.assert_books_balance()
        return world

    world, never = world_of(then), world_of(now)
    world.first_hour = now
    rebuild(world, range(HOUR - 10, HOUR + 1))
    world.assert_books_balance()
    assert state(world) == state(never)


def test_rows_read_in_another_order_end_with_the_lowest_offset():
    world = World(FIRST)
    for page in ("first", "second"):
        world.topic.send(event("a", page=page), NOW)
    world.topic.group[0] = 1  # by hand
    world.ingest()
    world.topic.group[0] = 0
    world.ingest()
    assert [cells[SOURCE] for cells in world.rows().values()] == [b"id-1/0/1"]
    rebuild(world, [HOUR])
    assert [cells[SOURCE] for cells in world.rows().values()] == [b"id-1/0/0"]
    world.assert_books_balance()


def test_what_lies_behind_a_cut_of_the_log_is_rebuilt_as_what_it_is(world):
    world.topic.cut(12)
    world.ingest()
    for at in range(2):
        world.topic.send(event(f"anew-{at}", 7), NOW)
        world.ingest()
    before = state(world)
    delete(world, LEDGER, *lines(world, b"range|id-1~001")[:1])
    rebuild(world, [HOUR - 7])
    world.assert_books_balance()
    assert state(world) == before
    with pytest.raises(NotInKafka, match="10 to 14 of partition 0"):
        rebuild(world, [HOUR])


def assert_refused_and_left_alone(world, hours, words):
    tables = copy.deepcopy(world.hbase.tables)
    work = Rebuild(world.topic, world.books, world.ingestion)
    for hour in hours:
        with pytest.raises(NotInKafka, match=words) as told:
            work.plan(hour)
        assert key_of_hour(hour) in str(told.value)
        assert "left as it is" in str(told.value)
    assert world.hbase.tables == tables


@pytest.mark.parametrize("change", [lambda world: None, *BY_HAND[:3]])
def test_what_retention_took_since_is_left_as_it_is(world, change):
    change(world)
    world.topic.begin[0] = 7
    assert_refused_and_left_alone(world, HOURS[1:], "are no longer in Kafka")
    rebuild(world, HOURS[:1])  # all of this hour is still in Kafka


@pytest.mark.parametrize("change", [lambda world: None, *BY_HAND[:3]])
@pytest.mark.parametrize("offset", [5, 6, 7])
def test_what_compaction_took_since_is_left_as_it_is(world, change, offset):
    change(world)
    world.topic.logs[0][offset] = None
    assert_refused_and_left_alone(world, [HOUR - offset + 5], "hold|are no longer in Kafka")


def test_a_letter_that_compaction_took_the_record_of_is_left_as_it_is(world):
    world.topic.logs[0][8] = None
    assert_refused_and_left_alone(world, [HOUR], "held 5 messages when they were read, and hold 4 now")
    delete(world, LEDGER, lines(world, b"range|")[1])
    assert_refused_and_left_alone(world, [HOUR], "offsets 8 to 8 of partition 0 are no longer in Kafka")


def test_what_was_a_gap_when_it_was_read_is_no_loss():
    world = World(FIRST)
    for at in range(6):
        world.topic.send(event(f"{at}"), NOW)
    world.topic.logs[0][2] = None
    world.ingest()
    before = state(world)
    delete(world, LEDGER, *lines(world, b"range|"))
    rebuild(world, [HOUR])
    world.assert_books_balance()
    assert state(world) == before


def test_events_of_a_topic_that_had_the_name_before_are_left_as_they_are(world):
    world.topic.id, world.topic.logs[0] = "id-2", []
    world.topic.send(event("new"), NOW)
    world.ingest()
    assert_refused_and_left_alone(world, HOURS, "are of another topic that had this name")


def test_totals_of_plans_say_what_is_dropped_and_read(world):
    work = Rebuild(world.topic, world.books, world.ingestion)
    assert totals([work.plan(hour) for hour in (HOUR, HOUR - 3)]) == {
        "hours": 2,
        "rows": 4,
        "offsets": 16,
        "contradicting parts of the ledger": 0,
    }
    delete(world, LEDGER, lines(world, b"range|")[1])
    plan = work.plan(HOUR)
    assert (len(plan.rows), plan.offsets, len(plan.parts), len(plan.unbooked)) == (3, 15, 1, 1)


def test_two_partitions_are_rebuilt_in_order():
    world = World(FIRST, partitions=2)
    for at, partition in enumerate((0, 1, 0, 1)):
        world.topic.send(event("abca"[at]), NOW, partition)
    world.ingest()
    before = state(world)
    by_partition = defaultdict(int)
    for cells in world.rows().values():
        by_partition[cells[SOURCE].split(b"/")[1]] += 1
    assert by_partition == {b"0": 2, b"1": 1}
    world.hbase.tables[CLICKS] = {}
    rebuild(world, [HOUR])
    world.assert_books_balance()
    assert state(world) == before
