"""What a cell may hold is what the contract lets in."""

from clickstream_assets.books.column_types import MESSAGE_BYTES
from clickstream_assets.books.table_schemas import CLICKS, DEAD_LETTERS, METRICS
from clickstream_assets.enrich.from_rows import READ
from clickstream_assets.ingest.outcomes import Rules, decoded
from clickstream_assets.stores.hbase.client import BYTES_PER_CALL, rows_per_call
from clickstream_assets.stores.kafka.batches import MOST_KEPT_BYTES
from clickstream_assets_tests.fakes.outcomes import outcomes
from clickstream_assets_tests.ingest.test_outcomes import RULES, Record, message

WIDE = "\N{GRINNING FACE}"
"""A character of four bytes."""


def cells_of(one: Record, rules: Rules = RULES) -> dict[str, int]:
    decided = outcomes([one], rules, lambda keys: {})
    (row,) = decided.rows or decided.letters
    names = {column.key: name for table in (CLICKS, DEAD_LETTERS) for name, column in table.columns.items()}
    return {names[cell]: len(value) for cell, value in row.puts.items()}


def test_the_largest_event_fits_the_sizes_that_calls_are_cut_by():
    long = WIDE * 5_000
    one = message(
        0,
        WIDE * 128,
        url="https://h/" + "a" * 8_182,
        user_id="u" * 512,
        anonymous_id="a" * 512,
        event_type=WIDE * 128,
        user_agent=long,
        referrer=long,
        ip=WIDE * 2_048,
        page=[1e15] * 150_000,
    )
    one = one._replace(value=one.value.replace(b"1000000000000000.0, ", b"1e15,"))
    assert decoded([one], RULES)[0].refused is None
    sizes = cells_of(one)
    assert sizes["user_agent"] == 4 * 2_048
    assert sizes["properties"] > 2 * len(one.value)
    assert {name: size for name, size in sizes.items() if size > CLICKS.columns[name].most_bytes} == {}


def test_the_largest_letter_fits_the_sizes_that_calls_are_cut_by():
    for one in (Record(0, 0, 0, bytes(MOST_KEPT_BYTES)), Record(0, 0, 0, None, WIDE * 5_000)):
        sizes = cells_of(one)
        assert {name: size for name, size in sizes.items() if size > DEAD_LETTERS.columns[name].most_bytes} == {}
    assert MESSAGE_BYTES == MOST_KEPT_BYTES


def test_hot_scans_ask_for_hundreds_of_rows_and_whole_letters_for_one():
    assert rows_per_call(CLICKS.row_bytes(*READ)) > 100
    assert rows_per_call(METRICS.row_bytes()) > 200
    assert rows_per_call(DEAD_LETTERS.row_bytes()) == 1
    assert rows_per_call(CLICKS.row_bytes("url")) * 8_192 <= BYTES_PER_CALL
