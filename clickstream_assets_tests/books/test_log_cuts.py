"""A log cut back under the same topic id: what was read stays as it is, and what takes its offsets is read as well."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream_assets.books.ledger_entries import LOST
from clickstream_assets.books.log_cuts import Cut, Generations, log_id, named, topic_of
from clickstream_assets.books.offsets import OffsetRange
from clickstream_assets.books.resumption import resumption
from clickstream_assets.checks.clickstream_topic import CUT_SHOWN_DAYS, cut_back
from clickstream_assets.events.click_event import decode
from clickstream_assets.events.hours import hour_of_key
from clickstream_assets.evidence.page_events import to_event
from clickstream_assets.evidence.recomputation import ranges_of
from clickstream_assets.ingest import outcomes
from clickstream_assets_tests.fakes.servers import HOUR_MS, World

FIRST = hour_of_key("2026-11-20-00:00")
HOUR = FIRST + 20
NOW = HOUR * HOUR_MS + HOUR_MS // 2
IN_WORDS = "partition 0 was cut back from offset 6 to 3"


def event(user, event_id=None):
    fields = {"event_id": event_id} if event_id else {}
    return json.dumps(fields | {"user_id": user, "timestamp": NOW, "url": "https://h.example/"}).encode()


def users(world):
    return sorted(cells[b"click_data:user_id"].decode() for cells in world.rows().values())


def sources(world):
    return [to_event(key, cells).kafka for key, cells in world.rows().items()]


@pytest.fixture(params=["Kafka tells", "Kafka does not tell"])
def told(request):
    return request.param == "Kafka tells"


@pytest.fixture
def world():
    """Six messages read: three kept, one refused, one without id kept, one duplicate; the last three in one entry."""
    world = World(FIRST)
    for user in ("ada", "bob"):
        world.topic.send(event(user, user), NOW)
    world.ingest()
    world.topic.send(event("cleo", "cleo"), NOW)
    world.topic.send(b"refused", NOW)
    world.topic.send(event("no id"), NOW)
    world.topic.send(event("cleo", "cleo"), NOW)
    world.ingest()
    assert (users(world), world.topic.group) == (["ada", "bob", "cleo", "no id"], {0: 6})
    return world


def test_a_cut_is_booked_with_where_and_when_and_by_which_run_though_nothing_is_new(world, told):
    world.topic.cut(3, told=told)
    report = world.ingest()
    (cut,) = report.cuts
    assert cut.in_words().startswith(IN_WORDS)
    assert cut.in_words() in report.in_words()
    assert world.books.cuts.read("id-1") == [Cut(0, 1, 3, 6, cut.noticed_ms, "run-3")]
    assert (world.topic.group, report.read, world.ingest().cuts) == ({0: 3}, 0, [])
    world.assert_books_balance()


def test_messages_that_take_the_offsets_again_are_read_as_what_they_are(world, told):
    """An event without an id, one refused, one sent again that had been cut off: at the very offsets and times."""
    world.topic.cut(3, told=told)
    if not told:  # without Kafka's word it is seen only before the log has grown
        world.ingest()
    world.topic.send(b"refused too", NOW)
    world.topic.send(event("no id either"), NOW)
    world.topic.send(event("cleo", "cleo"), NOW)
    world.topic.send(event("dora", "dora"), NOW)
    world.ingest()
    assert users(world) == ["ada", "bob", "cleo", "dora", "no id", "no id either"]
    letters = [key.decode() for key in world.hbase.tables["clickstream_dead_letters"]]
    assert sorted(letters) == [f"id-1|000000|{3:020d}", f"id-1~001|000000|{3:020d}"]
    assert (world.total("read"), world.total("duplicates"), world.topic.group) == (10, 2, {0: 7})
    world.assert_books_balance()
    parts = world.ledger.parts([HOUR])[HOUR]
    assert [(part.topic_id, part.counts.kept) for part in parts] == [("id-1", 2), ("id-1", 2), ("id-1~001", 2)]
    ranges, unbooked = ranges_of(world.ledger, parts, sources(world))
    assert ([(one["topic_id"], one["events"]) for one in ranges], unbooked) == (
        [("id-1", 2), ("id-1", 2), ("id-1~001", 2)],
        0,
    )


def test_what_was_read_before_is_not_read_again_and_the_rest_is_in_any_order(world, told):
    world.topic.cut(3, told=told)
    world.ingest()
    for user in ("dora", "emil"):
        world.topic.send(event(user, user), NOW)
    world.ingest()
    before = (world.rows(), world.letters(), world.total("read"))
    report = world.read_hours(HOUR)
    # Of the second entry, offsets 2 to 5, Kafka has only the first: it stays as it was booked.
    assert (report.unavailable, report.ranges) == (4, {0: [(0, 2), (3, 5)]})
    assert (world.rows(), world.letters(), world.total("read")) == before
    world.assert_books_balance()
    world.topic.group[0] = 0  # by hand
    assert world.ingest().unavailable == 4
    assert (world.rows(), world.letters(), world.total("read")) == before
    world.assert_books_balance()


def test_offsets_set_back_by_hand_behind_a_cut_do_not_hide_it(world):
    world.topic.cut(3, told=False)
    world.topic.group[0] = 0
    report = world.ingest()
    assert (len(report.cuts), report.ranges, world.topic.group) == (1, {0: [(0, 2)]}, {0: 3})
    world.assert_books_balance()


def test_a_log_is_cut_back_twice_above_and_below_the_first_cut(world, told):
    world.topic.cut(3, told=told)
    world.ingest()
    for user in ("dora", "emil", "fay"):
        world.topic.send(event(user), NOW)
    world.ingest()
    world.topic.cut(4, told=told)
    world.ingest()
    world.topic.send(event("gil"), NOW)
    world.ingest()
    world.assert_books_balance()
    world.topic.cut(1, told=told)
    world.ingest()
    for user in ("hal", "ida"):
        world.topic.send(event(user), NOW)
    world.ingest()
    assert [(cut.at, cut.read_to) for cut in world.books.cuts.read("id-1")] == [(3, 6), (4, 6), (1, 5)]
    assert {"dora", "emil", "fay", "gil", "hal", "ida"} <= set(users(world))
    assert world.read_hours(HOUR).ranges == {0: [(1, 3)]}
    world.assert_books_balance()


def test_a_log_cut_back_to_nothing_begins_anew(world, told):
    world.topic.cut(0, told=told)
    world.ingest()
    world.topic.send(event("dora"), NOW)
    world.ingest()
    assert "dora" in users(world)
    world.assert_books_balance()


@pytest.mark.parametrize("sent", [2, 9])
def test_a_run_killed_at_any_write_is_made_good_by_the_next(world, sent):
    """Whether the log has grown beyond its old end by then or not, and though the group's offset is of before."""
    for _ in world.killed_at_each_write_of(lambda: cut_and_grown(world, sent).ingest()):
        if world.topic.group[0] != 6:
            world.topic.told = {}
        world.topic.send(event("last"), NOW)
        world.ingest()
        assert users(world) == sorted(["ada", "bob", "cleo", "no id", "last", *(f"u{i}" for i in range(sent))])
        assert [(cut.at, cut.read_to) for cut in world.books.cuts.read("id-1")] == [(3, 6)]
        world.assert_books_balance()


