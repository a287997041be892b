"""From hours' metrics by column to the totals of a span: by url and country, url, country, site, and in all.

Clicks, views and times of hours add up. Users do not: who came in several hours counts once, so they are counted from
who clicked what in each hour.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from clickstream_assets.books.table_schemas import DAILY
from clickstream_assets.events.urls import site_of
from clickstream_assets.metrics.hourly_metrics import COUNTS as HOURLY_COUNTS

SCOPES: Mapping[str, tuple[str, ...]] = {
    "url_country": ("url", "country"),
    "url": ("url",),
    "country": ("country",),
    "site": ("site",),
    "all": (),
}
"""What totals are of: the columns that tell one from the others."""
NAMES = ("site", "url", "country")
COUNTS = [name for name in HOURLY_COUNTS if name in {*DAILY.columns, "spent_ms"}]
"""Of what is counted of hours, that which days have a column for."""
Ints = NDArray[np.int64]
ROLLED_UP = pa.schema(
    [("scope", pa.string()), *((name, pa.string()) for name in NAMES), *((name, pa.int64()) for name in COUNTS)]
)
"""Totals; of the names, those are null that the scope does not have."""


def rolled_up(totals: pa.Table, people: pa.Table, scopes: Iterable[str] = SCOPES) -> pa.Table:
    """The totals of some scopes: :data:`ROLLED_UP`, in no order.

    ``totals`` (:data:`COUNTED`) are hours' metrics, whose unique users are left aside; ``people`` (:data:`PEOPLE`) who
    clicked what in these hours, each as often as in hours. Totals of different users, whole, add up.
    """
    pages, page = _pages(totals, people, with_site="site" in (scopes := [*scopes]))
    users = people.column("user_key").combine_chunks().dictionary_encode()
    user, most = users.indices.to_numpy().astype(np.int64), max(1, len(users.dictionary))
    pairs = pd.unique(page[len(totals) :] * most + user)
    page_of_pair, user_of_pair = np.divmod(pairs, most)
    counts = {name: _sums(len(pages), page[: len(totals)], totals.column(name).to_numpy()) for name in COUNTS}
    tables = []
    for scope in scopes:
        fields = SCOPES[scope]
        first, group = _grouped([pages.column(name) for name in fields], len(pages))
        sums = {name: _sums(len(first), group, of_pages) for name, of_pages in counts.items()}
        of_scope = pd.unique(group[page_of_pair] * most + user_of_pair)
        sums["unique_users"] = np.bincount(of_scope // most, minlength=len(first))
        names = {name: pages.column(name).take(pa.array(first)).combine_chunks() for name in fields}
        tables.append(_table(scope, len(first), names | sums))
    return pa.concat_tables(tables)


def _pages(totals: pa.Table, people: pa.Table, *, with_site: bool) -> tuple[pa.Table, Ints]:
    """Each url and country once, and the number of its row by row of both tables."""
    urls, countries = (_encoded(totals, people, name) for name in ("url", "country"))
    key = urls.indices.to_numpy().astype(np.int64) * max(1, len(countries.dictionary)) + countries.indices.to_numpy()
    _, first, page = np.unique(key, return_index=True, return_inverse=True)
    at = pa.array(first)
    of_url = urls.indices.take(at)
    columns = {"url": urls.dictionary.take(of_url), "country": countries.dictionary.take(countries.indices.take(at))}
    if with_site:
        columns["site"] = pa.array(map(site_of, urls.dictionary.to_pylist()), pa.string()).take(of_url)
    return pa.table(columns), page


def _grouped(columns: Sequence[pa.ChunkedArray], rows: int) -> tuple[Ints, Ints]:
    """The first row of each combination of values, and the number of its combination by row."""
    key = np.zeros(rows, np.int64)
    for column in columns:
        encoded = column.combine_chunks().dictionary_encode()
        key = key * max(1, len(encoded.dictionary)) + encoded.indices.to_numpy()
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    return first, group


def _encoded(totals: pa.Table, people: pa.Table, name: str) -> pa.DictionaryArray:
    """A column of both tables."""
    chunks = [*totals.column(name).chunks, *people.column(name).chunks]
    return pa.chunked_array(chunks, pa.string()).combine_chunks().dictionary_encode()


def _sums(groups: int, group: Ints, values: Ints) -> Ints:
    sums = np.zeros(groups, np.int64)
    np.add.at(sums, group, values)
    return sums


def _table(scope: str, rows: int, columns: Mapping[str, pa.Array | Ints]) -> pa.Table:
    arrays = [
        pa.repeat(pa.scalar(scope), rows) if of.name == "scope" else columns.get(of.name, pa.nulls(rows, of.type))
        for of in ROLLED_UP
    ]
    return pa.Table.from_arrays([pa.array(array) for array in arrays], schema=ROLLED_UP)


def added_up(parts: pa.Table) -> pa.Table:
    """Totals (:data:`ROLLED_UP`) of different users, and of different hours without users, as one row for each."""
    names = ["scope", *NAMES]
    sums = parts.group_by(names, use_threads=False).aggregate([(name, "sum") for name in COUNTS])
    return sums.rename_columns([name.removesuffix("_sum") for name in sums.column_names]).select(ROLLED_UP.names)
