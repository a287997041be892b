"""Events enriched from their rows, where what ingestion laid aside for enrichment is no more."""

import pickle
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from sys import maxsize
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from clickstream_assets.books import blocks
from clickstream_assets.books.audience import DIMENSIONS
from clickstream_assets.books.blocks import BLOCK, UNKNOWN, CellWriter, Place, kind_of, place_of, put_block
from clickstream_assets.books.books import Books
from clickstream_assets.books.ledger_entries import Block
from clickstream_assets.books.row_keys import hour_of, scan_tasks
from clickstream_assets.books.table_schemas import CLICKS
from clickstream_assets.enrich.enrichment import OUTPUT, Enricher, EnrichmentRules, EnrichmentUnfit
from clickstream_assets.enrich.geoip import UNKNOWN_COUNTRY
from clickstream_assets.events.origins import ORIGINS
from clickstream_assets.stores.hbase.client import Row, RowMutation, rows_per_call
from clickstream_assets.stores.spark.tasks import ANSWER, NAMED, answer, answers_of, in_tasks

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

READ = (
    "source",
    "timestamp",
    "url",
    "user_id",
    "anonymous_id",
    "event_type",
    "engagement_time_ms",
    "ip",
    "user_agent",
    *ORIGINS,
)
"""Of rows, beside what enrichment has written there before."""
_CELLS = {name: CLICKS.columns[name].key for name in (*READ, *OUTPUT)}
_WRITTEN = {name: _CELLS[name] for name in OUTPUT}
_EACH_HAS = {_CELLS[name] for name in ("source", "timestamp", "url", "event_type")}
"""Cells of every row that ingestion has put."""


def enriched_from_rows(
    spark: "SparkSession", books: Books, places: Sequence[Place], rules: EnrichmentRules, *, dry_run: bool = False
) -> "Results":
    """Blocks of places, in order, from the rows of their hours, whose cells are enriched where they are not yet."""
    if not places:
        return {}, 0, []
    hours = sorted({place.hour for place in places})
    tasks = scan_tasks(hours, books.ledger.rows(hours))
    enriching = partial(_enrich_rows, books, rules, _Locator(places, _ends(books, hours)), dry_run)
    of_row = f"place int, offset long, {blocks.ddl(blocks.ENRICHED)}, answer binary"
    by_place = in_tasks(spark, tasks, enriching, of_row).repartition(len(tasks), "place")
    in_order = by_place.sortWithinPartitions("place", "offset")
    made, rows, named = results_of(in_order.mapInArrow(partial(_put_blocks, books, places, dry_run), ANSWER))
    no_cells = CellWriter(lambda row: None, b"", BLOCK).written
    nothing = Block("", "", 0, 0, no_cells, 0, no_cells)
    return dict.fromkeys(places, nothing) | made, rows, named


Results = tuple[dict[Place, Block], int, list[str]]
"""Blocks; how many rows were enriched; the keys of some of them, in hex, where they were looked for one by one."""


def results_of(tasks: "DataFrame") -> Results:
    """What tasks have made; raises :class:`EnrichmentUnfit`."""
    made: dict[Place, Block] = {}
    count, names = 0, list[str]()
    for said in answers_of(tasks):
        match said:
            case str(unfit):
                raise EnrichmentUnfit(unfit)
            case (int(rows), list(named)):
                count, names = count + rows, (names + named)[:NAMED]
            case dict(blocks_made):
                made |= blocks_made
    return made, count, names


def _ends(books: Books, hours: Iterable[int]) -> dict[Place, int]:
    """The offset behind each place of some hours: without its entry, which a hand deleted, behind all."""
    parts = books.ledger.parts(hours)
    entries = books.ledger.entries_of(part for of_hour in parts.values() for part in of_hour)
    return {
        place_of(part, hour): entry.end if (entry := entries[part]) else maxsize
        for hour, of_hour in parts.items()
        for part in of_hour
    }


class _Locator:
    """Tells the numbers of the places that rows belong to: none for those of others, or that the ledger knows not yet.

    A run may have put rows that it has not booked, and will put into blocks of its own when it does.
    """

    def __init__(self, places: Sequence[Place], ends: Mapping[Place, int]) -> None:
        """``places`` in order; ``ends`` are of all places of their hours."""
        numbers = {place: number for number, place in enumerate(places)}
        self._spans: defaultdict[tuple[str, int, int], list[tuple[int, int, int]]] = defaultdict(list)
        for place in sorted(ends):
            log_and_hour = place.log_id, place.partition, place.hour
            self._spans[log_and_hour].append((place.first, ends[place], numbers.get(place, -1)))

    def locate(self, row: Row) -> tuple[int, int]:
        """The number of a row's place, -1 without one; its offset."""
        log_id, partition, text = row.columns[_CELLS["source"]].value.decode().split("/")
        spans, offset = self._spans.get((log_id, int(partition), hour_of(row.row)), []), int(text)
        at = bisect_right(spans, offset, key=itemgetter(0))
        _, end, number = spans[at - 1] if at else (0, 0, -1)
        return number if offset < end else -1, offset


