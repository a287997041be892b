"""What an hour holds, counted in the tables themselves: the checks' own eyes."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeVar

from clickstream_assets.books import blocks
from clickstream_assets.books.blocks import TODO, place_of
from clickstream_assets.books.books import Books
from clickstream_assets.books.ledger_entries import Cells, HourPart
from clickstream_assets.books.offsets import OffsetRange
from clickstream_assets.books.row_keys import hour_of, key_ranges
from clickstream_assets.books.table_schemas import CLICKS, DEAD_LETTERS
from clickstream_assets.enrich.enrichment import OTHER
from clickstream_assets.enrich.enrichment import OUTPUT as ENRICHED
from clickstream_assets.enrich.geoip import UNKNOWN_COUNTRY
from clickstream_assets.events.click_event import CLICK_TYPES
from clickstream_assets.events.hours import hour_of_letter
from clickstream_assets.ingest.outcomes import SOURCE, letter_key
from clickstream_assets.stores.hbase.client import HBaseClient, rows_per_call
from clickstream_assets.stores.hbase.filters import KEYS_ONLY, has, lacks, where

_T = TypeVar("_T")
_Features = tuple[bytes, ...]
_CELLS = {name: CLICKS.columns[name].key for name in ("event_type", *ENRICHED)}
_OF_LETTERS = _RECORD_TIME, _REASON = tuple(DEAD_LETTERS.columns[name].key for name in ("record_time", "reason"))
_EVERY_ROW = (b"click_data",)
"""The family that each event has. A scan that names none looks into all four, for as many times the work."""
_VERSIONS = ("geoip_version", "user_agent_version")
_SCANS = 4
"""Scans at a time: HBase looks into some regions while this process reads what came of others."""


@dataclass(slots=True)
class ClickCounts:
    """Rows of one hour of ``clickstream_data``."""

    rows: int = 0
    enriched: int = 0
    """Rows that have every column that enrichment writes."""
    unknown_country: int = 0
    other_browser: int = 0
    versions: Counter[str] = field(default_factory=Counter)
    """Enriched rows by the versions, of GeoIP and of the user-agent rules, that enriched them."""

    def add(self, country: bytes, browser: bytes, *versions: bytes, rows: int = 1) -> None:
        """Count enriched rows that are alike."""
        self.unknown_country += rows * (country == UNKNOWN_COUNTRY.encode())
        self.other_browser += rows * (browser == OTHER.encode())
        self.versions[_in_words(versions)] += rows


def count_new_rows(books: Books, new: Mapping[int, Sequence[HourPart]]) -> dict[int, int]:
    """By hour, how many rows are there of parts of the ledger: asked for by the keys that ingestion left by column.

    Hours of which these keys are not there are left out.
    """
    return {hour: sum(cells is not None for cells in rows) for hour, rows in _rows_of(books, new, (SOURCE,)).items()}


def count_new_clicks(books: Books, new: Mapping[int, Sequence[HourPart]]) -> dict[int, ClickCounts]:
    """The same of rows and what enrichment made of them."""
    counts = {}
    for hour, rows in _rows_of(books, new, tuple(_CELLS.values())).items():
        of_hour = counts[hour] = ClickCounts(rows=sum(part.counts.kept for part in new[hour]))
        for cells in rows:
            if cells is not None and (features := _features(cells)):
                of_hour.enriched += 1
                of_hour.add(*features)
    return counts


def _rows_of(
    books: Books, new: Mapping[int, Sequence[HourPart]], columns: Sequence[bytes]
) -> dict[int, list[Mapping[bytes, bytes] | None]]:
    """By hour, cells of each row of some parts; None for one that is gone."""
    wanted = {
        place_of(part, hour): part.events or Cells("", 0, 0, 0, 0)
        for hour, parts in new.items()
        for part in parts
        if part.counts.kept
    }
    rows: dict[int, list[Mapping[bytes, bytes] | None]] = {hour: [] for hour in new}
    for place, events in blocks.read(books.hbase, books.tables.blocks, TODO, wanted, blocks.EVENTS):
        if events is None:
            rows.pop(place.hour, None)
        elif place.hour in rows:
            keys = events.column("row_key").to_pylist()
            stored = books.hbase.get(books.tables.clicks, keys, columns)
            rows[place.hour] += map(stored.get, keys)
    return rows


def count_rows(books: Books, hours: Iterable[int]) -> dict[int, int]:
    """Rows of each hour, by their keys alone: those that hold anything of an event."""
    return _by_hour(books, hours, _EVERY_ROW, KEYS_ONLY)


def count_human_clicks(books: Books, hours: Iterable[int]) -> dict[int, int]:
    """Rows of each hour that the metrics are to count: of a click type, known to be no bot's, with a country."""
    of_click_type = b" OR ".join(where(_CELLS["event_type"], "=", kind.encode()) for kind in sorted(CLICK_TYPES))
    conditions = (
        b"(" + of_click_type + b")",
        where(_CELLS["bot"], "=", b"false"),
        has(_CELLS["country"]),
        b"QualifierFilter(=, 'binary:country')",  # a cell for each row that counts is all that has to come
    )
    families = sorted({_CELLS[name].partition(b":")[0] for name in ("event_type", "bot", "country")})
    return _by_hour(books, hours, families, b" AND ".join(conditions))


