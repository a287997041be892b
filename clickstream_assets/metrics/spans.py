"""Any span of hours put together from their columns: exact, where they are all there."""

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from clickstream_assets.books import blocks
from clickstream_assets.books.blocks import CellsUnfit
from clickstream_assets.books.books import Books
from clickstream_assets.books.checkpoints import Checkpoints, slice_key
from clickstream_assets.books.ledger_entries import Cells
from clickstream_assets.metrics.daily_metrics import SCOPES, rolled_up
from clickstream_assets.metrics.hourly_metrics import COUNTED, PEOPLE
from clickstream_assets.metrics.people_columns import people_in


class WithoutColumns(Exception):
    """Hours whose metrics do not lie by column, or not as they were put."""

    def __init__(self, hours: Iterable[int]) -> None:
        super().__init__()
        self.hours = sorted(hours)


def span_totals(books: Books, hours: range, scope: str) -> list[dict[str, Any]]:
    """The totals of a scope over some hours, most clicks first: what the scope names, and the counts.

    All of the hours' columns are held in memory. Raises :class:`WithoutColumns`.
    """
    computed = [hour for hour, state in books.hours.read(hours).items() if state.computed]
    columns = Checkpoints(books).columns(computed)
    if lacking := set(computed) - columns.keys():
        raise WithoutColumns(lacking)
    table = books.tables.blocks
    slices: dict[tuple[int, int], Cells] = {}
    people = [PEOPLE.empty_table()]
    for hour, of_hour in columns.items():
        slices |= {(hour, number): cells for number, cells in enumerate(of_hour.slices)}
        try:
            people += [people_in(books.hbase, table, hour, place) for place in of_hour.people]
        except CellsUnfit as unfit:
            raise WithoutColumns([hour]) from unfit
    totals = []
    for (hour, _), batch in blocks.read(books.hbase, table, "hour", slices, COUNTED, lambda of: slice_key(*of)):
        if batch is None:
            raise WithoutColumns([hour])
        totals.append(batch)
    whole = rolled_up(pa.Table.from_batches(totals, COUNTED), pa.concat_tables(people))
    rows = whole.filter(pc.equal(whole.column("scope"), scope)).to_pylist()
    return [_row(row, scope) for row in sorted(rows, key=lambda row: (-row["clicks"], str(row["site"]), str(row)))]


def _row(row: dict[str, Any], scope: str) -> dict[str, Any]:
    views, seconds = row["measured_views"], row["spent_ms"] / 1000
    return {
        **{name: row[name] for name in SCOPES[scope]},
        "clicks": row["clicks"],
        "unique_users": row["unique_users"],
        "measured_views": views,
        "time_spent_seconds": seconds,
        "average_time_spent": seconds / views if views else None,
    }