def cut_and_grown(world, sent):
    world.topic.cut(3)
    for i in range(sent):
        world.topic.send(event(f"u{i}"), NOW)
    return world


def test_letters_of_both_logs_are_replayed_under_their_own_coordinates(world, told, monkeypatch):
    world.topic.cut(3, told=told)
    world.ingest()
    world.topic.send(b"refused too", NOW)
    world.ingest()

    mends = {b"refused": event("mended"), b"refused too": event("mended too")}
    monkeypatch.setattr(outcomes, "decode", lambda value, *others: decode(mends.get(value, value), *others))
    report = world.replay()
    assert (report.rows, report.unbooked) == (2, 0)
    assert {"mended", "mended too"} <= set(users(world))
    assert world.letters() == {}
    world.assert_books_balance()


def test_an_offset_committed_of_a_topic_of_before_is_no_cut(world):
    world.topic.id, world.topic.logs[0] = "id-2", []
    world.topic.send(event("dora"), NOW)
    assert world.ingest().cuts == []
    assert (world.topic.group, "dora" in users(world)) == ({0: 1}, True)


def test_a_commit_beyond_all_that_was_read_is_no_cut(world):
    world.topic.group[0] = 99  # by hand
    assert world.ingest().cuts == []
    assert world.topic.group == {0: 6}


