"""Elasticsearch: the cluster and the alias of the metrics."""

from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from clickstream_assets.books.misfits import Misfit

_LOOK_SECONDS = 5


class ElasticsearchResource(dg.ConfigurableResource):
    """The cluster's address and the alias of the metrics."""

    url: str
    alias: str

    def client(self) -> "Elasticsearch":
        """A client, to be closed by the caller."""
        from clickstream_assets.stores.elasticsearch.client import elasticsearch_client

        return elasticsearch_client(self.url, request_timeout=60, max_retries=6, retry_on_timeout=True)

    def quick_client(self) -> "Elasticsearch":
        """One that gives up soon, to be closed by the caller: for who cannot wait."""
        from clickstream_assets.stores.elasticsearch.client import elasticsearch_client

        return elasticsearch_client(self.url, request_timeout=_LOOK_SECONDS, max_retries=0)

    def misfits(self) -> "list[Misfit] | None":
        """What is odd about the indices that are there already; None if Elasticsearch does not answer, or not that."""
        from elasticsearch import ApiError, TransportError

        from clickstream_assets.books.misfits import index_misfits
        from clickstream_assets.index.document_fields import ADDED, INDEX_MAPPING

        with self.quick_client() as es:
            try:
                return index_misfits(es, self.alias, INDEX_MAPPING, self.url, ADDED)
            except (ApiError, TransportError):
                return None
