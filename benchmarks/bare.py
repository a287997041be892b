"""The yardsticks: what happybase and elasticsearch-py do with the same rows and documents, and nothing else."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from time import perf_counter
from typing import Any

import happybase
from elasticsearch import Elasticsearch
from elasticsearch.helpers import bulk

from benchmarks.statistics import Timing

Rows = Sequence[tuple[bytes, Mapping[bytes, bytes]]]
"""Row keys and cells."""

_ROWS_PER_BATCH = 2_000  # larger ones are no faster
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


def put_rows_by_two(host: str, port: int, table: str, rows: Rows) -> Timing:
    """Put rows over two connections at a time, half of them each."""
    half = len(rows) // 2
    with (
        closing(happybase.Connection(host, port, timeout=60_000)) as one,
        closing(happybase.Connection(host, port, timeout=60_000)) as other,
        ThreadPoolExecutor(2) as threads,
    ):
        begun = perf_counter()
        list(threads.map(put_rows, (one, other), (table, table), (rows[:half], rows[half:])))
        return Timing(len(rows), perf_counter() - begun)


def index_documents(es: Elasticsearch, index: str, documents: Sequence[tuple[str, Mapping[str, Any]]]) -> Timing:
    """Index documents (id and source) in bulk, and make them visible."""
    begun = perf_counter()
    actions = ({"_index": index, "_id": identity, "_source": source} for identity, source in documents)
    bulk(es, actions, chunk_size=_DOCUMENTS_PER_REQUEST)
    es.indices.refresh(index=index)
    return Timing(len(documents), perf_counter() - begun)
