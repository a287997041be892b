"""How many events, clicks and people came with what and from where, in hours and in their day.

Events and clicks add up. People do not: who came in several hours, or with two browsers, counts once in each total.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from clickstream_assets.books.audience import AUDIENCE, DIMENSIONS
from clickstream_assets.events.origins import NONE
from clickstream_assets.events.url_limits import OTHER
from clickstream_assets.metrics.people_columns import HOUR

BOT = "bot"
"""The dimension of bots; its values are their browser families, which name them."""
MOST_VALUES = 1_000
"""Of a dimension in a span that have totals of their own."""
CAME = AUDIENCE.append(HOUR)
"""Audiences of several hours."""
DIMENSION_TOTALS = pa.schema(
    [
        ("hour", pa.int64()),
        ("dimension", pa.string()),
        ("value", pa.string()),
        ("events", pa.int64()),
        ("clicks", pa.int64()),
        ("unique_users", pa.int64()),
    ]
)
"""Totals; ``hour`` is null in those of the day, ``unique_users`` where people are not counted."""
_GROUP = ("hour", "dimension")
_SUMMED = ("events", "clicks", "unique_users")


def dimension_totals(came: pa.Table) -> pa.Table:
    """The totals of a day's users in its hours and in the day: :data:`DIMENSION_TOTALS`, in no order.

    ``came`` (:data:`CAME`) is all that is known of these users in the day. Totals of different users add up.
    """
    users = came.column("user_key").combine_chunks().dictionary_encode().indices
    came = came.set_column(0, "user_key", users)
    is_bot = came.column("bot")
    people, bots = came.filter(pc.invert(is_bot)), came.filter(is_bot)
    counted = [of for name in DIMENSIONS for of in _of_dimension(name, people.column(name), people)]
    return pa.concat_tables([*counted, *_of_dimension(BOT, bots.column("browser"), bots)])


def _of_dimension(name: str, values: pa.ChunkedArray, came: pa.Table) -> Iterator[pa.Table]:
    """The totals of one dimension's values by hour, then those of the day."""
    said = pc.if_else(pc.equal(values, ""), NONE, values)
    rows = came.select(["hour", "user_key", "events", "clicks"]).append_column("value", said)
    for span in (["hour"], []):
        rows = _sums(rows, [*span, "value", "user_key"], ("events", "clicks"))
        made_it = pc.greater(rows.column("events" if name == "event_type" else "clicks"), 0)
        totals = _sums(rows.append_column("unique_users", pc.cast(made_it, pa.int64())), [*span, "value"], _SUMMED)
        columns = {of: totals.column(of) for of in totals.column_names} | {"dimension": pa.repeat(name, len(totals))}
        if name == BOT:
            columns["unique_users"] = pa.nulls(len(totals), pa.int64())
        columns.setdefault("hour", pa.nulls(len(totals), pa.int64()))
        yield pa.table({of.name: columns[of.name] for of in DIMENSION_TOTALS}, DIMENSION_TOTALS)


def bounded(totals: pa.Table, most: int = MOST_VALUES) -> pa.Table:
    """Totals added up, with those of ``most`` values in each span and dimension; the others are one, :data:`OTHER`.

    Those with most clicks stay, then those with most events, then by the value. Of parts that share no value, each may
    be bounded first: the result is the same.
    """
    sums = _sums(totals, [*_GROUP, "value"], _SUMMED)
    is_named = pc.not_equal(sums.column("value"), OTHER)
    order = [("hour", "ascending"), ("dimension", "ascending"), ("clicks", "descending"), ("events", "descending")]
    named = sums.filter(is_named).sort_by([*order, ("value", "ascending")])
    has_place = pa.array(_ranks(named) < most)
    rest = pa.concat_tables([named.filter(pc.invert(has_place)), sums.filter(pc.invert(is_named))])
    others = _sums(rest, [*_GROUP], ("events", "clicks"))
    others = others.append_column("value", pa.repeat(OTHER, len(others)))
    others = others.append_column("unique_users", pa.nulls(len(others), pa.int64()))
    return pa.concat_tables([of.select(DIMENSION_TOTALS.names) for of in (named.filter(has_place), others)])


def _ranks(ordered: pa.Table) -> NDArray[np.int64]:
    """By row, the number of those before it in its span and dimension."""
    if not len(ordered):
        return np.zeros(0, np.int64)
    hours = ordered.column("hour").fill_null(-1).to_numpy()
    names = ordered.column("dimension").combine_chunks().dictionary_encode().indices.to_numpy()
    begins = np.concatenate([[True], (hours[1:] != hours[:-1]) | (names[1:] != names[:-1])])
    at = np.arange(len(ordered))
    return at - np.maximum.accumulate(np.where(begins, at, 0))


def _sums(rows: pa.Table, keys: list[str], names: tuple[str, ...]) -> pa.Table:
    sums = rows.group_by(keys, use_threads=False).aggregate([(name, "sum") for name in names])
    return sums.rename_columns([name.removesuffix("_sum") for name in sums.column_names])