def _enrich_rows(
    books: Books, rules: EnrichmentRules, locator: _Locator, dry_run: bool, ranges: Iterable[tuple[bytes, bytes]]
) -> Iterator[pa.RecordBatch]:
    try:
        enricher = rules.enricher()
    except EnrichmentUnfit as error:
        yield _row_batch([], [str(error)])
        return
    table, batch_rows = books.tables.clicks, rows_per_call(CLICKS.row_bytes(*_CELLS))
    with books.hbase.another() as reader, books.hbase.another() as writer:
        for start, stop in ranges:
            for rows in reader.scan_batches(table, start, stop, list(_CELLS.values()), batch_rows=batch_rows):
                clicks, changes = _enriched_rows(rows, locator, enricher)
                if not dry_run:
                    writer.mutate(table, changes)
                yield _row_batch(clicks, [(len(changes), [row.key.hex() for row in changes[:NAMED]])])


def _enriched_rows(
    rows: Iterable[Row], locator: _Locator, enricher: Enricher
) -> tuple[list[tuple[Any, ...]], list[RowMutation]]:
    """What metrics need of rows, with place and offset before it, and what changes in them."""
    clicks, changes = [], []
    for row in rows:
        if _EACH_HAS - row.columns.keys():
            continue  # put by a hand: a check counts it
        place, offset = locator.locate(row)
        change, columns = _enriched_row(row, enricher)
        if change is not None:
            changes.append(change)
        if place >= 0:
            clicks.append((place, offset, *columns))
    return clicks, changes


def _enriched_row(row: Row, enricher: Enricher) -> tuple[RowMutation | None, tuple[Any, ...]]:
    """What changes in a row by enriching it, if anything, and what metrics need of it.

    A row that was enriched once and whose request data has expired since keeps what it has, and gets what it lacks.
    """
    stored = {name: cell.value for name, key in _CELLS.items() if (cell := row.columns.get(key)) is not None}
    ip, agent = stored.get("ip"), stored.get("user_agent")
    change, is_expired = None, ip is None and agent is None
    cells = {**enricher.place(ip).cells, **enricher.client(agent).cells}
    wanted = {name: cells[key] for name, key in _WRITTEN.items()}
    if is_expired:
        wanted |= {name: stored[name] for name in wanted if name in stored}
    if any(stored.get(name) != value for name, value in wanted.items()):
        change = RowMutation(row.row, {_WRITTEN[name]: value for name, value in wanted.items()})
        stored |= wanted
    user_id = stored.get("user_id")
    user_key = b"u" + user_id if user_id is not None else b"a" + stored.get("anonymous_id", b"")
    return change, (
        int(stored["timestamp"]),
        user_key.decode(),
        stored["url"].decode(),
        kind_of(stored["event_type"].decode()),
        int(stored.get("engagement_time_ms", UNKNOWN)),
        stored.get("country", UNKNOWN_COUNTRY.encode()).decode(),
        stored.get("bot") == b"true",
        *(stored.get(name, b"").decode() for name in DIMENSIONS),
    )


_ROW_TYPES = (pa.int32(), pa.int64(), *blocks.ENRICHED.types)


def _row_batch(rows: Sequence[tuple[Any, ...]], answers: Sequence[Any]) -> pa.RecordBatch:
    """Rows on their way to the task that has their place, behind them what is for the run."""
    names = ("place", "offset", *blocks.ENRICHED.names)
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    more = [None] * len(answers)
    arrays = [pa.array([*column, *more], of) for column, of in zip(columns, _ROW_TYPES, strict=True)]
    packed = pa.array([None] * len(rows) + [pickle.dumps(said) for said in answers], pa.binary())
    return pa.RecordBatch.from_arrays([*arrays, packed], names=[*names, "answer"])


def _put_blocks(
    books: Books, places: Sequence[Place], dry_run: bool, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    made = {}
    with books.hbase.another() as hbase:
        for number, of_place in groupby(_by_place(batches), lambda numbered: numbered[0]):
            content = pa.Table.from_batches([batch for _, batch in of_place])
            if number is None:
                yield pa.record_batch({"answer": content.column("answer").combine_chunks()})
                continue
            enriched = content.select(blocks.ENRICHED.names).cast(blocks.ENRICHED)
            made[places[number]] = put_block(hbase, books.tables.blocks, places[number], enriched, dry_run=dry_run)
    yield answer(made)


def _by_place(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int | None, pa.RecordBatch]]:
    """Batches that are in order of place, cut where another place begins."""
    for batch in batches:
        at = 0
        for number, run in groupby(batch.column("place").to_pylist()):
            size = sum(1 for _ in run)
            yield number, batch.slice(at, size)
            at += size
