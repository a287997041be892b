"""What the books count in an hour, for its document."""

from dataclasses import replace

import pytest

from clickstream_assets.books.books import Books, TableNames
from clickstream_assets.books.ledger_entries import READ, Block, Cells, Entry, HourCounts
from clickstream_assets.books.table_schemas import DEAD_LETTERS
from clickstream_assets.events.hours import HOUR_MS
from clickstream_assets.evidence import hour_figures as module
from clickstream_assets.evidence.hour_figures import hour_figures
from clickstream_assets.ingest.outcomes import letter_key
from clickstream_assets.stores.hbase.client import RowMutation
from clickstream_assets_tests.fakes.hbase import FakeHBase

HOUR = 500_000
REASONS = {"wrong_type": 2, "too_old": 1}


@pytest.fixture
def books():
    return Books(FakeHBase(), TableNames.of())


@pytest.fixture
def counted(monkeypatch):
    """The hours whose letters were looked at one by one."""
    asked = []

    def look(books, parts, first_hour):
        asked.extend(parts)
        return dict.fromkeys(parts, REASONS)

    monkeypatch.setattr(module, "refused_by_reason", look)
    return asked


def book(books, first, hour=HOUR, **counts):
    """An entry of one hour."""
    of_hour = HourCounts(**counts)
    read = of_hour.kept + of_hour.duplicates + of_hour.dead_lettered
    books.ledger.write([Entry("log", 0, first, first + read, READ, read, {hour: of_hour})])


def store_letters(books, first, reasons, hour=HOUR):
    """Letters from an offset on."""
    cells = (DEAD_LETTERS.encode(record_time=hour * HOUR_MS, reason=reason) for reason in reasons)
    letters = (RowMutation(letter_key("log", 0, offset), of_letter) for offset, of_letter in enumerate(cells, first))
    books.hbase.mutate(books.tables.dead_letters, letters)


def figures(books, hour=HOUR):
    return hour_figures(books, books.hours.read([hour]), 0)[hour]


def name_blocks(books, *bots):
    parts = books.ledger.parts([HOUR])[HOUR]
    of_part = [
        (part, Block(part.version, "v", clicks=1, first_ms=0, cells=Cells("d", 1, 1, 1, 1), bots=n))
        for part, n in zip(parts, bots, strict=False)
    ]
    books.ledger.name_blocks({HOUR: of_part})


def test_parts_of_the_ledger_add_up(books, counted):
    book(books, 0, kept=3, late=1, duplicates=1)
    book(books, 4, kept=2, late=2)
    found = figures(books)
    assert found.counts == HourCounts(kept=5, late=3, duplicates=1)
    assert found.refused_by_reason == {}
    assert counted == [], "there are none"
    assert figures(books, HOUR + 1).counts == HourCounts()


def test_bots_are_those_of_the_events_that_are_enriched(books):
    book(books, 0, kept=3)
    book(books, 3, kept=2)
    assert figures(books).bots == 0
    name_blocks(books, 2)
    assert figures(books).bots == 2
    name_blocks(books, 2, 1)
    assert figures(books).bots == 3


def test_bots_are_unknown_where_some_were_enriched_before_they_were_counted(books):
    book(books, 0, kept=3)
    book(books, 3, kept=2)
    name_blocks(books, 2, 1)
    parts = books.ledger.parts([HOUR])[HOUR]
    books.ledger.name_blocks({HOUR: [(parts[1], replace(parts[1].block, bots=None))]})
    assert figures(books).bots is None


def test_reasons_are_those_that_a_run_has_kept(books, counted):
    book(books, 0, dead_lettered=3)
    books.hours.remember_refusals({HOUR: {"too_large": 3}})
    assert figures(books).refused_by_reason == {"too_large": 3}
    assert counted == []


def test_reasons_that_nobody_has_kept_are_looked_for_once(books, counted):
    book(books, 0, dead_lettered=3)
    assert figures(books).refused_by_reason == figures(books).refused_by_reason == REASONS
    assert counted == [HOUR]


def test_of_very_many_letters_only_the_number_is_told(books, counted):
    book(books, 0, dead_lettered=100_001)
    assert figures(books).refused_by_reason is None
    assert figures(books).counts.dead_lettered == 100_001
    assert counted == []


def test_a_flood_between_two_hours_is_not_read_for_theirs(books, monkeypatch):
    monkeypatch.setattr(module, "_MOST_LETTERS", 3)
    reasons = {
        HOUR: ["too_old"], HOUR + 1: ["too_old", "wrong_type"],
        HOUR + 2: ["too_large"] * 4,
        HOUR + 3: ["wrong_type"] * 3,
    }  # fmt: skip
    first = 0
    for hour, of_hour in reasons.items():
        book(books, first, hour, dead_lettered=len(of_hour))
        store_letters(books, first, of_hour, hour)
        first += len(of_hour)
    scan, read = books.hbase.scan, []

    def scan_letters(table, *of_table, **how):
        rows = list(scan(table, *of_table, **how))
        if table == books.tables.dead_letters:
            read.append(len(rows))
        return rows

    monkeypatch.setattr(books.hbase, "scan", scan_letters)
    found = hour_figures(books, books.hours.read(reasons), 0)
    assert [found[hour].refused_by_reason for hour in reasons] == [
        {"too_old": 1}, {"too_old": 1, "wrong_type": 1}, None, {"wrong_type": 3},
    ]  # fmt: skip
    assert read == [3, 3], "hours in a row share a scan"
