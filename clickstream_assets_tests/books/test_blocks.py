"""Events by column: what is packed is read back, what is not it any more is told, whatever happened to it."""

import itertools

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream_assets.books import blocks
from clickstream_assets.books.blocks import (
    BLOCK,
    CELL_BYTES,
    CLICKS,
    EVENTS,
    TODO,
    CellsUnfit,
    CellWriter,
    EventsWriter,
    Place,
    packed,
    read,
    row_key,
    unpacked,
)
from clickstream_assets.books.row_keys import SALTS, hour_of
from clickstream_assets.events.origins import ORIGINS
from clickstream_assets.stores.hbase.client import BYTES_PER_CALL
from clickstream_assets_tests.fakes.hbase import FakeHBase

TABLE = "blocks"
HOUR = 498_000
PLACE = Place("id-1", 0, 0, HOUR)

steady = settings(deadline=None, max_examples=100, derandomize=True)
longs = st.integers(-(1 << 63), (1 << 63) - 1)
texts = st.text("aé|\N{GRINNING FACE}", max_size=4)
clicks = st.lists(
    st.tuples(longs, texts, texts, st.integers(-128, 127), longs, texts, st.booleans()),
    max_size=9,
)
events = st.tuples(
    longs,
    st.binary(max_size=4),
    longs,
    texts,
    texts,
    st.integers(0, 2),
    longs,
    st.none() | texts,
    st.none() | texts,
    *[texts] * 5,
)


