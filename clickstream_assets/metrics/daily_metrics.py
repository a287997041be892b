"""From hours' metrics by column to the totals of a span: by url and country, url, country, site, and in all.

Clicks, views and times of hours add up. Users do not: who came in several hours counts once, so they are counted from
who clicked what in each hour.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clickstream_assets.events.urls import site_of
from clickstream_assets.metrics.hourly_metrics import COUNTED, PEOPLE

SCOPES: Mapping[str, tuple[str, ...]] = {
    "url_country": ("url", "country"),
    "url": ("url",),
    "country": ("country",),
    "site": ("site",),
    "all": (),
}
"""What totals are of: the columns that tell one from the others."""
NAMES = ("site", "url", "country")
COUNTS = COUNTED.names[2:]
ROLLED_UP = pa.schema(
    [("scope", pa.string()), *((name, pa.string()) for name in NAMES), *((name, pa.int64()) for name in COUNTS)]
)
"""Totals; of the names, those are null that the scope does not have."""


def rolled_up(totals: pa.Table, people: pa.Table) -> pa.Table:
    """The totals of all scopes: :data:`ROLLED_UP`, in no order.

    ``totals`` (:data:`COUNTED`) are hours' metrics, whose unique users are left aside; ``people`` (:data:`PEOPLE`) who
    clicked what in these hours, each as often as in hours. Totals of different users, whole, add up.
    """
    columns = {name: _encoded(totals, people, name) for name in ("url", "country")}
    columns["site"] = _sites(columns["url"])
    users = people.column("user_key").combine_chunks().dictionary_encode()
    counts = [totals.column(name).to_numpy() for name in COUNTS]
    user, most = users.indices.to_numpy().astype(np.int64), max(1, len(users.dictionary))
    tables = []
    for scope, fields in SCOPES.items():
        key = np.zeros(len(totals) + len(people), np.int64)
        for name in fields:
            key = key * len(columns[name].dictionary) + columns[name].indices.to_numpy()
        _, first, group = np.unique(key, return_index=True, return_inverse=True)
        sums = {name: _sums(len(first), group[: len(totals)], of) for name, of in zip(COUNTS, counts, strict=True)}
        pairs = np.unique(group[len(totals) :] * most + user)
        sums["unique_users"] = np.bincount(pairs // most, minlength=len(first))
        names = {name: columns[name].take(pa.array(first)).cast(pa.string()) for name in fields}
        tables.append(_table(scope, len(first), names | sums))
    return pa.concat_tables(tables)


def _encoded(totals: pa.Table, people: pa.Table, name: str) -> pa.DictionaryArray:
    """A column of both tables."""
    chunks = [*totals.column(name).chunks, *people.column(name).chunks]
    return pa.chunked_array(chunks, pa.string()).combine_chunks().dictionary_encode()


def _sites(urls: pa.DictionaryArray) -> pa.DictionaryArray:
    sites = pa.array(map(site_of, urls.dictionary.to_pylist()), pa.string()).dictionary_encode()
    return pa.DictionaryArray.from_arrays(sites.indices.take(urls.indices), sites.dictionary)


def _sums(groups: int, group: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.int64]:
    sums = np.zeros(groups, np.int64)
    np.add.at(sums, group, values)
    return sums


def _table(scope: str, rows: int, columns: Mapping[str, pa.Array | NDArray[np.int64]]) -> pa.Table:
    arrays = [
        pa.repeat(pa.scalar(scope), rows) if of.name == "scope" else columns.get(of.name, pa.nulls(rows, of.type))
        for of in ROLLED_UP
    ]
    return pa.Table.from_arrays([pa.array(array) for array in arrays], schema=ROLLED_UP)


def no_totals() -> pa.Table:
    return COUNTED.empty_table()


def no_people() -> pa.Table:
    return PEOPLE.empty_table()


def added_up(parts: pa.Table) -> pa.Table:
    """Totals (:data:`ROLLED_UP`) of different users, and of different hours without users, as one row for each."""
    names = ["scope", *NAMES]
    sums = parts.group_by(names, use_threads=False).aggregate([(name, "sum") for name in COUNTS])
    return sums.rename_columns([name.removesuffix("_sum") for name in sums.column_names]).select(ROLLED_UP.names)
