"""Elasticsearch: the cluster and the alias of the metrics."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from clickstream_assets.books.misfits import Misfit
    from clickstream_assets.stores.elasticsearch.new_indices import NewIndices

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
        """What is odd about the metrics' indices that are there already; None as in :class:`Behind`."""
        from clickstream_assets.index.aliases import metrics_indices

        return self.behind(metrics_indices(self.alias)).misfits()

    def behind(self, *wanted: "NewIndices") -> "Behind":
        """The indices of these aliases, to be looked at before something is written to them."""
        return Behind(self, wanted)


@dataclass(frozen=True)
class Behind:
    """The indices behind some aliases, as a store that may be unfit."""

    elasticsearch: ElasticsearchResource
    wanted: "tuple[NewIndices, ...]"

    def __repr__(self) -> str:
        return f"{self.elasticsearch!r} behind {', '.join(indices.alias for indices in self.wanted)}"

    def misfits(self) -> "list[Misfit] | None":
        """What is odd about those that are there already; None if Elasticsearch does not answer, or not that."""
        from elasticsearch import ApiError, TransportError

        from clickstream_assets.books.misfits import index_misfits

        with self.elasticsearch.quick_client() as es:
            try:
                return index_misfits(es, self.wanted, self.elasticsearch.url)
            except (ApiError, TransportError):
                return None
