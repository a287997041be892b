"""The clicks of hours enriched, on Spark: cells beside the rows, and blocks by column for the metrics.

Of what is new, a task reads the events that ingestion left by column. What has no such events any more, is doubted, or
was enriched by other versions is read from the rows of its hour: the one way that scans them.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from clickstream_assets.books import blocks
from clickstream_assets.books.blocks import TODO, Place, place_of, put_block
from clickstream_assets.books.books import Books
from clickstream_assets.books.ledger_entries import Block, Cells, HourPart
from clickstream_assets.books.table_schemas import CLICKS
from clickstream_assets.enrich.enrichment import Enricher, EnrichmentRules, EnrichmentUnfit
from clickstream_assets.enrich.from_rows import enriched_from_rows, results_of
from clickstream_assets.stores.hbase.thrift_rows import SharedMutation
from clickstream_assets.stores.spark.tasks import answer, answers_of, in_tasks, put_together

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TASK_ROWS = 25_000
"""Events that one task enriches, about."""
_COUNTRY, _BOT = CLICKS.columns["country"].key, CLICKS.columns["bot"].key


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
    made = _from_events(spark, books, with_events, rules)
    result = Enriched(sum(block.cells.rows for block in made.values()))
    from_rows = {place: part for place, part in lacking.items() if place not in made}
    others, rows, result.named = enriched_from_rows(spark, books, sorted(from_rows), rules)
    made, result.rows = made | others, result.rows + rows
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
        parts = {place_of(part, hour): part for part in books.ledger.parts([hour])[hour] if part.counts.kept}
        made, rows, named = enriched_from_rows(spark, books, sorted(parts), rules, dry_run=True)
        result = results[hour] = Enriched(rows, named)
        for place, part in parts.items():
            if part.block is None or made[place].digests != part.block.digests:
                result.parts[hour].append(part)
    return results


def warm_up(spark: "SparkSession", books: Books, rules: EnrichmentRules) -> None:
    """Have a worker load what it enriches by; does nothing else."""
    answers_of(in_tasks(spark, [{}], partial(_enrich_events, books, rules)))


def _from_events(
    spark: "SparkSession", books: Books, wanted: Mapping[Place, Cells], rules: EnrichmentRules
) -> dict[Place, Block]:
    """Blocks of places whose events are as the ledger says; the others are left out."""
    if not wanted:
        return {}
    tasks = [dict(of_task) for of_task in put_together(wanted.items(), lambda item: item[1].rows, TASK_ROWS)]
    return results_of(in_tasks(spark, tasks, partial(_enrich_events, books, rules)))[0]


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
                place: put_block(writer, tables.blocks, place, pa.Table.from_batches(batches))
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
    country = pa.array([cells.cells[_COUNTRY].decode() for cells in places], pa.string()).take(of_place)
    bot = pa.array([cells.cells[_BOT] == b"true" for cells in clients], pa.bool_()).take(of_client)
    found = {"country": country, "bot": bot}
    for (cells, numbers), names in zip(columns, (("city",), ("browser", "os", "device")), strict=True):
        for name in names:
            texts = pa.array([of_text.cells[CLICKS.columns[name].key].decode() for of_text in cells], pa.string())
            found[name] = texts.take(numbers)
    arrays = [found[name] if name in found else events.column(name) for name in blocks.ENRICHED.names]
    clicks = pa.RecordBatch.from_arrays(arrays, schema=blocks.ENRICHED)
    rows = zip(events.column("row_key").to_pylist(), zip(*shared, strict=True), strict=True)
    return (SharedMutation(key, cells) for key, cells in rows), clicks
