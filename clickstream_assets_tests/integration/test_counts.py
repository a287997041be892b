"""What HBase's filters count is what one sees who reads every row."""

from collections import Counter
from itertools import product

import pytest

from clickstream_assets.books.row_keys import event_key
from clickstream_assets.books.table_schemas import CLICKS
from clickstream_assets.definitions import resources
from clickstream_assets.evidence.hour_counts import ClickCounts, count_clicks, count_human_clicks, count_rows
from clickstream_assets.stores.hbase.client import RowMutation
from clickstream_assets.stores.hbase.filters import has, lacks, where

HOUR = 498_000
HOURS = [HOUR, HOUR + 1, HOUR + 2]
KNOWN = {"country": "DE", "city": "", "browser": "Firefox", "os": "Ubuntu", "device": "Other", "bot": "false"}
VERSIONS = {"geoip_version": "it's 1 OR 2", "user_agent_version": "rules 3"}
OLD = {"geoip_version": "it's 0", "user_agent_version": "rules 3"}


@pytest.fixture(scope="module")
def table(servers):
    """Books with a table whose rows lack every column in turn, and have all kinds of values."""
    hbase = resources(servers.model_copy(update={"name_prefix": "counts-"})).hbase
    enriched = [
        {**KNOWN, **versions, "country": country, "browser": browser, "bot": bot}
        for versions, country, browser, bot in product(
            (VERSIONS, VERSIONS, OLD), ("DE", "ZZ"), ("Firefox", "Other"), ("false", "true")
        )
    ]
    whole = KNOWN | VERSIONS
    lacking = [{name: value for name, value in whole.items() if name != gone} for gone in whole]
    rows = {
        event_key(hour, f"{kind}-{at}", "uu", kind, "https://counts.example/"): {
            "event_type": kind,
            "timestamp": str(hour * 3_600_000),
            **cells,
        }
        for hour in HOURS[:2]
        for kind in ("page_view", "click", "scroll")
        for at, cells in enumerate([*enriched, *lacking, {}])
        if hour == HOUR or cells in enriched
    }
    with hbase.books() as books:
        puts = {key: {CLICKS.columns[c].key: v.encode() for c, v in cells.items()} for key, cells in rows.items()}
        books.hbase.mutate(books.tables.clicks, (RowMutation(key, cells) for key, cells in puts.items()))
        yield books, {hour: [c for k, c in rows.items() if k[1:5] == hour.to_bytes(4, "big")] for hour in HOURS}


def looked_at(rows):
    """One row after the other."""
    enriched = [cells for cells in rows if cells.keys() >= (KNOWN | VERSIONS).keys()]
    return ClickCounts(
        rows=len(rows),
        enriched=len(enriched),
        unknown_country=sum(cells["country"] == "ZZ" for cells in enriched),
        other_browser=sum(cells["browser"] == "Other" for cells in enriched),
        versions=Counter(f"{cells['geoip_version']}, {cells['user_agent_version']}" for cells in enriched),
    )


def test_rows_and_what_enrichment_made_of_them(table):
    books, rows = table
    assert count_rows(books, HOURS) == {hour: len(rows[hour]) for hour in HOURS}
    assert count_clicks(books, HOURS) == {hour: looked_at(rows[hour]) for hour in HOURS}
    assert count_clicks(books, HOURS[2:]) == {HOURS[2]: ClickCounts()}


def test_clicks_that_metrics_are_to_count(table):
    books, rows = table
    wanted = {
        hour: sum(
            cells["event_type"] != "scroll" and "country" in cells and cells.get("bot", "true") != "true"
            for cells in rows[hour]
        )
        for hour in HOURS
    }
    assert count_human_clicks(books, HOURS) == wanted


def test_filters_compare_or_find_a_column_missing(table):
    books, rows = table
    column, everything = CLICKS.columns["geoip_version"].key, [cells for hour in HOURS for cells in rows[hour]]

    def passed(filter_string):
        columns = [CLICKS.columns["timestamp"].key, column]
        return sum(
            len(found)
            for found in books.hbase.scan_batches(books.tables.clicks, b"", b"", columns, filter_string=filter_string)
        )

    values = Counter(cells.get("geoip_version") for cells in everything)
    new, old, none = values["it's 1 OR 2"], values["it's 0"], values[None]
    assert min(new, old, none) > 0
    assert passed(lacks(column)) == none
    assert passed(has(column)) == new + old
    assert passed(where(column, "=", b"it's 0")) == old
    assert passed(where(column, "!=", b"it's 0", or_missing=True)) == new + none


@pytest.mark.parametrize("batch_rows", [1, 7, 1_000])
def test_a_scan_gives_every_row_once_whatever_the_size_of_its_batches(table, batch_rows):
    books, rows = table
    found = [
        row.row
        for some in books.hbase.scan_batches(books.tables.clicks, b"", b"", batch_rows=batch_rows)
        for row in some
    ]
    assert found == sorted(set(found))
    assert len(found) == sum(map(len, rows.values()))


@pytest.mark.parametrize(
    "names", [("event_type",), ("event_type", "city", "os"), ("city", "geoip_version"), ("browser",)]
)
def test_a_scan_of_some_columns_gives_what_looking_each_of_them_up_gives(table, names):
    books, rows = table
    columns = [CLICKS.columns[column].key for column in names]

    def cells(**how):
        scanned = books.hbase.scan(books.tables.clicks, b"", b"", columns, **how)
        return {key: {column: found[column] for column in columns if column in found} for key, found in scanned}

    walked = cells()
    having = sum(any(column in row for column in names) for hour in HOURS for row in rows[hour])
    assert len(walked) == having > 0
    assert walked == cells(large_cells=True)


def test_a_scan_of_whole_families_and_columns_gives_both(table):
    books, rows = table
    found = dict(books.hbase.scan(books.tables.clicks, b"", b"", [b"geo_data", CLICKS.columns["event_type"].key]))
    assert all(b"click_data:timestamp" not in cells and b"click_data:event_type" in cells for cells in found.values())
    assert sum(b"geo_data:country" in c for c in found.values()) == sum("country" in r for h in HOURS for r in rows[h])