def batch(rows, schema=CLICKS):
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [pa.array(list(column), of.type) for column, of in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def rows_of(content):
    return list(zip(*content.to_pydict().values(), strict=True))


SOME = batch(
    [(7, "ada", "https://h.example/", 1, -1, "DE", False), (9, "bob", "https://h.example/x", 2, 3, "ZZ", True)]
)


@pytest.mark.slow
@steady
@given(clicks, st.integers(0, 9), st.integers(0, 9))
def test_what_is_packed_is_unpacked_and_the_same_content_has_the_same_bytes_wherever_it_lies(drawn, before, behind):
    whole = batch(drawn)
    stored, digest = packed(whole)
    content, same = unpacked(stored, CLICKS)
    assert (rows_of(content), same) == (drawn, digest)
    around = batch([(1, "x", "y", 1, 1, "z", True)] * before + drawn + [(2, "v", "w", 0, 2, "u", True)] * behind)
    assert packed(around.slice(before, len(drawn))) == (stored, digest)
    computed = around.filter(pa.array([before <= at < before + len(drawn) for at in range(len(around))], pa.bool_()))
    assert packed(computed) == (stored, digest)
    assert packed(content) == (stored, digest)


def test_other_content_has_another_digest():
    digests = {
        packed(batch(rows))[1]
        for rows in ([], rows_of(SOME), rows_of(SOME)[::-1], rows_of(SOME)[:1], [*rows_of(SOME), rows_of(SOME)[0]])
    }
    assert len(digests) == 5


def test_a_cell_that_is_cut_short_anywhere_is_unfit():
    stored, _ = packed(SOME)
    for size in range(len(stored)):
        with pytest.raises(CellsUnfit):
            unpacked(stored[:size], CLICKS)


def test_a_cell_with_any_bit_flipped_is_unfit_or_says_the_same():
    stored, digest = packed(SOME)
    fit = 0
    for bit in range(8 * len(stored)):
        flipped = bytearray(stored)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            content, same = unpacked(bytes(flipped), CLICKS)
        except CellsUnfit:
            continue
        fit += 1
        assert (rows_of(content), same) == (rows_of(SOME), digest)
    assert fit < 20, "some bits of a compressed frame mean nothing"


def test_a_cell_of_another_format_or_too_large_a_length_is_not_even_opened(monkeypatch):
    stored, _ = packed(SOME)
    monkeypatch.setattr(blocks, "_ZSTD", None)
    for odd in (b"\0" + stored[1:], b"\2" + stored[1:], stored[:1] + b"\xff\xff\xff\xff" + stored[5:]):
        with pytest.raises(CellsUnfit, match="of another format"):
            unpacked(odd, CLICKS)


@pytest.mark.parametrize(("wrote", "reads"), itertools.permutations([CLICKS, EVENTS], 2))
def test_a_cell_of_other_columns_is_unfit(wrote, reads):
    stored, _ = packed(batch([], wrote))
    with pytest.raises(CellsUnfit):
        unpacked(stored, reads)


# What lies in a row's cells


class Answers(FakeHBase):
    """Notes how large what it answers is."""

    def __init__(self):
        super().__init__()
        self.answers = []

    def get(self, *of, **more):
        rows = super().get(*of, **more)
        self.answers.append((len(rows), sum(len(value) for cells in rows.values() for value in cells.values())))
        return rows


@pytest.fixture
def hbase():
    return Answers()


def write(hbase, content, place=PLACE, family=BLOCK):
    writer = CellWriter(lambda row: hbase.mutate(TABLE, [row]), row_key(place), family)
    for each in content:
        writer.write(each)
    return writer.written


def content_of(hbase, wanted, family=BLOCK, schema=CLICKS):
    """Rows by place; None for a place that does not hold what is wanted."""
    content = {place: [] for place in wanted}
    for place, clicks in read(hbase, TABLE, family, wanted, schema):
        if clicks is None:
            content[place] = None
        elif content[place] is not None:
            content[place] += rows_of(clicks)
    return content


def test_cells_are_counted_as_they_are_stored_and_as_they_are_held(hbase):
    written = write(hbase, [SOME, SOME])
    cells = hbase.tables[TABLE][row_key(PLACE)]
    assert list(cells) == [b"block:0", b"block:1"]
    assert (written.cells, written.rows) == (2, 4)
    assert written.bytes == sum(map(len, cells.values()))
    assert written.raw_bytes == 2 * SOME.nbytes
    assert content_of(hbase, {PLACE: written}) == {PLACE: rows_of(SOME) * 2}


@pytest.mark.slow
def test_what_is_too_large_for_a_cell_is_cut_in_halves(hbase):
    long = "h" * 8_000
    large = batch([(at, f"u{at}", f"{long}{at}", 1, -1, "DE", False) for at in range(2_000)])
    written = write(hbase, [large])
    assert (written.cells, written.rows) == (4, 2_000)
    for value in hbase.tables[TABLE][row_key(PLACE)].values():
        assert unpacked(value, CLICKS)[0].nbytes <= CELL_BYTES
    assert content_of(hbase, {PLACE: written}) == {PLACE: rows_of(large)}


def test_an_event_larger_than_a_cell_has_a_cell_of_its_own(hbase):
    huge = batch([(1, "u", "h" * (CELL_BYTES + 1), 1, -1, "DE", False)])
    written = write(hbase, [huge])
    assert written.cells == 1
    assert content_of(hbase, {PLACE: written}) == {PLACE: rows_of(huge)}


def test_nothing_written_is_nothing_read(hbase):
    written = write(hbase, [])
    assert (written.cells, written.rows) == (0, 0)
    assert content_of(hbase, {PLACE: written}) == {PLACE: []}


def test_what_is_written_over_by_fewer_cells_is_read_without_the_others(hbase):
    write(hbase, [SOME, SOME, SOME])
    written = write(hbase, [SOME])
    assert content_of(hbase, {PLACE: written}) == {PLACE: rows_of(SOME)}


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("damage", ["deleted", "cut short", "of another row", "of another place in the row"])
def test_a_place_with_any_cell_that_is_not_its_own_is_told(hbase, number, damage):
    contents = [SOME.slice(0, 1), SOME.slice(1), SOME]
    written = write(hbase, contents)
    other = PLACE._replace(first=9)
    write(hbase, [SOME.slice(1), SOME, SOME.slice(0, 1)], other)
    cells, column = hbase.tables[TABLE][row_key(PLACE)], b"block:%d" % number
    if damage == "deleted":
        del cells[column]
    elif damage == "cut short":
        cells[column] = cells[column][:-1]
    elif damage == "of another row":
        cells[column] = hbase.tables[TABLE][row_key(other)][column]
    else:
        cells[column] = cells[b"block:%d" % (2 - number if number != 1 else 0)]
    assert content_of(hbase, {PLACE: written}) == {PLACE: None}


@pytest.mark.slow
@steady
@given(st.lists(st.lists(clicks, max_size=3), max_size=9), st.sets(st.integers(0, 8)))
def test_places_are_read_as_they_were_written_and_those_that_are_gone_are_told(drawn, gone):
    hbase, wanted, expected = FakeHBase(), {}, {}
    for at, contents in enumerate(drawn):
        place = PLACE._replace(first=at)
        wanted[place] = write(hbase, map(batch, contents), place)
        expected[place] = [row for content in contents for row in content]
        if at in gone and contents:
            del hbase.tables[TABLE][row_key(place)]
            expected[place] = None
    assert content_of(hbase, wanted) == expected


@pytest.mark.slow
def test_small_places_are_asked_for_together_and_large_ones_cell_by_cell_in_answers_of_bounded_size(hbase):
    noise = [bytes(((at * 7919 + n * n) >> 3) % 251 for n in range(64)).hex() for at in range(40)]
    small = {PLACE._replace(first=at): write(hbase, [SOME], PLACE._replace(first=at)) for at in range(300)}
    large = PLACE._replace(first=1_000)
    contents = [
        batch([(n, noise[n % 40], f"{n * n * cell}" * 900, 1, -1, "DE", False) for n in range(500)])
        for cell in range(1, 5)
    ]
    wanted = dict(list(small.items())[:150]) | {large: write(hbase, contents, large)} | dict(list(small.items())[150:])
    hbase.answers.clear()
    content = content_of(hbase, wanted)
    assert content == {place: rows_of(SOME) for place in small} | {
        large: [row for of in contents for row in rows_of(of)]
    }
    assert [rows for rows, _ in hbase.answers] == [150, 1, 1, 1, 1, 150]
    assert max(size for _, size in hbase.answers) <= BYTES_PER_CALL


def test_no_more_places_are_asked_for_at_a_time_than_an_answer_may_hold(hbase):
    wanted = {}
    for at in range(7):
        place = PLACE._replace(first=at)
        # As if they could not be compressed.
        cells = write(hbase, [SOME], place)
        wanted[place] = cells.__class__(cells.digest, cells.cells, BYTES_PER_CALL // 3, cells.raw_bytes, cells.rows)
    hbase.answers.clear()
    assert content_of(hbase, wanted) == {place: rows_of(SOME) for place in wanted}
    assert [rows for rows, _ in hbase.answers] == [3, 3, 1]


# Events as they come


def event(offset, **fields):
    columns = {
        "offset": offset,
        "row_key": b"key %d" % offset,
        "time_ms": offset,
        "user_key": "uada",
        "url": "https://h.example/",
        "kind": 1,
        "engaged_ms": -1,
        "ip": "84.160.1.1",
        "user_agent": None,
        "event_type": "page_view",
    }
    columns |= dict.fromkeys(ORIGINS, "")
    return tuple((columns | fields).values())


class Sizes(FakeHBase):
    """Notes what a put holds before it is compressed."""

    def __init__(self):
        super().__init__()
        self.puts = []

    def put(self, row):
        self.puts += [unpacked(value, EVENTS)[0].nbytes for value in row.puts.values()]
        self.mutate(TABLE, [row])


@pytest.mark.slow
@steady
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1), events), max_size=40),
    st.sampled_from([1_000, 3_000, CELL_BYTES]),
    st.sampled_from([1_500, 6_000, 16 << 20]),
)
def test_any_events_are_read_back_as_they_were_added_in_order(drawn, cell_bytes, open_bytes):
    hbase, expected = Sizes(), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "CELL_BYTES", cell_bytes)
        patch.setattr(blocks, "_OPEN_BYTES", open_bytes)
        writer = EventsWriter(hbase.put)
        for ago, first, of_event in drawn:
            place = Place("id-1", 0, first, HOUR - ago)
            writer.add(place, of_event)
            expected.setdefault(place, []).append(of_event)
        written = writer.finish()
    assert written.keys() == expected.keys()
    assert {place: cells.rows for place, cells in written.items()} == {place: len(of) for place, of in expected.items()}
    assert content_of(hbase, written, TODO, EVENTS) == expected


