"""``df.write.format("elasticsearch")``, on elasticsearch-py's bulk helper.

Options: ``url``. The columns ``_index`` and ``_id`` say where a document goes; all others are its source, nulls
included. Written by id, so a task that runs again writes the same documents.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from elasticsearch import Elasticsearch
from elasticsearch.helpers import streaming_bulk
from elasticsearch.serializer import OrjsonSerializer
from pyspark.sql.datasource import DataSource, DataSourceArrowWriter, WriterCommitMessage
from pyspark.sql.types import StructType

_CHUNK = 2_000
_RETRIES = 6
_ANSWER = "errors,items.*.status,items.*.error"
"""What the answer to a bulk request is to say of each document: not where it is, which we said."""


class ElasticsearchDataSource(DataSource):
    """Indices of an Elasticsearch cluster."""

    @classmethod
    def name(cls) -> str:
        """``elasticsearch``."""
        return "elasticsearch"

    def writer(self, schema: StructType, overwrite: bool) -> DataSourceArrowWriter:
        """Index documents; ``overwrite`` is not supported, a document replaces the one of its id."""
        if overwrite:
            raise ValueError("the elasticsearch source appends: use mode('append')")
        return ElasticsearchWriter(dict(self.options))


@dataclass
class DocumentsWritten(WriterCommitMessage):
    """Documents that one task indexed."""

    documents: int


class ElasticsearchWriter(DataSourceArrowWriter):
    """Arrow batches to bulk requests."""

    def __init__(self, options: dict[str, str]) -> None:
        self._options = options

    def write(self, iterator: Iterator[pa.RecordBatch]) -> WriterCommitMessage:
        """Index every row; raises BulkIndexError for a document that the mapping refuses."""
        with Elasticsearch(
            self._options["url"],
            request_timeout=60,
            max_retries=_RETRIES,
            retry_on_timeout=True,
            serializer=OrjsonSerializer(),
        ) as es:
            done = streaming_bulk(es, _actions(iterator), chunk_size=_CHUNK, max_retries=_RETRIES, filter_path=_ANSWER)
            return DocumentsWritten(sum(1 for _ in done))


def _actions(batches: Iterator[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
    for batch in batches:
        for row in batch.to_pylist():
            yield {"_index": row.pop("_index"), "_id": row.pop("_id"), "_source": row}
