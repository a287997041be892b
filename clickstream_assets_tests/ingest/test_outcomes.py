"""What becomes of messages: kept, duplicate or dead letter. The row that is stored first stays."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream_assets.books.ledger_entries import HourCounts, sum_of
from clickstream_assets.books.row_keys import event_key
from clickstream_assets.books.table_schemas import CLICKS
from clickstream_assets.ingest.outcomes import SOURCE, Rules, Tally, letter_key
from clickstream_assets.stores.kafka.client import Record
from clickstream_assets_tests.fakes.outcomes import Outcomes, outcomes

HOUR = 3_600_000
NOW = 1_795_402_800_000 + HOUR // 2
HOUR_NOW = NOW // HOUR
RULES = Rules("clickstream_topic", "topic-id", NOW // HOUR * HOUR - 48 * HOUR, "run-1")


def message(offset, event_id="a", *, hours_ago=0, partition=0, **fields):
    event = {
        "timestamp": NOW - hours_ago * HOUR,
        "url": "https://h/",
        "user_id": "u",
        "place": f"{partition}/{offset}",
    } | fields
    if event_id is not None:
        event["event_id"] = event_id
    return Record(partition, offset, NOW, json.dumps(event).encode())


class Rows:
    """The click table in memory; hands out the cell that HBase would be asked for."""

    def __init__(self, rows=None):
        self.rows = {key: dict(cells) for key, cells in (rows or {}).items()}

    def stored(self, keys):
        return {key: self.rows[key][SOURCE] for key in keys if key in self.rows}

    def read(self, messages, rules=RULES):
        decided = outcomes(messages, rules, self.stored)
        for row in decided.rows:
            assert not row.deletes
            self.rows.setdefault(row.key, {}).update(row.puts)
        total = counts(decided)
        assert decided.read == len(messages) == total.kept + total.duplicates + total.dead_lettered
        assert decided.new_rows == len(decided.rows)
        assert total.dead_lettered == len(decided.letters)
        return decided

    @property
    def sources(self):
        return sorted(cells[SOURCE].decode() for cells in self.rows.values())


def counts(tally):
    return sum_of(tally.hours.values())


def by_hour(tally, name):
    return {hour: count for hour, of_hour in tally.hours.items() if (count := getattr(of_hour, name))}


def test_a_new_event_is_kept_and_touches_its_hour():
    table = Rows()
    decided = table.read([message(7)])
    assert table.sources == ["topic-id/0/7"]
    assert decided.hours == {HOUR_NOW: HourCounts(kept=1)}
    assert HOUR_NOW in decided.touched


def test_an_event_early_in_its_hour_touches_the_one_before_too():
    start = HOUR_NOW * HOUR
    assert Rows().read([message(0, timestamp=start)]).touched == {HOUR_NOW, HOUR_NOW - 1}
    assert Rows().read([message(0, timestamp=start + HOUR // 2 - 1)]).touched == {HOUR_NOW, HOUR_NOW - 1}
    assert Rows().read([message(0, timestamp=start + HOUR // 2)]).touched == {HOUR_NOW}


def test_redelivery_keeps_the_rows_and_counts_them_again():
    table, messages = Rows(), [message(0, "a"), message(1, "b", hours_ago=2), message(2, None)]
    first = table.read(messages)
    rows = Rows(table.rows).rows
    again = table.read(messages)
    assert again.rows == []
    assert table.rows == rows
    assert (again.hours, again.new_rows, again.touched) == (first.hours, 0, first.touched)


def test_a_duplicate_is_counted_and_writes_nothing():
    table = Rows()
    assert counts(table.read([message(0), message(1)])).duplicates == 1
    later = table.read([message(2)])
    assert (later.rows, counts(later).duplicates, later.touched) == ([], 1, set())
    assert table.sources == ["topic-id/0/0"]


def test_one_id_in_two_hours_is_two_events_and_no_id_is_never_a_duplicate():
    table = Rows()
    decided = table.read([message(0), message(1, hours_ago=1), message(2, None), message(3, None)])
    assert (counts(decided).duplicates, len(table.rows)) == (0, 4)


def test_the_row_that_is_stored_stays_whatever_comes_later():
    table = Rows()
    table.read([message(9, referrer="https://r.example/")])
    (key,) = table.rows
    table.rows[key][b"geo_data:country"] = b"DE"
    rows = Rows(table.rows).rows
    new_topic = Rules("clickstream_topic", "new-topic-id", RULES.first_hour_ms, "run-2")
    for other, rules in ((message(4), RULES), (message(9, partition=1), RULES), (message(9), new_topic)):
        decided = table.read([other], rules)
        assert (decided.rows, decided.hours) == ([], {HOUR_NOW: HourCounts(duplicates=1)})
    assert table.rows == rows


def test_a_refused_message_becomes_a_letter_with_its_bytes():
    broken = Record(3, 5, NOW - 2 * HOUR, b"\xff")
    decided = Rows().read([message(4, partition=3), broken])
    (letter,) = decided.letters
    assert letter.key == letter_key("topic-id", 3, 5)
    assert letter.puts[b"letter:value"] == b"\xff"
    assert letter.puts[b"letter:reason"] == b"invalid_encoding"
    assert letter.puts[b"letter:run_id"] == b"run-1"
    assert decided.hours == {HOUR_NOW - 2: HourCounts(dead_lettered=1), HOUR_NOW: HourCounts(kept=1)}


def test_a_tombstone_has_no_value_and_an_old_record_counts_in_the_first_partition():
    decided = Rows().read([Record(0, 0, 5, None)])
    assert b"letter:value" not in decided.letters[0].puts
    assert decided.hours == {RULES.first_hour: HourCounts(dead_lettered=1)}


def test_letter_keys_sort_as_offsets():
    keys = [letter_key("t", partition, offset) for partition in (0, 9, 10) for offset in (0, 9, 10, 10**12)]
    assert keys == sorted(keys)


def test_other_types_wild_clocks_and_duplicates_are_counted_by_hour():
    minute = 60_000
    behind = {"timestamp": NOW - 9 * HOUR, "sent_at": NOW - 7 * HOUR}  # two hours before it was sent, seven hours off
    decided = Rows().read(
        [
            message(0, "a", event_type="click"),
            message(1, "b", event_type="scroll"),
            message(2, "c", event_type="scroll", hours_ago=3),
            message(3, "d", **behind),
            message(4, "e", timestamp=NOW - 90 * minute, sent_at=NOW - 60 * minute),  # an hour off, and no more
            message(5, "f", timestamp=NOW + 4 * minute),
            message(6, "c", event_type="scroll", hours_ago=3),
        ]
    )
    assert by_hour(decided, "other_types") == {HOUR_NOW: 1, HOUR_NOW - 3: 1}
    assert by_hour(decided, "corrected") == {HOUR_NOW - 2: 1}
    # In the hour in which it was sent once more, which is not that of the event.
    assert by_hour(decided, "duplicates") == {HOUR_NOW: 1}


def test_cells_say_what_was_corrected():
    sent = {"url": "HTTPS://H:443?utm_source=x", "timestamp": 1_000, "sent_at": 61_000, "engagement_time_ms": 1e30}
    table = Rows()
    table.read([message(0, coupon=1 << 80, ip="84.160.1.1", **sent)])
    (cells,) = table.rows.values()
    assert cells[b"click_data:url"] == b"https://h/"
    assert cells[b"request_data:url_as_sent"] == sent["url"].encode()
    assert cells[b"click_data:timestamp"] == str(NOW - 60_000).encode()
    assert cells[b"click_data:client_timestamp"] == b"1000"
    assert cells[b"click_data:sent_at"] == b"61000"
    assert cells[b"click_data:engagement_time_ms"] == str((1 << 63) - 1).encode()
    assert json.loads(cells[b"click_data:properties"]) == {"coupon": 1 << 80, "place": "0/0"}
    assert cells[b"request_data:ip"] == b"84.160.1.1"
    assert cells.keys() <= {column.key for column in CLICKS.columns.values()}


def test_of_nothing_read_nothing_becomes():
    assert Rows().read([]) == Outcomes()


@st.composite
def partitions(draw):
    """Messages of partition 0, with few ids so that many are duplicates, and rows of another partition before them."""
    kinds = st.tuples(st.sampled_from([*"aabbccde", None, "broken"]), st.integers(0, 1))
    messages = [
        Record(0, at, NOW, b"{") if name == "broken" else message(at, name, hours_ago=ago)
        for at, (name, ago) in enumerate(draw(st.lists(kinds, max_size=14)))
    ]
    before = Rows()
    before.read([message(at, name, partition=1) for at, name in enumerate(draw(st.sets(st.sampled_from("abc"))))])
    return messages, before


steady = settings(deadline=None, max_examples=150, derandomize=True)


@pytest.mark.slow
@steady
@given(partitions(), st.lists(st.integers(0, 14), max_size=4))
def test_batches_of_any_size_end_in_the_same_rows_and_counts(drawn, cuts):
    messages, before = drawn
    whole, pieces, summed = Rows(before.rows), Rows(before.rows), Tally()
    for first, end in itertools.pairwise([0, *sorted(min(cut, len(messages)) for cut in cuts), len(messages)]):
        summed.add(pieces.read(messages[first:end]))
    once = whole.read(messages)
    assert pieces.rows == whole.rows
    assert (summed.read, summed.new_rows, summed.hours) == (once.read, once.new_rows, once.hours)
    assert summed.touched == once.touched


def events_by_key(messages):
    """Offsets of the messages of each row key."""
    offsets = {}
    for each in messages:
        for row in outcomes([each], RULES, lambda keys: {}).rows:
            offsets.setdefault(row.key, []).append(each.offset)
    return offsets


@pytest.mark.slow
@steady
@given(partitions())
def test_read_in_order_the_lowest_offset_of_each_key_has_the_row(drawn):
    messages, _ = drawn
    table = Rows()
    table.read(messages)
    expected = {key: b"topic-id/0/%d" % min(offsets) for key, offsets in events_by_key(messages).items()}
    assert {key: cells[SOURCE] for key, cells in table.rows.items()} == expected


@pytest.mark.slow
@steady
@given(partitions(), st.randoms(use_true_random=False))
def test_read_in_any_order_each_row_is_one_of_its_messages_and_reading_again_changes_nothing(drawn, random):
    messages, before = drawn
    table = Rows(before.rows)
    shuffled = random.sample(messages, len(messages))
    first = [table.read([each]) for each in shuffled]
    rows = Rows(table.rows).rows
    for key, offsets in events_by_key(messages).items():
        if key not in before.rows:
            assert rows[key][SOURCE] in {b"topic-id/0/%d" % offset for offset in offsets}
    assert {key: rows[key] for key in before.rows} == before.rows
    assert rows.keys() == before.rows.keys() | events_by_key(messages).keys()
    again = {each.offset: table.read([each]).hours for each in messages}
    assert table.rows == rows
    assert again == {each.offset: tally.hours for each, tally in zip(shuffled, first, strict=True)}


def test_the_row_key_is_that_of_hour_and_id():
    table = Rows()
    table.read([message(0, "x", hours_ago=3)])
    assert list(table.rows) == [event_key(HOUR_NOW - 3, "x", "uu", "page_view", "https://h/")]