@pytest.mark.slow
def test_events_that_wait_are_bounded_over_all_hours():
    hbase = Sizes()
    writer = EventsWriter(hbase.put)
    agent = "a" * 8_000
    most = added = 0
    for at in range(5_000):
        writer.add(Place("id-1", 0, 0, HOUR - at % 300), event(at, user_agent=agent))
        added += 8_000
        most = max(most, added - sum(hbase.puts))
    assert 8 << 20 < most < 24 << 20
    written = writer.finish()
    assert len(written) == 300
    assert sum(cells.rows for cells in written.values()) == 5_000
    assert max(hbase.puts) <= CELL_BYTES


@pytest.mark.slow
def test_huge_texts_have_a_cell_each():
    hbase = Sizes()
    writer = EventsWriter(hbase.put)
    for at in range(10):
        writer.add(PLACE, event(at, url="h" * (CELL_BYTES - 10)))
    written = writer.finish()[PLACE]
    assert (written.cells, written.rows) == (10, 10)
    assert [row[0] for row in content_of(hbase, {PLACE: written}, TODO, EVENTS)[PLACE]] == list(range(10))


# Where


def test_rows_of_different_parts_differ_and_are_spread_over_salts():
    places = [
        Place(log_id, partition, first, hour)
        for log_id in ("id-1", "id-1~001", "id-2")
        for partition in (0, 1, 11)
        for first in (0, 1, 1 << 40)
        for hour in range(HOUR, HOUR + 20)
    ]
    keys = {row_key(place) for place in places}
    assert len(keys) == len(places)
    assert {hour_of(row_key(place)) for place in places} == set(range(HOUR, HOUR + 20))


@pytest.mark.parametrize("step", [1, 10, 25_000])
def test_an_hours_parts_are_spread_over_all_regions(step):
    salts = [row_key(Place("id-1", partition, first * step, HOUR))[0] for partition in range(8) for first in range(32)]
    assert min(salts.count(salt) for salt in SALTS) > 256 / len(SALTS) / 2


def test_deleting_a_family_leaves_the_other(hbase):
    write(hbase, [SOME])
    write(hbase, [SOME], family=TODO)
    write(hbase, [SOME], PLACE._replace(first=9), TODO)
    blocks.drop(hbase, TABLE, [PLACE], TODO)
    assert list(hbase.tables[TABLE][row_key(PLACE)]) == [b"block:0"]
    blocks.drop(hbase, TABLE, [PLACE], TODO, BLOCK)
    assert hbase.tables[TABLE].keys() == {row_key(PLACE._replace(first=9))}
