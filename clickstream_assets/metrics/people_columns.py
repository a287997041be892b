"""Who clicked what in an hour, by column, in ``clickstream_blocks``."""

from collections.abc import Callable, Sequence
from functools import partial

import pyarrow as pa

from clickstream_assets.books import blocks
from clickstream_assets.books.blocks import CellsUnfit, CellWriter
from clickstream_assets.books.checkpoints import People, people_key
from clickstream_assets.metrics.hourly_metrics import PEOPLE
from clickstream_assets.stores.hbase.client import HBaseClient, RowMutation

_FAMILY = "hour"


def put_people(
    hbase: HBaseClient,
    table: str,
    hour: int,
    before: Sequence[People],
    place: People,
    new: pa.Table,
    put: Callable[[str, Sequence[RowMutation]], object],
) -> list[People]:
    """Put users that are new to urls and countries (:data:`PEOPLE`) beside those of runs before; where all lie now.

    Those of earlier runs that are not at least twice as many are put anew with them. So each is put a few times, and
    all of them lie in a few places, however many runs an hour has. Raises :class:`CellsUnfit`.
    """
    kept, rows = list(before), len(new)
    anew: list[People] = []
    while kept and rows and kept[-1].cells.rows < 2 * rows:
        anew.append(kept.pop())
        rows += anew[-1].cells.rows
    if not rows:
        return kept
    together = pa.concat_tables([*(people_in(hbase, table, hour, people) for people in reversed(anew)), new])
    writer = CellWriter(lambda row: put(table, [row]), people_key(hour, place), _FAMILY)
    for batch in together.combine_chunks().to_batches():
        writer.write(batch)
    return [*kept, place._replace(cells=writer.written)]


def people_in(hbase: HBaseClient, table: str, hour: int, people: People) -> pa.Table:
    """:data:`PEOPLE` that a run has put; raises :class:`CellsUnfit` if they are not there as they were put."""
    content = blocks.read(hbase, table, _FAMILY, {people: people.cells}, PEOPLE, partial(people_key, hour))
    batches = [batch for _, batch in content]
    if any(batch is None for batch in batches):
        raise CellsUnfit("not as they were put")
    return pa.Table.from_batches(batches, PEOPLE)
