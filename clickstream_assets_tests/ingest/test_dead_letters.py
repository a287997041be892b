"""Dead letters mended: counts move, nothing doubles, and no moment to be killed at leaves the books wrong."""

import copy
import json
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream_assets.books.ledger_entries import HourCounts
from clickstream_assets.events.click_event import decode
from clickstream_assets.events.hours import hour_of_key
from clickstream_assets.events.refusals import Refused
from clickstream_assets.ingest import outcomes
from clickstream_assets.ingest.dead_letters import DeadLetters, Selection
from clickstream_assets.ingest.outcomes import SOURCE
from clickstream_assets.ingest.replay import Replay
from clickstream_assets.stores.kafka.client import Record
from clickstream_assets_tests.fakes.servers import HOUR_MS, LETTERS, FakeTopic, World

FIRST = hour_of_key("2026-11-20-00:00")
NOW = (FIRST + 20) * HOUR_MS + HOUR_MS // 2


def event(event_id, time_ms=NOW, **fields):
    plain = {"event_id": event_id, "user_id": "u", "timestamp": time_ms, "url": f"https://h.example/{event_id}"}
    return json.dumps(plain | fields).encode()


@pytest.fixture
def strict(monkeypatch):
    """Code that refuses messages which hold one of these words, until it is fixed: the set emptied."""
    words = {b"bad"}

    def decode_or_refuse(message, *rules):
        if message and any(word in message for word in words):
            raise Refused("wrong_type", "url: a test says so")
        return decode(message, *rules)

    monkeypatch.setattr(outcomes, "decode", decode_or_refuse)
    return words


@pytest.fixture
def world():
    return World(FIRST)


def send_and_refuse(world):
    """Five messages: two good, two refused by strict code (one late, one a duplicate), one broken for ever."""
    world.topic.send(event("a"), NOW)
    world.topic.send(event("b", NOW - 3 * HOUR_MS, page="bad"), NOW)
    world.topic.send(event("a", page="bad"), NOW)
    world.topic.send(b"{", NOW + HOUR_MS)
    world.topic.send(event("c", NOW + HOUR_MS), NOW + HOUR_MS)
    world.ingest()
    assert (world.total("kept"), world.total("dead_lettered")) == (2, 3)
    world.assert_books_balance()


