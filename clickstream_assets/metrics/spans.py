"""Any span of hours put together from their columns: exact, where they are all there."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from typing import Any

import pandas as pd
import pyarrow as pa

from clickstream_assets.books import blocks
from clickstream_assets.books.blocks import CellsUnfit
from clickstream_assets.books.books import Books
from clickstream_assets.books.checkpoints import Checkpoints, HourColumns, slice_key
from clickstream_assets.metrics.daily_metrics import COUNTS, ROLLED_UP, SCOPES, added_up, rolled_up
from clickstream_assets.metrics.hourly_metrics import COUNTED, PEOPLE, in_row
from clickstream_assets.metrics.people_columns import WHO_CLICKED

_BYTES_AT_A_TIME = 256 << 20
"""Of who clicked what, beside an hour of it."""
_MOST_SHARES = 1_024
_ROWS_AT_A_TIME = 250_000
"""Of hours' totals, which are added up together: some 30 MB."""


class WithoutColumns(Exception):
    """Hours whose metrics do not lie by column, or not as they were put."""

    def __init__(self, hours: Iterable[int]) -> None:
        super().__init__()
        self.hours = sorted(hours)


def span_totals(books: Books, hours: range, scope: str) -> list[dict[str, Any]]:
    """The totals of a scope over some hours, most clicks first: what the scope names, and the counts.

    Held are the result and some hours. Of more users than memory is for, one share is counted after the other. Raises
    :class:`WithoutColumns`.
    """
    computed = [hour for hour, state in books.hours.read(hours).items() if state.computed]
    columns = Checkpoints(books).columns(computed)
    if lacking := set(computed) - columns.keys():
        raise WithoutColumns(lacking)
    nobody, no_hour = PEOPLE.empty_table(), COUNTED.empty_table()
    of_hours = map(partial(rolled_up, people=nobody, scopes=[scope]), _totals(books, columns))
    of_people = map(partial(rolled_up, no_hour, scopes=[scope]), _shares(books, columns, scope))
    rows = _together(chain(of_hours, of_people)).to_pylist()
    rows.sort(key=lambda row: (-row["clicks"], str(row["site"]), str(row)))
    return [in_row({name: row[name] for name in (*SCOPES[scope], *COUNTS)}) for row in rows]


def _together(parts: Iterable[pa.Table]) -> pa.Table:
    """Totals added up, whenever those that are not yet are as many as the result."""
    result, waiting = ROLLED_UP.empty_table(), []
    for part in parts:
        waiting.append(part)
        if sum(map(len, waiting)) >= len(result):
            result, waiting = added_up(pa.concat_tables([result, *waiting])), []
    return added_up(pa.concat_tables([result, *waiting]))


def _totals(books: Books, columns: Mapping[int, HourColumns]) -> Iterator[pa.Table]:
    """What is counted in the hours, some of them at a time."""
    batches: list[pa.RecordBatch] = []
    for hour, of_hour in columns.items():
        slices, key_of = dict(enumerate(of_hour.slices)), partial(slice_key, hour)
        for _, batch in blocks.read(books.hbase, books.tables.blocks, "hour", slices, COUNTED, key_of):
            if batch is None:
                raise WithoutColumns([hour])
            batches.append(batch)
        if sum(map(len, batches)) >= _ROWS_AT_A_TIME:
            yield pa.Table.from_batches(batches, COUNTED)
            batches = []
    yield pa.Table.from_batches(batches, COUNTED)


def _shares(books: Books, columns: Mapping[int, HourColumns], scope: str) -> Iterator[pa.Table]:
    """Who clicked what, one share of the users after the other; what the scope does not tell apart is left empty.

    A share that turns out to be more than memory is for is halved. For each, all hours are read.
    """
    shares = [(0, 1)]
    while shares:
        number, of = shares.pop()
        held = PEOPLE.empty_table()
        for hour in columns.items():
            held = pa.concat_tables([held, _share(_people(books, *hour, scope), number, of)])
            if held.nbytes > _BYTES_AT_A_TIME and of < _MOST_SHARES:
                shares.append((number + of, 2 * of))
                of *= 2
                held = _share(held, number, of)
        yield held


def _share(people: pa.Table, number: int, of: int) -> pa.Table:
    if of == 1:
        return people
    kept = []
    for batch in people.to_batches():  # each by itself: what is hashed lies in memory once more
        users = pd.util.hash_array(batch.column("user_key").to_numpy(zero_copy_only=False))
        kept.append(batch.filter(pa.array(users % of == number)))
    return pa.Table.from_batches(kept, PEOPLE)


def _people(books: Books, hour: int, columns: HourColumns, scope: str) -> pa.Table:
    try:
        found = [WHO_CLICKED.read(books.hbase, books.tables.blocks, hour, place) for place in columns.people]
    except CellsUnfit as unfit:
        raise WithoutColumns([hour]) from unfit
    people = pa.concat_tables([PEOPLE.empty_table(), *found])
    if scope == "url_country":
        return people
    for at, name in enumerate(("url", "country")):
        if name not in {"site": ("url",)}.get(scope, SCOPES[scope]):
            people = people.set_column(at, PEOPLE.field(name), pa.repeat(pa.scalar("", pa.string()), len(people)))
    return people.group_by(PEOPLE.names, use_threads=False).aggregate([])
