"""What enrichment goes by, what it makes of a place, and what its tasks say of it."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from clickstream_assets.books import blocks
from clickstream_assets.books.blocks import BLOCK, CLICK, CellWriter, Place
from clickstream_assets.books.ledger_entries import Block, HourPart
from clickstream_assets.enrich.enrichment import Enricher, EnrichmentUnfit, enricher_of
from clickstream_assets.stores.hbase.client import HBaseClient
from clickstream_assets.stores.spark.tasks import NAMED, answers_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


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


def put_block(hbase: HBaseClient, table: str, place: Place, clicks: pa.Table, *, dry_run: bool = False) -> Block:
    """Put all that is in a place: its digest does not depend on how it came here.

    Returns the block but for the versions of its part and of what enriched it.
    """
    writer = CellWriter(lambda row: dry_run or hbase.mutate(table, [row]), blocks.row_key(place), BLOCK)
    for batch in clicks.combine_chunks().to_batches():
        writer.write(batch)
    human = pc.and_(pc.equal(clicks.column("kind"), CLICK), pc.invert(clicks.column("bot")))
    return Block("", "", pc.sum(human).as_py() or 0, pc.min(clicks.column("time_ms")).as_py(), writer.written)


def results_of(tasks: "DataFrame", result: Enriched) -> dict[Place, Block]:
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
