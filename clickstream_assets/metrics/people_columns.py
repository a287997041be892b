"""Who clicked what in an hour, and who came with what and from where, by column, in ``clickstream_blocks``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from clickstream_assets.books import blocks
from clickstream_assets.books.audience import AUDIENCE, put_together
from clickstream_assets.books.blocks import CellsUnfit, CellWriter, Place
from clickstream_assets.books.checkpoints import People, people_key
from clickstream_assets.books.ledger_entries import Cells
from clickstream_assets.metrics.hour_tasks import HourTask, Slice, Unfit
from clickstream_assets.metrics.hourly_metrics import PEOPLE
from clickstream_assets.stores.hbase.client import HBaseClient, RowMutation

_FAMILY = "hour"
Put = Callable[[str, Sequence[RowMutation]], object]
"""Writes rows of a table with the run's time."""


@dataclass(frozen=True, slots=True)
class UserColumns:
    """One kind of rows that tell of an hour's users."""

    kind: str
    schema: pa.Schema
    together: Callable[[pa.Table], pa.Table]
    """What becomes of those of several runs."""

    def put(
        self,
        hbase: HBaseClient,
        table: str,
        hour: int,
        before: Sequence[People],
        place: People,
        new: pa.Table,
        put: Put,
    ) -> list[People]:
        """Put new rows beside those of runs before; where all lie now.

        Those of earlier runs that are not at least twice as many are put anew with them. So each is put a few times,
        and all of them lie in a few places, however many runs an hour has. Raises :class:`CellsUnfit`.
        """
        kept, rows = list(before), len(new)
        anew: list[People] = []
        while kept and rows and kept[-1].cells.rows < 2 * rows:
            anew.append(kept.pop())
            rows += anew[-1].cells.rows
        if not rows:
            return kept
        together = pa.concat_tables([*(self.read(hbase, table, hour, people) for people in reversed(anew)), new])
        writer = CellWriter(lambda row: put(table, [row]), people_key(hour, place, self.kind), _FAMILY)
        for batch in self.together(together).combine_chunks().to_batches():
            writer.write(batch)
        return [*kept, place._replace(cells=writer.written)]

    def read(self, hbase: HBaseClient, table: str, hour: int, people: People) -> pa.Table:
        """What a run has put; raises :class:`CellsUnfit` if it is not there as it was put."""
        key_of = partial(people_key, hour, kind=self.kind)
        content = blocks.read(hbase, table, _FAMILY, {people: people.cells}, self.schema, key_of)
        batches = [batch for _, batch in content]
        if any(batch is None for batch in batches):
            raise CellsUnfit("not as they were put")
        return pa.Table.from_batches(batches, self.schema)


WHO_CLICKED = UserColumns("p", PEOPLE, lambda people: people)
"""Who clicked what: :data:`PEOPLE`."""
WHO_CAME = UserColumns("a", AUDIENCE, put_together)
"""Who came with what and from where: :data:`AUDIENCE`."""


def audience_of(hbase: HBaseClient, table: str, of: Mapping[Place, Cells | None]) -> tuple[pa.Table, list[Place]]:
    """Who the clicks of places are of, put together; and the places where that is not what the books say."""
    wanted = {place: cells for place, cells in of.items() if cells is not None}
    unfit, kept = [place for place, cells in of.items() if cells is None], []
    for place, batch in blocks.read(hbase, table, blocks.OF_AUDIENCE, wanted, AUDIENCE):
        if batch is None:
            unfit.append(place)
        else:
            kept.append(batch)
    return put_together(pa.Table.from_batches(kept, AUDIENCE)), unfit


def put_users(
    hbase: HBaseClient, table: str, task: HourTask, number: int, people: pa.Table, result: Slice, put: Put
) -> None:
    """Put who is new to a slice's urls and countries (``people``), and who its share of the new blocks is of.

    ``result`` is told where all lie now. Raises :class:`Unfit`.
    """
    mine = {place: cells for place, cells in list(task.audiences.items())[number :: task.slices] if place in task.new}
    audience, unfit = audience_of(hbase, table, mine)
    if unfit:
        raise Unfit(unfit)
    at = People.of(task.stamp_ms, number)
    try:
        for columns, name, new in ((WHO_CLICKED, "people", people), (WHO_CAME, "audience", audience)):
            before = [place for place in getattr(task, name) if place.number == number]
            setattr(result, name, columns.put(hbase, table, task.hour, before, at, new, put))
    except CellsUnfit as unfit_cells:
        raise Unfit from unfit_cells
