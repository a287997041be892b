"""Any span of hours put together from their columns: exact, where they are all there."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from clickstream_assets.books import blocks
from clickstream_assets.books.blocks import CellsUnfit
from clickstream_assets.books.books import Books
from clickstream_assets.books.checkpoints import Checkpoints, HourColumns, slice_key
from clickstream_assets.books.ledger_entries import Cells
from clickstream_assets.metrics.daily_metrics import COUNTS, SCOPES, added_up, rolled_up
from clickstream_assets.metrics.hourly_metrics import COUNTED, PEOPLE, in_row
from clickstream_assets.metrics.people_columns import WHO_CLICKED

_BYTES_AT_A_TIME = 256 << 20


class WithoutColumns(Exception):
    """Hours whose metrics do not lie by column, or not as they were put."""

    def __init__(self, hours: Iterable[int]) -> None:
        super().__init__()
        self.hours = sorted(hours)


def span_totals(books: Books, hours: range, scope: str) -> list[dict[str, Any]]:
    """The totals of a scope over some hours, most clicks first: what the scope names, and the counts.

    Of large spans, users are counted in several passes, each its own. Raises :class:`WithoutColumns`.
    """
    computed = [hour for hour, state in books.hours.read(hours).items() if state.computed]
    columns = Checkpoints(books).columns(computed)
    if lacking := set(computed) - columns.keys():
        raise WithoutColumns(lacking)
    whole = [rolled_up(_totals(books, columns), PEOPLE.empty_table())]
    raw_bytes = sum(place.cells.raw_bytes for of_hour in columns.values() for place in of_hour.people)
    passes = raw_bytes // _BYTES_AT_A_TIME + 1
    whole += [rolled_up(COUNTED.empty_table(), _people(books, columns, number, passes)) for number in range(passes)]
    of_scope = [table.filter(pc.equal(table.column("scope"), scope)) for table in whole]
    rows = added_up(pa.concat_tables(of_scope)).to_pylist()
    return [_row(row, scope) for row in sorted(rows, key=lambda row: (-row["clicks"], str(row["site"]), str(row)))]


def _totals(books: Books, columns: Mapping[int, HourColumns]) -> pa.Table:
    slices: dict[tuple[int, int], Cells] = {}
    for hour, of_hour in columns.items():
        slices |= {(hour, number): cells for number, cells in enumerate(of_hour.slices)}
    totals = []
    table = books.tables.blocks
    for (hour, _), batch in blocks.read(books.hbase, table, "hour", slices, COUNTED, lambda of: slice_key(*of)):
        if batch is None:
            raise WithoutColumns([hour])
        totals.append(batch)
    return pa.Table.from_batches(totals, COUNTED)


def _people(books: Books, columns: Mapping[int, HourColumns], number: int, passes: int) -> pa.Table:
    """Who clicked what, of the users of one pass."""
    found = [PEOPLE.empty_table()]
    for hour, of_hour in columns.items():
        for place in of_hour.people:
            try:
                people = WHO_CLICKED.read(books.hbase, books.tables.blocks, hour, place)
            except CellsUnfit as unfit:
                raise WithoutColumns([hour]) from unfit
            if passes > 1:
                users = pd.util.hash_array(people.column("user_key").to_numpy())
                people = people.filter(pa.array(users % passes == number))
            found.append(people)
    return pa.concat_tables(found)


def _row(row: dict[str, Any], scope: str) -> dict[str, Any]:
    return in_row({name: row[name] for name in (*SCOPES[scope], *COUNTS)})
