"""``df.write.format("elasticsearch")``, on elasticsearch-py's bulk helper.

Options: ``url``, ``unless_equal``. The columns ``_index`` and ``_id`` say where a document goes; all others are its
source, nulls included. Written by id, so a task that runs again writes the same documents.

``unless_equal`` (JSON: what a search takes as ``docvalue_fields``: ``[{"field": …}, …]``, dates with a ``format``): a
row is written only if the document of its id is missing or has another value in one of them. Dates are compared as
text, so the format must spell them as the rows do; null and missing are equal. A search sees what was refreshed, so
refresh first. Without fields every row is written, and so it is where the index can't be asked for them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from json import dumps, loads
from typing import Any

import pyarrow as pa
from elasticsearch import BadRequestError, Elasticsearch
from elasticsearch.helpers import streaming_bulk
from elasticsearch.serializer import OrjsonSerializer
from pyspark.sql.datasource import DataSource, DataSourceArrowWriter, WriterCommitMessage
from pyspark.sql.types import StructType

_CHUNK, _CHUNK_BYTES = 2_000, 4 << 20
"""Documents in one request, at most, and their bytes."""
_RETRIES = 6
_ANSWER = "errors,items.*.status,items.*.error"
"""What the answer to a bulk request is to say of each document: not where it is, which we said."""
_FOUND = "hits.hits._id,hits.hits.fields"


def options(url: str, unless_equal: Sequence[Mapping[str, str]] = ()) -> dict[str, str]:
    """The options of a write, spelled as Spark wants them."""
    return {"url": url, "unless_equal": dumps(list(unless_equal))}


class ElasticsearchDataSource(DataSource):
    @classmethod
    def name(cls) -> str:
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
    def __init__(self, options: dict[str, str]) -> None:
        self._options = options

    def write(self, iterator: Iterator[pa.RecordBatch]) -> WriterCommitMessage:
        """Index the rows, or those that differ; raises BulkIndexError for a document that the mapping refuses."""
        fields = loads(self._options.get("unless_equal", "[]"))
        with Elasticsearch(
            self._options["url"],
            request_timeout=60,
            max_retries=_RETRIES,
            retry_on_timeout=True,
            serializer=OrjsonSerializer(),
        ) as es:
            rows = (row for batch in iterator for row in batch.to_pylist())
            actions = map(_action, _differing(es, rows, fields) if fields else rows)
            done = streaming_bulk(
                es,
                actions,
                chunk_size=_CHUNK,
                max_chunk_bytes=_CHUNK_BYTES,
                max_retries=_RETRIES,
                filter_path=_ANSWER,
            )
            return DocumentsWritten(sum(1 for _ in done))


def _action(row: dict[str, Any]) -> dict[str, Any]:
    return {"_index": row.pop("_index"), "_id": row.pop("_id"), "_source": row}


def _differing(
    es: Elasticsearch, rows: Iterator[dict[str, Any]], fields: Sequence[Mapping[str, str]]
) -> Iterator[dict[str, Any]]:
    """The rows whose documents are missing or have another value in one of ``fields``."""
    names = [(field["field"], "format" in field) for field in fields]
    while chunk := list(islice(rows, _CHUNK)):
        for index, of_index in groupby(chunk, lambda row: row["_index"]):
            wanted = {row["_id"]: row for row in of_index}
            stored = _stored(es, index, list(wanted), fields)
            for doc_id, row in wanted.items():
                # As a search gives it: of each field a list of all values, of null no field.
                as_stored = {
                    name: [str(value) if is_text else value]
                    for name, is_text in names
                    if (value := row[name]) is not None
                }
                if stored.get(doc_id) != as_stored:
                    yield row


def _stored(
    es: Elasticsearch, index: str, ids: list[str], fields: Sequence[Mapping[str, str]]
) -> dict[str, dict[str, Any]]:
    """By id, the values of ``fields`` of the documents that there are; of an index that is not there, none."""
    try:
        answer = _search(es, index, ids, fields)
    except BadRequestError:  # mapped so that it can't be asked for these fields: nothing is known of its documents
        return {}
    return {hit["_id"]: hit.get("fields", {}) for hit in answer.get("hits", {}).get("hits", ())}


def _search(es: Elasticsearch, index: str, ids: list[str], fields: Sequence[Mapping[str, str]]) -> Mapping[str, Any]:
    return es.search(
        index=index,
        ignore_unavailable=True,
        query={"ids": {"values": ids}},
        size=len(ids),
        source=False,
        docvalue_fields=fields,
        sort=["_doc"],
        track_total_hits=False,
        filter_path=_FOUND,
    ).body