def test_a_mended_letter_is_a_row_or_a_duplicate_and_its_hours_are_touched(world, strict):
    send_and_refuse(world)
    strict.clear()
    before = world.touched()
    report = world.replay()
    assert (report.letters, report.rows, report.duplicates, dict(report.refused)) == (3, 1, 1, {"invalid_json": 1})
    assert report.mended_by_reason == {"wrong_type": 2}
    assert report.mended_by_hour == {NOW // HOUR_MS: 2}
    (entry,) = world.entries()
    assert entry.counts == HourCounts(kept=3, late=1, dead_lettered=1, duplicates=1, mended=2)
    assert entry.hours[NOW // HOUR_MS] == HourCounts(kept=1, duplicates=1, mended=2)
    assert entry.hours[NOW // HOUR_MS - 3] == HourCounts(kept=1, late=1)
    assert (entry.read, entry.mended_offsets) == (5, {NOW // HOUR_MS: [1, 2]})
    assert world.letters() == {(0, 3): "invalid_json"}
    (row,) = [cells for cells in world.rows().values() if cells[SOURCE] == b"id-1/0/1"]
    assert row[b"click_data:record_time"] == str(NOW).encode()
    assert {hour for hour, count in world.touched().items() if count > before.get(hour, 0)} == {NOW // HOUR_MS - 3}
    world.assert_books_balance()


def test_a_long_replay_says_how_far_it_is(world, strict, monkeypatch):
    send_and_refuse(world)
    strict.clear()
    monkeypatch.setattr("clickstream_assets.ingest.replay.monotonic", iter(range(0, 100, 6)).__next__)
    said = []
    replay = Replay(world.topic.topic, world.topic.id, world.books, FIRST * HOUR_MS, "dry", dry_run=True)
    report = replay.run(Selection(), said.append)
    assert said == [f"So far: {report.in_words()}"]
    assert said[0].startswith("So far: would mend 2 of 3 dead letters: 1 rows, 1 duplicates; 1 still refused")


def test_a_second_replay_changes_nothing(world, strict):
    send_and_refuse(world)
    strict.clear()
    world.replay()
    before = copy.deepcopy(world.hbase.tables)
    report = world.replay(Selection(reasons=frozenset(["wrong_type"])))
    assert (report.letters, report.mended) == (0, 0)
    assert world.hbase.tables == before


def test_a_dry_run_tells_and_writes_nothing(world, strict):
    send_and_refuse(world)
    strict.clear()
    before = copy.deepcopy(world.hbase.tables)
    told = world.replay(dry_run=True)
    assert world.hbase.tables == before
    assert told == world.replay()


def test_what_is_refused_still_stays_with_todays_reason(world, strict):
    send_and_refuse(world)
    strict.clear()
    strict.add(b"{")
    assert world.replay(Selection(reasons=frozenset(["invalid_json"]))).refused == {"wrong_type": 1}
    assert world.letters()[0, 3] == "wrong_type"
    (letter,) = [cells for key, cells in world.hbase.tables[LETTERS].items() if key.endswith(b"3")]
    assert (letter[b"letter:run_id"], letter[b"letter:value"]) == (b"replay-2", b"{")
    world.assert_books_balance()


def test_letters_are_chosen_by_reason_hour_and_count(world, strict):
    for hour in range(4):
        for value in (b"{", event(f"{hour}", page="bad")):
            world.topic.send(value, NOW + hour * HOUR_MS)
    world.ingest()
    now = NOW // HOUR_MS
    letters = DeadLetters(world.hbase, LETTERS, FIRST)

    def chosen(*reasons, **wanted):
        return [letter.offset for letter in letters.select(Selection(frozenset(reasons), **wanted))]

    assert chosen() == list(range(8))
    assert chosen("invalid_json") == [0, 2, 4, 6]
    assert chosen("wrong_type", first=now + 1, end=now + 3) == [3, 5]
    assert chosen(limit=3) == [0, 1, 2]
    assert chosen("invalid_url") == []
    assert letters.counts(Selection(first=now + 3)) == {(now + 3, "invalid_json"): 1, (now + 3, "wrong_type"): 1}
    strict.clear()
    assert world.replay(Selection(frozenset(["wrong_type"]), first=now + 1, limit=2)).rows == 2
    assert sorted(world.letters()) == [(0, offset) for offset in (0, 1, 2, 4, 6, 7)]
    world.assert_books_balance()


@pytest.mark.slow
@pytest.mark.parametrize("then", ["replay", "read from Kafka"])
def test_a_replay_killed_before_any_write_is_made_good(world, strict, then):
    send_and_refuse(world)
    # An earlier offset whose event has a row of a later one by then, which has an entry of its own.
    world.topic.send(event("d", page="bad-first"), NOW)
    world.ingest()
    world.topic.send(event("d", page="second"), NOW)
    world.ingest()
    strict.clear()
    unfixed, touched = copy.deepcopy(world.hbase.tables), world.touched()
    world.replay()
    world.assert_books_balance()

    def state():
        return world.rows(), world.letters(), [world.total(name) for name in ("kept", "duplicates", "dead_lettered")]

    done = state()
    assert done[1:] == ({(0, 3): "invalid_json"}, [4, 2, 1])
    raised = {hour for hour, count in world.touched().items() if count > touched.get(hour, 0)}
    assert raised == {NOW // HOUR_MS - 3}

    world.hbase.tables = unfixed
    kills = 0
    for kills in world.killed_at_each_write_of(world.replay):  # noqa: B007
        if then == "replay":
            world.replay()
        else:
            world.read_hours(NOW // HOUR_MS, NOW // HOUR_MS + 1)
        assert state() == done
        world.assert_books_balance()
        assert raised <= {hour for hour, count in world.touched().items() if count > touched.get(hour, 0)}
    assert kills > 8


def test_read_from_kafka_again_mended_messages_are_kept_where_they_are(world, strict):
    send_and_refuse(world)
    strict.clear()
    world.replay()
    rows = world.rows()
    world.read_hours(NOW // HOUR_MS)
    (entry,) = world.entries()
    assert entry.counts == HourCounts(kept=3, late=1, dead_lettered=1, duplicates=1)
    assert world.rows() == rows
    world.assert_books_balance()
    assert world.replay().mended == 0


def test_a_mended_letter_is_a_duplicate_where_a_later_offset_has_the_row(world, strict):
    world.topic.send(event("a", page="bad"), NOW)
    world.topic.send(event("a", page="later"), NOW)
    world.topic.send(event("b", page="bad"), NOW)
    world.ingest()
    world.topic.send(event("b", page="later"), NOW)
    world.ingest()
    rows = world.rows()
    strict.clear()
    report = world.replay()
    assert (report.rows, report.duplicates) == (0, 2)
    assert world.rows() == rows
    booked = [entry.counts for entry in world.entries()]
    assert [(counts.kept, counts.duplicates, counts.dead_lettered) for counts in booked] == [(1, 2, 0), (1, 0, 0)]
    assert world.letters() == {}
    world.assert_books_balance()


def test_what_kafka_no_longer_holds_is_mended_as_well(world, strict):
    world.topic.send(event("a", page="bad"), NOW)
    world.topic.send(event("b", page="bad"), NOW)
    world.topic.send(event("a", page="later"), NOW)
    world.ingest()
    world.topic.begin[0] = 3
    strict.clear()
    report = world.replay()
    assert (report.rows, report.duplicates) == (1, 1)
    assert world.letters() == {}
    world.assert_books_balance()


def test_letters_of_an_earlier_topic_keep_its_id(world, strict):
    send_and_refuse(world)
    world.topic = FakeTopic(topic_id="id-2")
    world.topic.send(event("n", page="bad"), NOW)
    world.topic.send(event("e"), NOW)
    world.ingest()
    strict.clear()
    report = world.replay()
    assert (report.rows, report.duplicates) == (2, 1)
    assert sorted(cells[SOURCE] for cells in world.rows().values()) == [
        b"id-1/0/0",
        b"id-1/0/1",
        b"id-1/0/4",
        b"id-2/0/0",
        b"id-2/0/1",
    ]
    world.assert_books_balance()


def test_an_earlier_first_partition_takes_the_hours_before_it_in(world):
    world.first_hour = FIRST + 20
    old = (FIRST + 10) * HOUR_MS
    world.topic.send(event("old-record", old), old)
    world.topic.send(b"{", old)
    world.topic.send(event("old-event", old), NOW)
    world.topic.send(event("too-old", (FIRST - 5) * HOUR_MS), NOW)
    world.ingest()
    world.assert_books_balance()
    assert world.total("dead_lettered") == 4
    world.first_hour = FIRST
    report = world.replay(Selection(frozenset(["before_first_partition"])))
    assert (report.rows, dict(report.refused)) == (2, {"before_first_partition": 1})
    (entry,) = world.entries()
    assert entry.hours == {
        FIRST + 10: HourCounts(kept=2, late=1, dead_lettered=1, mended=1),
        NOW // HOUR_MS: HourCounts(dead_lettered=1, mended=1),
    }
    world.assert_books_balance()


def test_events_that_were_too_old_come_back_once_they_may_be_older(world):
    world.max_age_ms = 2 * HOUR_MS
    for name, hours in (("young", 2), ("old", 3), ("older", 9)):
        world.topic.send(event(name, NOW - hours * HOUR_MS), NOW)
    world.ingest()
    assert (len(world.rows()), world.total("dead_lettered")) == (1, 2)
    world.max_age_ms = 5 * HOUR_MS
    report = world.replay(Selection(frozenset(["too_old"])))
    assert (report.rows, dict(report.refused)) == (1, {"too_old": 1})
    world.max_age_ms = 0
    assert world.replay().rows == 1
    assert len(world.rows()) == 3
    world.assert_books_balance()


def test_a_replay_that_mends_books_the_entrys_other_letters_in_their_own_hours_too(world, strict):
    world.first_hour = FIRST + 20
    for record_hour in (10, 15, 21):
        world.topic.send(b"{", (FIRST + record_hour) * HOUR_MS)
    world.topic.send(event("a", page="bad"), NOW)
    world.ingest()
    world.first_hour = FIRST

    def booked():
        hours = world.ledger.counts(range(FIRST, FIRST + 24))
        return {hour - FIRST: counts.dead_lettered for hour, counts in hours.items() if counts.dead_lettered}

    assert world.replay().mended == 0
    assert booked() == {20: 3, 21: 1}
    strict.clear()
    assert world.replay().refused == {"invalid_json": 3}
    assert booked() == {10: 1, 15: 1, 21: 1}
    world.assert_books_balance()


def test_letters_that_a_killed_replay_left_are_counted_although_the_ledger_has_none(world, strict):
    world.topic.send(event("a", page="bad"), NOW)
    world.ingest()
    strict.clear()
    for _ in world.killed_at_each_write_of(world.replay):
        if world.total("mended"):
            break
    hour = NOW // HOUR_MS
    assert (world.total("dead_lettered"), world.count_letters([hour])) == (0, {hour: 1})
    assert world.replay().finished == 1
    world.assert_books_balance()


def test_a_message_over_the_limit_is_stored_whole_and_mended_whole(world, monkeypatch):
    big = event("big", filler="x" * (1 << 20))
    world.topic.send(big, NOW)
    world.topic.send(None, NOW)
    world.ingest()
    letters = DeadLetters(world.hbase, LETTERS, FIRST)
    selected = list(letters.select(Selection()))
    assert [(letter.reason, value) for letter, value in chain.from_iterable(letters.values(selected))] == [
        ("too_large", big),
        ("not_an_object", None),
    ]
    monkeypatch.setattr("clickstream_assets.events.click_event.MAX_MESSAGE_BYTES", 1 << 22)
    assert world.replay().rows == 1
    world.assert_books_balance()


def test_a_message_whose_bytes_were_not_kept_stays_too_large(world):
    world.topic.logs[0].append(Record(0, 0, NOW, None, "not read: its batch says so"))
    world.topic.send(None, NOW)
    world.ingest()
    reasons = {(0, 0): "too_large", (0, 1): "not_an_object"}
    assert world.letters() == reasons
    assert dict(world.replay().refused) == {"too_large": 1, "not_an_object": 1}
    assert world.letters() == reasons
    details = [letter.detail for letter in DeadLetters(world.hbase, LETTERS, FIRST).select(Selection())]
    assert details[0] == "not read: its batch says so"
    world.assert_books_balance()


def test_letters_are_read_back_in_calls_of_a_few_megabytes(world, monkeypatch):
    sizes = [10, 3 << 20, 2 << 20, 1 << 20, 5 << 20, 20, *[1] * 60]
    for size in sizes:
        world.topic.send(bytes(size), NOW)
    world.topic.send(None, NOW)
    world.ingest()
    letters = DeadLetters(world.hbase, LETTERS, FIRST)
    selected = list(letters.select(Selection()))
    lists = [[len(value or b"") for _, value in some] for some in letters.values(selected)]
    assert lists == [[10, 3 << 20], [2 << 20, 1 << 20], [5 << 20], [20, *[1] * 60, 0]]
    assert [len(some) for some in letters.values(selected[:9])] == [1] * 9


def test_letters_in_no_entry_are_left_to_the_run_that_will_read_them(world, strict):
    world.topic.send(event("a", page="bad"), NOW)
    for _ in world.killed_at_each_write_of(world.ingest):
        if world.letters():
            break
    assert world.entries() == []
    strict.clear()
    report = world.replay()
    assert (report.letters, report.unbooked, report.mended) == (1, 1, 0)
    world.ingest()
    assert world.letters() == {}
    world.assert_books_balance()


def test_letters_whose_entry_counts_others_are_left_alone(world, strict):
    """A letter was deleted by hand: a rebuild of its hour brings it again (test_rebuild.py)."""
    send_and_refuse(world)
    strict.clear()
    del world.hbase.tables[LETTERS][b"id-1|000000|00000000000000000003"]
    before = copy.deepcopy(world.hbase.tables)
    report = world.replay()
    assert (report.letters, report.unbooked, report.mended) == (2, 2, 0)
    assert "2 left alone" in report.in_words()
    assert world.hbase.tables == before


messages = st.lists(
    st.tuples(st.sampled_from("aabbcde"), st.booleans(), st.integers(0, 2), st.booleans()), min_size=1, max_size=12
)


@pytest.mark.slow
@settings(deadline=None, max_examples=120, derandomize=True)
@given(messages, st.lists(st.integers(1, 4), max_size=6), st.booleans())
def test_after_any_replays_every_event_has_a_row_as_if_nothing_had_been_refused(drawn, limits, backwards):
    with pytest.MonkeyPatch.context() as patch:
        words = {b"bad"}

        def decode_or_refuse(message, *rules):
            if any(word in message for word in words):
                raise Refused("wrong_type", "url: a test says so")
            return decode(message, *rules)

        patch.setattr(outcomes, "decode", decode_or_refuse)
        mended, never = World(FIRST), World(FIRST)
        for world in (mended, never):
            for at, (event_id, bad, ago, cut) in enumerate(drawn):
                text = event(event_id, NOW - ago * HOUR_MS, page=f"{at}{'bad' if bad else ''}")
                world.topic.send(text, NOW)
                if world is mended and cut:
                    world.ingest()
        mended.ingest()
        mended.assert_books_balance()
        words.clear()
        never.ingest()
        for limit in limits:
            mended.replay(Selection(limit=limit))
            mended.assert_books_balance()
        if backwards:
            mended.read_hours(NOW // HOUR_MS)
            mended.assert_books_balance()
        mended.replay()
        mended.assert_books_balance()
    # Which of its messages has the row depends on which could be stored first.
    sources = {(event_id, ago): set() for event_id, _, ago, _ in drawn}
    for at, (event_id, _, ago, _) in enumerate(drawn):
        sources[event_id, ago].add(b"id-1/0/%d" % at)
    assert mended.rows().keys() == never.rows().keys()
    assert len(mended.rows()) == len(sources)
    for cells in mended.rows().values():
        ago = (NOW - int(cells[b"click_data:timestamp"])) // HOUR_MS
        assert cells[SOURCE] in sources[cells[b"click_data:event_id"].decode(), ago]
    assert mended.letters() == {}
    assert [mended.total(name) for name in ("read", "kept", "duplicates", "late")] == [
        never.total(name) for name in ("read", "kept", "duplicates", "late")
    ]
