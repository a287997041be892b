"""The clicks of hours enriched, on Spark: cells beside the rows, and blocks by column for the metrics.

Of what is new, a task reads the events that ingestion left by column. What has no such events any more, is doubted, or
was enriched by other versions is read from the rows of its hour: the one way that scans them.
"""

import pickle
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from operator import itemgetter
from sys import maxsize
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from clickstream_assets.books import blocks
from clickstream_assets.books.blocks import BLOCK, CLICK, TODO, UNKNOWN, CellWriter, Place, kind_of, place_of
from clickstream_assets.books.books import Books
from clickstream_assets.books.ledger import Block, Cells, HourPart
from clickstream_assets.books.row_keys import hour_of, scan_tasks
from clickstream_assets.books.table_schemas import CLICKS
from clickstream_assets.enrich.enrichment import OUTPUT, Enricher, EnrichmentUnfit, enricher_of
from clickstream_assets.enrich.geoip import UNKNOWN_COUNTRY
from clickstream_assets.stores.hbase.client import HBaseClient, Row, RowMutation, rows_per_call
from clickstream_assets.stores.hbase.thrift_rows import SharedMutation
from clickstream_assets.stores.spark.tasks import ANSWER, NAMED, answer, answers_of, in_tasks, put_together

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

TASK_ROWS = 25_000
"""Events that one task enriches, about."""
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
)
"""Of rows, beside what enrichment has written there before."""
_CELLS = {name: CLICKS.columns[name].key for name in (*READ, *OUTPUT)}
_WRITTEN = {name: _CELLS[name] for name in OUTPUT}
_EACH_HAS = {_CELLS[name] for name in ("source", "timestamp", "url", "event_type")}
"""Cells of every row that ingestion has put."""


@dataclass(frozen=True, slots=True)
class EnrichmentRules:
    """What enriches, on every worker alike."""

    geoip_database: str
    trusted: tuple[str, ...]
    versions: tuple[str, str]
    """Of the GeoIP database, and of the user-agent rules."""

    @property
    def by(self) -> str:
        return ", ".join(self.versions)

    def enricher(self) -> Enricher:
        """This worker's; raises :class:`EnrichmentUnfit`."""
        return enricher_of(self.geoip_database, self.trusted, self.versions)


@dataclass(slots=True)
class Enriched:
    """What became of some hours."""

    rows: int = 0
    """Rows whose cells were written, or would be."""
    named: list[str] = field(default_factory=list)
    """Keys of some of them, in hex, where they were looked for one by one."""
    parts: defaultdict[int, list[HourPart]] = field(default_factory=lambda: defaultdict(list))
    """By hour, the parts whose blocks were made, or are other than they should be."""


def enrich(
    spark: "SparkSession", books: Books, hours: Iterable[int], rules: EnrichmentRules, whole: Iterable[int]
) -> Enriched:
    """Enrich what hours have that is not enriched by the versions of ``rules``, and all of the hours in ``whole``.

    Of the hours that follow ``hours`` too, for time spent has to know the bots there. Raises :class:`EnrichmentUnfit`
    if a worker cannot enrich by these versions; nothing is enriched there.
    """
    whole = set(whole)
    parts = {
        place_of(part, hour): part
        for hour, of_hour in books.ledger.parts({at for hour in hours for at in (hour, hour + 1)}).items()
        for part in of_hour
        if part.counts.kept
    }
    lacking = {place: part for place, part in parts.items() if place.hour in whole or not part.is_enriched_by(rules.by)}
    with_events = {
        place: part.events
        for place, part in lacking.items()
        if place.hour not in whole and part.events is not None and part.events.rows == part.counts.kept
    }
    result, made = Enriched(), _from_events(spark, books, with_events, rules)
    from_rows = {place: part for place, part in lacking.items() if place not in made}
    result.rows += sum(block.cells.rows for block in made.values())
    if from_rows:
        made |= _from_rows(spark, books, sorted(from_rows), rules, result)
    named: defaultdict[int, list[tuple[HourPart, Block]]] = defaultdict(list)
    for place, block in made.items():
        part = lacking[place]
        named[place.hour].append((part, replace(block, of=part.version, enriched_by=rules.by)))
        result.parts[place.hour].append(part)
    books.ledger.name_blocks(named)
    return result


def audit(spark: "SparkSession", books: Books, hours: Iterable[int], rules: EnrichmentRules) -> dict[int, Enriched]:
    """By hour, what enriching it from its rows would change; changes nothing.

    Rows whose request data has expired are taken as they are.
    """
    results = {}
    for hour in hours:
        result = results[hour] = Enriched()
        parts = {place_of(part, hour): part for part in books.ledger.parts([hour])[hour] if part.counts.kept}
        made = _from_rows(spark, books, sorted(parts), rules, result, dry_run=True) if parts else {}
        for place, part in parts.items():
            if part.block is None or made[place].cells.digest != part.block.cells.digest:
                result.parts[hour].append(part)
    return results


def warm_up(spark: "SparkSession", books: Books, rules: EnrichmentRules) -> None:
    """Have a worker load what it enriches by; does nothing else."""
    answers_of(in_tasks(spark, [{}], partial(_enrich_events, books, rules)))


def _put_block(hbase: HBaseClient, table: str, place: Place, clicks: pa.Table, *, dry_run: bool = False) -> Block:
    """Put all that is in a place: its digest does not depend on how it came here.

    Returns the block but for the versions of its part and of what enriched it.
    """
    writer = CellWriter(lambda row: dry_run or hbase.mutate(table, [row]), blocks.row_key(place), BLOCK)
    for batch in clicks.combine_chunks().to_batches():
        writer.write(batch)
    human = pc.and_(pc.equal(clicks.column("kind"), CLICK), pc.invert(clicks.column("bot")))
    return Block("", "", pc.sum(human).as_py() or 0, pc.min(clicks.column("time_ms")).as_py(), writer.written)


