"""Elasticsearch: the cluster and the alias of the metrics."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch
    from pyspark.sql import DataFrame


class ElasticsearchResource(dg.ConfigurableResource):
    """The cluster's address and the alias."""

    url: str
    alias: str

    def client(self) -> "Elasticsearch":
        """A client, to be closed by the caller."""
        from elasticsearch import Elasticsearch

        return Elasticsearch(self.url, request_timeout=60, max_retries=6, retry_on_timeout=True)

    def write(self, documents: "DataFrame", unless_equal: Sequence[Mapping[str, str]] = ()) -> None:
        """Index documents, each as its ``_index`` and ``_id`` say, or those of them that differ in some fields.

        See the source ``elasticsearch``.
        """
        from clickstream_assets.spark_sources.elasticsearch import options

        documents.write.format("elasticsearch").options(**options(self.url, unless_equal)).mode("append").save()
