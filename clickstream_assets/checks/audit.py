"""The audit: hours computed again from the layer below each, and compared with what is stored, row by row.

Nothing is written. What differs is named, and its hour doubted, so that the sensor has it computed whole.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING

from clickstream_assets.events.url_limits import NO_LIMITS, UrlLimits
from clickstream_assets.stores.elasticsearch.resource import ElasticsearchResource
from clickstream_assets.stores.geoip.resource import GeoIPResource
from clickstream_assets.stores.spark.resource import SparkResource

if TYPE_CHECKING:
    from clickstream_assets.books.books import Books


@dataclass(frozen=True, slots=True)
class Audit:
    """What computing again needs."""

    spark: SparkResource
    geoip: GeoIPResource
    elasticsearch: ElasticsearchResource
    limits: UrlLimits = NO_LIMITS

    def differences(self, asset: str, books: "Books", hours: Iterable[int]) -> Mapping[int, str]:
        """By hour, in words, what differs in an asset; hours in which all is as it should be are left out."""
        look = {"enriched_clicks": self._enriched, "url_country_metrics": self._metrics, "es_index": self._documents}
        return {hour: words for hour, words in look[asset](books, list(hours)).items() if words}

    def _enriched(self, books: "Books", hours: list[int]) -> Mapping[int, str]:
        from clickstream_assets.enrich.enriching import audit

        return {
            hour: _named(len(result.parts), "blocks are not those of the rows", [])
            + _named(result.rows, "rows are not enriched as they would be now", result.named)
            for hour, result in audit(self.spark.session, books, hours, self.geoip.rules()).items()
        }

    def _metrics(self, books: "Books", hours: list[int]) -> Mapping[int, str]:
        from clickstream_assets.metrics.computing import compute

        computed, unfit = compute(self.spark.session, books, hours, "", hours, limits=self.limits, dry_run=True)
        words = {hour: "blocks that it is computed from are not what the ledger says" for hour in hours if unfit}
        return words | {
            hour: _named(result.written + result.deleted, "metrics are not what the blocks come to", result.named)
            for hour, result in computed.items()
        }

    def _documents(self, books: "Books", hours: list[int]) -> Mapping[int, str]:
        from clickstream_assets.index.documents import left_over
        from clickstream_assets.index.indexing import Target, index_whole

        target = Target(self.elasticsearch.url, self.elasticsearch.alias, int(time() * 1000), dry_run=True)
        at_most = sum(state.clicks or 0 for state in books.hours.read(hours).values())
        results = index_whole(self.spark.session, books, target, hours, at_most)
        with self.elasticsearch.client() as es:
            too_many = {hour: left_over(es, target.alias, books, hour) for hour in hours}
        return {
            hour: _named(result.written, "documents are not those of their metrics", result.named)
            + _named(len(too_many[hour]), "documents have no metrics", too_many[hour])
            for hour, result in results.items()
        }


def _named(count: int, what: str, examples: list[str]) -> str:
    if not count:
        return ""
    named = f" ({', '.join(examples[:3])}{', …' if count > 3 else ''})" if examples else ""
    return f"; the audit: {count} {what}{named}"