def test_what_a_run_reads_while_it_is_looked_at_is_no_cut(world):
    ends = world.topic.ends([0])
    world.topic.send(event("dora", "dora"), NOW)
    world.ingest()  # another process'
    found = resumption(world.topic, world.books, ends)
    assert (found.unbooked, found.void, found.begins, found.lag(ends)) == ([], frozenset(), {0: 7}, 0)


def test_what_retention_takes_behind_a_cut_is_lost_as_elsewhere(world, told):
    world.topic.cut(3, told=told)
    world.ingest()
    for user in ("dora", "emil"):
        world.topic.send(event(user), NOW)
    world.topic.begin[0] = 4
    assert world.ingest().lost == 1
    assert [(e.topic_id, e.first, e.end) for e in world.entries() if e.kind == LOST] == [("id-1~001", 3, 4)]
    world.assert_books_balance()


@pytest.mark.slow
@settings(deadline=None, max_examples=200, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10))), st.integers(0, 35), st.integers(0, 35))
def test_each_offset_is_of_the_generation_that_wrote_it(steps, first, end):
    log, cuts = [0] * 10, []
    for generation, (at, grows) in enumerate(steps, 1):
        cuts.append(Cut(5, generation, at := min(at, len(log)), len(log) + 1, 0))
        log = log[:at] + [generation] * grows
    found = Generations.of(reversed(cuts))
    assert [found.at(5, offset) for offset in range(len(log))] == log
    assert found.at(4, first) == 0
    ranges = found.ranges("id", 5, first, end)
    covered = [(s.log_id, offset) for s in ranges for offset in range(s.first, s.end)]
    assert [offset for _, offset in covered] == list(range(first, end))
    assert all(name == log_id("id", log[offset]) for name, offset in covered if offset < len(log))


def test_only_the_first_generation_is_known_by_the_topic_id_alone():
    assert (log_id("id", 0), log_id("id", 12)) == ("id", "id~012")
    assert (topic_of("id"), topic_of("id~012")) == ("id", "id")
    assert (named("clicks", "id"), named("clicks", "id~012")) == ("clicks", "clicks~012")
    assert Generations().ranges("id", 0, 3, 3) == []
    assert Generations().ranges("id", 0, 0, 3) == [OffsetRange("id", 0, 0, 3)]


def test_the_check_tells_of_a_cut_for_some_days_and_then_keeps_it_in_its_table():
    cuts = [Cut(0, 1, 3, 6, NOW, "run-1"), Cut(2, 1, 0, 9, NOW + 1, "run-2")]
    fresh = cut_back(cuts, NOW + CUT_SHOWN_DAYS * 86_400_000 - 1)
    assert not fresh.passed
    assert fresh.words.startswith("partition 2 was cut back from offset 9 to 0 (noticed ")
    assert IN_WORDS in fresh.words
    old = cut_back(cuts, NOW + CUT_SHOWN_DAYS * 86_400_000 + 1)
    assert (old.passed, old.words) == (True, f"no log was cut back in the last {CUT_SHOWN_DAYS} days")
    assert [record.data["cut_back_from"] for record in old.figures["cuts"].records] == [6, 9]
    never = cut_back([], NOW)
    assert (never.passed, never.figures) == (True, {})


def test_without_a_time_a_message_is_told_from_that_of_another_topic_at_its_place():
    world = World(FIRST)
    for topic_id in ("id-1", "id-2"):
        world.topic.id, world.topic.logs[0], world.topic.group[0] = topic_id, [], None
        world.topic.send(event(f"of {topic_id}"), -1)
        world.ingest()
        world.read_hours(HOUR)
    assert users(world) == ["of id-1", "of id-2"]
    world.assert_books_balance()
