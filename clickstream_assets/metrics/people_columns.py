"""Who clicked what in an hour, and who came with what and from where, by column, in ``clickstream_blocks``."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from clickstream_assets.books import blocks
from clickstream_assets.books.audience import AUDIENCE, grouped
from clickstream_assets.books.blocks import CellsUnfit, CellWriter, Place
from clickstream_assets.books.books import Books
from clickstream_assets.books.checkpoints import People, people_key
from clickstream_assets.books.ledger_entries import Cells
from clickstream_assets.metrics.hour_tasks import HourTask, Slice, Unfit
from clickstream_assets.metrics.hourly_metrics import PEOPLE
from clickstream_assets.stores.hbase.client import HBaseClient, RowMutation

_FAMILY = "hour"
HOUR = pa.field("hour", pa.int64())
"""In hours since the epoch."""
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
        return [*kept, place._replace(cells=writer.write_table(self.together(together)))]

    def read(self, hbase: HBaseClient, table: str, hour: int, people: People) -> pa.Table:
        """What a run has put; raises :class:`CellsUnfit` if it is not there as it was put."""
        key = people_key(hour, people, self.kind)
        return blocks.read_one(hbase, table, _FAMILY, key, people.cells, self.schema)

    def of_hours(self, books: Books, places: Iterable[tuple[int, People]]) -> Iterator[pa.RecordBatch]:
        """Rows of hours, behind them :data:`HOUR`; of what is not as it was put, one row without a user."""
        with books.hbase.another() as hbase:
            for hour, place in places:
                try:
                    table = self.read(hbase, books.tables.blocks, hour, place)
                except CellsUnfit:
                    table = pa.Table.from_pylist([{}], self.schema)
                yield from table.append_column(HOUR, pa.repeat(hour, len(table))).to_batches()


def _as_they_are(people: pa.Table) -> pa.Table:
    return people


WHO_CLICKED = UserColumns("p", PEOPLE, _as_they_are)
"""Who clicked what: :data:`PEOPLE`."""
WHO_CAME = UserColumns("a", AUDIENCE, grouped)
"""Who came with what and from where: :data:`AUDIENCE`."""


def audience_in(hbase: HBaseClient, table: str, of: Mapping[Place, Cells | None]) -> tuple[pa.Table, list[Place]]:
    """Who the clicks of places are of, put together; and the places where that is not what the books say."""
    wanted = {place: cells for place, cells in of.items() if cells is not None}
    unfit, kept = [place for place, cells in of.items() if cells is None], []
    for place, batch in blocks.read(hbase, table, blocks.OF_AUDIENCE, wanted, AUDIENCE):
        if batch is None:
            unfit.append(place)
        else:
            kept.append(batch)
    return grouped(pa.Table.from_batches(kept, AUDIENCE)), unfit


def put_users(
    hbase: HBaseClient, table: str, task: HourTask, number: int, people: pa.Table, result: Slice, put: Put
) -> None:
    """Put who is new to a slice's urls and countries (``people``), and who its share of the new blocks is of.

    ``result`` is told where all lie now. Raises :class:`Unfit`.
    """
    mine = {place: cells for place, cells in list(task.audiences.items())[number :: task.slices] if place in task.new}
    audience, unfit = audience_in(hbase, table, mine)
    if unfit:
        raise Unfit(unfit)

    def put_new(columns: UserColumns, places: Sequence[People], new: pa.Table) -> list[People]:
        before, at = [place for place in places if place.number == number], People.of(task.stamp_ms, number)
        return columns.put(hbase, table, task.hour, before, at, new, put)

    try:
        result.people = put_new(WHO_CLICKED, task.people, people)
        result.audience = put_new(WHO_CAME, task.audience, audience)
    except CellsUnfit as unfit_cells:
        raise Unfit from unfit_cells