# From events


def _from_events(
    spark: "SparkSession", books: Books, wanted: Mapping[Place, Cells], rules: EnrichmentRules
) -> dict[Place, Block]:
    """Blocks of places whose events are as the ledger says; the others are left out."""
    if not wanted:
        return {}
    tasks = [dict(of_task) for of_task in put_together(wanted.items(), lambda item: item[1].rows, TASK_ROWS)]
    return _results(in_tasks(spark, tasks, partial(_enrich_events, books, rules)), Enriched())


def _results(tasks: "DataFrame", result: Enriched) -> dict[Place, Block]:
    """What tasks have made; adds the rest of what they say to ``result``."""
    made: dict[Place, Block] = {}
    for said in answers_of(tasks):
        match said:
            case str(unfit):
                raise EnrichmentUnfit(unfit)
            case (int(rows), list(named)):
                result.rows += rows
                result.named = (result.named + named)[:NAMED]
            case dict(blocks_made):
                made |= blocks_made
    return made


def _enrich_events(books: Books, rules: EnrichmentRules, wanted: Mapping[Place, Cells]) -> Iterator[pa.RecordBatch]:
    try:
        enricher = rules.enricher()
    except EnrichmentUnfit as error:  # raised, it would be tried again and end in a page of trace
        yield answer(str(error))
        return
    tables = books.tables
    with books.hbase.another() as reader, books.hbase.another() as writer:
        of_places: defaultdict[Place, list[pa.RecordBatch]] = defaultdict(list)
        unfit = set()
        for place, events in blocks.read(reader, tables.blocks, TODO, wanted, blocks.EVENTS):
            if events is None:
                unfit.add(place)
                continue
            rows, clicks = _enriched(events, enricher)
            writer.mutate(tables.clicks, rows)
            of_places[place].append(clicks)
        yield answer(
            {
                place: _put_block(writer, tables.blocks, place, pa.Table.from_batches(batches))
                for place, batches in of_places.items()
                if place not in unfit
            }
        )


def _enriched(events: pa.RecordBatch, enricher: Enricher) -> tuple[Iterator[SharedMutation], pa.RecordBatch]:
    """The cells that enrichment writes for some events, and what metrics need of them."""
    columns, shared = [], []
    for name, look_up in (("ip", enricher.place), ("user_agent", enricher.client)):
        distinct = events.column(name).dictionary_encode()
        texts = [*distinct.dictionary.to_pylist(), None]
        cells = [look_up(text.encode() if text is not None else None) for text in texts]
        numbers = pc.fill_null(distinct.indices, len(texts) - 1)
        columns.append((cells, numbers))
        shared.append([cells[number] for number in numbers.to_pylist()])
    (places, of_place), (clients, of_client) = columns
    country = pa.array([cells.cells[_CELLS["country"]].decode() for cells in places], pa.string()).take(of_place)
    bot = pa.array([cells.cells[_CELLS["bot"]] == b"true" for cells in clients], pa.bool_()).take(of_client)
    kept = [events.column(name) for name in blocks.CLICKS.names if name not in ("country", "bot")]
    clicks = pa.RecordBatch.from_arrays([*kept, country, bot], schema=blocks.CLICKS)
    rows = zip(events.column("row_key").to_pylist(), zip(*shared, strict=True), strict=True)
    return (SharedMutation(key, cells) for key, cells in rows), clicks


# From rows


def _from_rows(
    spark: "SparkSession",
    books: Books,
    places: Sequence[Place],
    rules: EnrichmentRules,
    result: Enriched,
    *,
    dry_run: bool = False,
) -> dict[Place, Block]:
    """Blocks of places, in order, from the rows of their hours, whose cells are enriched where they are not yet."""
    hours = sorted({place.hour for place in places})
    tasks = scan_tasks(hours, books.ledger.rows(hours))
    enriching = partial(_enrich_rows, books, rules, _Locator(places, _ends(books, hours)), dry_run)
    of_row = f"place int, offset long, {blocks.ddl(blocks.CLICKS)}, answer binary"
    by_place = in_tasks(spark, tasks, enriching, of_row).repartition(len(tasks), "place")
    in_order = by_place.sortWithinPartitions("place", "offset")
    made = _results(in_order.mapInArrow(partial(_put_blocks, books, places, dry_run), ANSWER), result)
    nothing = Block("", "", 0, 0, CellWriter(lambda row: None, b"", BLOCK).written)
    return dict.fromkeys(places, nothing) | made


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
    )


_ROW_TYPES = (pa.int32(), pa.int64(), *blocks.CLICKS.types)


def _row_batch(rows: Sequence[tuple[Any, ...]], answers: Sequence[Any]) -> pa.RecordBatch:
    """Rows on their way to the task that has their place, behind them what is for the run."""
    names = ("place", "offset", *blocks.CLICKS.names)
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
            clicks = content.select(blocks.CLICKS.names).cast(blocks.CLICKS)
            made[places[number]] = _put_block(hbase, books.tables.blocks, places[number], clicks, dry_run=dry_run)
    yield answer(made)


def _by_place(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int | None, pa.RecordBatch]]:
    """Batches that are in order of place, cut where another place begins."""
    for batch in batches:
        at = 0
        for number, run in groupby(batch.column("place").to_pylist()):
            size = sum(1 for _ in run)
            yield number, batch.slice(at, size)
            at += size