def _by_hour(books: Books, hours: Iterable[int], families: Sequence[bytes], filter_string: bytes) -> dict[int, int]:
    hours = list(hours)

    def hours_of_keys(client: HBaseClient, start: bytes, stop: bytes) -> Iterator[int]:
        for keys in client.scan_keys(books.tables.clicks, start, stop, families, filter_string=filter_string):
            yield from (hour_of(key.row) for key in keys)

    counts = _tally(books, hours, hours_of_keys)
    return {hour: counts[hour] for hour in hours}


def count_clicks(books: Books, hours: Iterable[int]) -> dict[int, ClickCounts]:
    """Rows of each hour, and what enrichment made of them.

    Most rows of an hour are alike: enriched by the same versions, with a country and a browser. These stay in HBase,
    which leaves out what a filter does not name; the others come here and are looked at one by one.
    """
    counts = {hour: ClickCounts(rows, rows) for hour, rows in count_rows(books, hours).items()}
    usual = _versions_of_a_row(books, counts)
    told_by_value = {
        "country": ("=", UNKNOWN_COUNTRY.encode()),
        "browser": ("=", OTHER.encode()),
        **{name: ("!=", version) for name, version in zip(_VERSIONS, usual, strict=True)},
    }
    unlike = b" OR ".join(
        where(_CELLS[name], *told_by_value[name], or_missing=True) if name in told_by_value else lacks(_CELLS[name])
        for name in ENRICHED
    )

    batch_rows = rows_per_call(CLICKS.row_bytes(*_CELLS))

    def unlike_rows(client: HBaseClient, start: bytes, stop: bytes) -> Iterator[tuple[int, _Features | None]]:
        pages = client.scan_batches(
            books.tables.clicks, start, stop, list(_CELLS.values()), filter_string=unlike, batch_rows=batch_rows
        )
        for row in chain.from_iterable(pages):
            yield hour_of(row.row), _features({name: cell.value for name, cell in row.columns.items()})

    for (hour, features), rows in _tally(books, counts, unlike_rows).items():
        if features is None:
            counts[hour].enriched -= rows
        else:
            counts[hour].add(*features, rows=rows)
    for count in counts.values():
        if alike := count.enriched - count.versions.total():
            count.versions[_in_words(usual)] += alike
    return counts


def _features(cells: Mapping[bytes, bytes]) -> _Features | None:
    """Country, browser and versions of a row; None if it lacks a column that enrichment writes."""
    if any(_CELLS[name] not in cells for name in ENRICHED):
        return None
    return tuple(cells[_CELLS[name]] for name in ("country", "browser", *_VERSIONS))


def _in_words(versions: Iterable[bytes]) -> str:
    return ", ".join(version.decode() for version in versions)


def _versions_of_a_row(books: Books, hours: Iterable[int]) -> tuple[bytes, bytes]:
    """The versions that enriched some row of ``hours``; empty if none is enriched."""
    geoip, rules = (_CELLS[name] for name in _VERSIONS)
    filter_string = has(geoip) + b" AND " + has(rules)
    for start, stop in chain.from_iterable(key_ranges(hours)):
        rows = books.hbase.scan_batches(
            books.tables.clicks, start, stop, (geoip, rules), filter_string=filter_string, batch_rows=1
        )
        for (row,) in rows:
            return row.columns[geoip].value, row.columns[rules].value
    return b"", b""


def _tally(
    books: Books, hours: Iterable[int], listed_in: Callable[[HBaseClient, bytes, bytes], Iterable[_T]]
) -> Counter[_T]:
    """How often each thing is found in the key ranges of ``hours``: a few at a time, each of one salt."""

    def of_salt(ranges: list[tuple[bytes, bytes]]) -> Counter[_T]:
        counts: Counter[_T] = Counter()
        with books.hbase.another() as client:
            for start, stop in ranges:
                counts.update(listed_in(client, start, stop))
        return counts

    with ThreadPoolExecutor(_SCANS) as threads:
        return sum(threads.map(of_salt, key_ranges(hours)), Counter())


def count_letters(
    books: Books, ranges: Iterable[OffsetRange], hours: Iterable[int], first_hour: int
) -> dict[int, Counter[str]]:
    """Dead letters of each hour by reason, found in some ranges of offsets."""
    letters: dict[int, Counter[str]] = {hour: Counter() for hour in hours}
    for offsets in ranges:
        start, stop = (letter_key(offsets.log_id, offsets.partition, at) for at in (offsets.first, offsets.end))
        for _, cells in books.hbase.scan(books.tables.dead_letters, start, stop, _OF_LETTERS, large_cells=True):
            hour = hour_of_letter(int(cells[_RECORD_TIME]), first_hour)
            if hour in letters:
                letters[hour][cells[_REASON].decode()] += 1
    return letters
