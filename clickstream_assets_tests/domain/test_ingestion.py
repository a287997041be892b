"""What becomes of messages: kept, duplicate or dead letter, the same whatever the order of reading."""

import itertools
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream_assets.clients.kafka import Message
from clickstream_assets.domain.row_keys import event_key
from clickstream_assets.domain.settling import Rules, Settled, letter_key, settle
from clickstream_assets.domain.table_schemas import CLICKS

HOUR = 3_600_000
NOW = 1_795_402_800_000 + HOUR // 2
HOUR_NOW = NOW // HOUR
RULES = Rules("clickstream_topic", "topic-id", NOW // HOUR * HOUR - 48 * HOUR, "run-1")
SOURCE, DISPLACED = CLICKS.columns["source"].key, CLICKS.columns["displaced"].key


def message(offset, event_id="a", *, hours_ago=0, partition=0, **fields):
    event = {"timestamp": NOW - hours_ago * HOUR, "url": f"https://h/{partition}/{offset}", "user_id": "u"} | fields
    if event_id is not None:
        event["event_id"] = event_id
    return Message(partition, offset, NOW, json.dumps(event).encode())


class Rows:
    """The click table in memory; hands out the two cells that HBase would be asked for."""

    def __init__(self, rows=None):
        self.rows = {key: dict(cells) for key, cells in (rows or {}).items()}

    def stored(self, keys):
        found = {key: {c: v for c, v in self.rows.get(key, {}).items() if c in (SOURCE, DISPLACED)} for key in keys}
        return {key: cells for key, cells in found.items() if cells}

    def read(self, messages, rules=RULES):
        settled = settle(messages, rules, self.stored)
        for row in settled.rows:
            assert not row.puts.keys() & set(row.deletes)
            cells = self.rows.setdefault(row.key, {})
            for column in row.deletes:
                cells.pop(column, None)
            cells.update(row.puts)
        kept, refused = settled.kept_by_hour.total(), settled.dead_lettered_by_hour.total()
        assert settled.read == len(messages) == kept + settled.duplicates + refused
        return settled

    @property
    def sources(self):
        return sorted(cells[SOURCE].decode() for cells in self.rows.values())

    @property
    def without_displaced(self):
        return {key: {c: v for c, v in cells.items() if c != DISPLACED} for key, cells in self.rows.items()}


def test_a_new_event_is_kept_and_touches_its_hour():
    table = Rows()
    settled = table.read([message(7)])
    assert table.sources == ["topic-id/0/7"]
    assert (settled.kept_by_hour, settled.duplicates) == ({HOUR_NOW: 1}, 0)
    assert HOUR_NOW in settled.touched


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
    assert (again.kept_by_hour, again.duplicates, again.touched) == (first.kept_by_hour, 0, first.touched)


def test_a_duplicate_is_counted_and_writes_nothing():
    table = Rows()
    assert table.read([message(0), message(1)]).duplicates == 1
    later = table.read([message(2)])
    assert (later.rows, later.duplicates, later.touched) == ([], 1, set())
    assert table.sources == ["topic-id/0/0"]


def test_one_id_in_two_hours_is_two_events_and_no_id_is_never_a_duplicate():
    table = Rows()
    settled = table.read([message(0), message(1, hours_ago=1), message(2, None), message(3, None)])
    assert (settled.duplicates, len(table.rows)) == (0, 4)


def test_a_later_offset_of_the_same_partition_makes_way_and_is_remembered():
    table = Rows()
    table.read([message(9, referrer="https://r.example/")])
    (key,) = table.rows
    table.rows[key][b"geo_data:country"] = b"DE"
    earlier = table.read([message(4)])
    cells = table.rows[key]
    assert cells[SOURCE] == b"topic-id/0/4"
    assert cells[DISPLACED] == b"9"
    assert cells[b"click_data:url"] == b"https://h/0/4"
    assert not {b"geo_data:country", b"request_data:referrer"} & cells.keys()
    assert (earlier.displaced, earlier.duplicates, earlier.kept_by_hour.total()) == ({9}, 0, 1)

    assert table.read([message(2)]).displaced == {4, 9}
    assert table.rows[key][DISPLACED] == b"9,4"
    # A run killed before it booked this finds the trace when it reads again.
    assert table.read([message(2)]).displaced == {4, 9}
    assert table.read([message(9)]).duplicates == 1


def test_a_row_of_another_partition_or_topic_id_stays():
    table = Rows()
    table.read([message(9, partition=1)])
    rows = Rows(table.rows).rows
    for rules in (RULES, Rules("clickstream_topic", "new-topic-id", RULES.first_hour_ms, "run-2")):
        settled = table.read([message(4)], rules)
        assert (settled.duplicates, settled.rows, settled.displaced) == (1, [], set())
    assert table.read([message(1, partition=1)], Rules("t", "new-id", RULES.first_hour_ms, "run-2")).duplicates == 1
    assert table.rows == rows


def test_a_refused_message_becomes_a_letter_with_its_bytes():
    broken = Message(3, 5, NOW - 2 * HOUR, b"\xff")
    settled = Rows().read([message(4, partition=3), broken])
    (letter,) = settled.letters
    assert letter.key == letter_key("topic-id", 3, 5)
    assert letter.puts[b"letter:value"] == b"\xff"
    assert letter.puts[b"letter:reason"] == b"invalid_encoding"
    assert letter.puts[b"letter:run_id"] == b"run-1"
    assert (settled.dead_lettered_by_hour, settled.kept_by_hour) == ({HOUR_NOW - 2: 1}, {HOUR_NOW: 1})


def test_a_tombstone_has_no_value_and_an_old_record_counts_in_the_first_partition():
    settled = Rows().read([Message(0, 0, 5, None)])
    assert b"letter:value" not in settled.letters[0].puts
    assert settled.dead_lettered_by_hour == {RULES.first_hour: 1}


def test_letter_keys_sort_as_offsets():
    keys = [letter_key("t", partition, offset) for partition in (0, 9, 10) for offset in (0, 9, 10, 10**12)]
    assert keys == sorted(keys)


def test_other_types_wild_clocks_and_duplicates_are_counted_by_hour():
    minute = 60_000
    behind = {"timestamp": NOW - 9 * HOUR, "sent_at": NOW - 7 * HOUR}  # two hours before it was sent, seven hours off
    settled = Rows().read(
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
    assert settled.other_types_by_hour == {HOUR_NOW: 1, HOUR_NOW - 3: 1}
    assert settled.corrected_by_hour == {HOUR_NOW - 2: 1}
    # In the hour in which it was sent once more, which is not that of the event.
    assert (settled.duplicates, settled.duplicates_by_hour) == (1, {HOUR_NOW: 1})


def test_cells_say_what_was_corrected():
    sent = {"url": "HTTPS://H:443?utm_source=x", "timestamp": 1_000, "sent_at": 61_000, "engagement_time_ms": 1e30}
    table = Rows()
    table.read([message(0, coupon=1 << 80, ip="84.160.1.1", **sent)])
    (cells,) = table.rows.values()
    assert cells[b"click_data:url"] == b"https://h/"
    assert cells[b"click_data:url_as_sent"] == sent["url"].encode()
    assert cells[b"click_data:timestamp"] == str(NOW - 60_000).encode()
    assert cells[b"click_data:client_timestamp"] == b"1000"
    assert cells[b"click_data:sent_at"] == b"61000"
    assert cells[b"click_data:engagement_time_ms"] == str((1 << 63) - 1).encode()
    assert json.loads(cells[b"click_data:properties"]) == {"coupon": 1 << 80}
    assert cells[b"request_data:ip"] == b"84.160.1.1"
    assert cells.keys() <= {column.key for column in CLICKS.columns.values()}


def test_nothing_read_settles_to_nothing():
    assert Rows().read([]) == Settled()


@st.composite
def partitions(draw):
    """Messages of partition 0, with few ids so that many are duplicates, and rows of another partition before them."""
    kinds = st.tuples(st.sampled_from([*"aabbccde", None, "broken"]), st.integers(0, 1))
    messages = [
        Message(0, at, NOW, b"{") if name == "broken" else message(at, name, hours_ago=ago)
        for at, (name, ago) in enumerate(draw(st.lists(kinds, max_size=14)))
    ]
    before = Rows()
    before.read([message(at, name, partition=1) for at, name in enumerate(draw(st.sets(st.sampled_from("abc"))))])
    return messages, before


steady = settings(deadline=None, max_examples=150, derandomize=True)


def counts(settled):
    return settled.kept_by_hour, settled.duplicates, settled.dead_lettered_by_hour


def offsets(table):
    """Offsets of partition 0 that rows carry."""
    sources = [source.split("/") for source in table.sources]
    return {int(offset) for _, partition, offset in sources if partition == "0"}


@steady
@given(partitions(), st.integers(0, 14))
def test_two_halves_in_any_order_end_in_the_same_rows_and_books(drawn, cut):
    messages, before = drawn
    early, late = messages[:cut], messages[cut:]
    forward, backward = Rows(before.rows), Rows(before.rows)
    early_counts, late_counts = counts(forward.read(early)), counts(forward.read(late))

    backward.read(late)
    moved = offsets(backward) - offsets(forward)
    then = backward.read(early)
    assert backward.without_displaced == forward.without_displaced
    assert counts(then) == early_counts

    assert then.displaced == moved
    # The entries that booked displaced offsets are read again: now they balance as if read in order.
    again = backward.read(late)
    assert counts(again) == late_counts
    assert backward.without_displaced == forward.without_displaced
    assert backward.read(early).displaced == moved


@steady
@given(partitions(), st.lists(st.integers(0, 14), max_size=4))
def test_batches_of_any_size_end_in_the_same_rows_and_counts(drawn, cuts):
    messages, before = drawn
    whole, pieces, summed = Rows(before.rows), Rows(before.rows), Settled()
    for first, end in itertools.pairwise([0, *sorted(min(cut, len(messages)) for cut in cuts), len(messages)]):
        summed.add(pieces.read(messages[first:end]))
    once = whole.read(messages)
    assert pieces.rows == whole.rows
    assert (summed.read, counts(summed)) == (once.read, counts(once))
    assert summed.touched == once.touched


@steady
@given(partitions(), st.randoms(use_true_random=False))
def test_messages_one_by_one_in_any_order_end_in_the_lowest_offsets(drawn, random):
    messages, before = drawn
    in_order, shuffled = Rows(before.rows), Rows(before.rows)
    in_order.read(messages)
    for one in random.sample(messages, len(messages)):
        shuffled.read([one])
    assert shuffled.without_displaced == in_order.without_displaced


def test_the_row_key_is_that_of_hour_and_id():
    table = Rows()
    table.read([message(0, "x", hours_ago=3)])
    assert list(table.rows) == [event_key(HOUR_NOW - 3, "x")]
