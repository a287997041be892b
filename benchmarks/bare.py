"""The yardsticks: what happybase and elasticsearch-py do with the same rows and documents, and nothing else."""

from collections.abc import Iterable, Mapping, Sequence
from time import perf_counter
from typing import Any

import happybase
from elasticsearch import Elasticsearch
from elasticsearch.helpers import bulk

from benchmarks.statistics import Timing

Rows = Sequence[tuple[bytes, Mapping[bytes, bytes]]]
"""Row keys and cells."""

_ROWS_PER_BATCH = 2_000  # larger ones are no faster
_ROWS_PER_FETCH = 5_000
_DOCUMENTS_PER_REQUEST = 2_000


def put_rows(connection: happybase.Connection, table: str, rows: Rows) -> Timing:
    """Put rows in the order given, over one connection."""
    store = connection.table(table)
    begun = perf_counter()
    for start in range(0, len(rows), _ROWS_PER_BATCH):
        batch = store.batch()
        for key, cells in rows[start : start + _ROWS_PER_BATCH]:
            batch.put(key, cells)
        batch.send()
    return Timing(len(rows), perf_counter() - begun)


def scan_rows(
    connection: happybase.Connection, table: str, ranges: Iterable[tuple[bytes, bytes]], columns: Sequence[bytes]
) -> Timing:
    """Scan key ranges one after the other, over one connection."""
    store = connection.table(table)
    count, begun = 0, perf_counter()
    for start, stop in ranges:
        for _ in store.scan(row_start=start, row_stop=stop, columns=columns, batch_size=_ROWS_PER_FETCH):
            count += 1
    return Timing(count, perf_counter() - begun)


def index_documents(es: Elasticsearch, index: str, documents: Sequence[tuple[str, Mapping[str, Any]]]) -> Timing:
    """Index documents (id and source) in bulk, and make them visible."""
    begun = perf_counter()
    actions = ({"_index": index, "_id": identity, "_source": source} for identity, source in documents)
    bulk(es, actions, chunk_size=_DOCUMENTS_PER_REQUEST)
    es.indices.refresh(index=index)
    return Timing(len(documents), perf_counter() - begun)
