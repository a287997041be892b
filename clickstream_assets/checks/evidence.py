"""What the checks of an asset look at: hours, in the books and in the tables. What several count, is counted once."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from clickstream_assets.resources.elasticsearch import ElasticsearchResource
from clickstream_assets.resources.hbase import HBaseResource
from clickstream_assets.settings import Settings

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from clickstream_assets.domain.books import Books
    from clickstream_assets.domain.hour_counts import ClickCounts, MetricCounts
    from clickstream_assets.domain.ledger import Entry, HourCounts, HourPart
    from clickstream_assets.domain.stale_hours import HourState


class Evidence:
    """Hours, the books on one connection, Elasticsearch, and the limits that checks warn beyond."""

    def __init__(
        self,
        hours: Sequence[int],
        books: "Books",
        limits: Settings,
        elasticsearch: ElasticsearchResource,
        *,
        is_followed: bool = False,
    ) -> None:
        self.hours, self.books, self.limits, self._elasticsearch = hours, books, limits, elasticsearch
        self.is_followed = is_followed
        """Whether someone has just materialized the hours, so that a run of the sensor follows."""
        self.states: dict[int, HourState] = books.hours.read(hours)
        """Of the hours, before any check looks."""

    @contextmanager
    def documents(self) -> "Iterator[tuple[Elasticsearch, str]]":
        """A connection to Elasticsearch, and the alias of the documents."""
        with self._elasticsearch.client() as es:
            yield es, self._elasticsearch.alias

    @cached_property
    def parts(self) -> "Mapping[int, list[HourPart]]":
        """By hour, what each ledger entry holds of it."""
        return self.books.ledger.parts(self.hours)

    @cached_property
    def entries(self) -> "Mapping[HourPart, Entry | None]":
        """The entry of each part; None if it is gone."""
        return self.books.ledger.entries_of(part for of_hour in self.parts.values() for part in of_hour)

    @cached_property
    def counts(self) -> "Mapping[int, HourCounts]":
        from clickstream_assets.domain.ledger import counts_of

        return counts_of(self.parts)

    @cached_property
    def clicks(self) -> "Mapping[int, ClickCounts]":
        from clickstream_assets.domain.hour_counts import count_clicks

        return count_clicks(self.books, self.hours)

    @cached_property
    def metrics(self) -> "Mapping[int, MetricCounts]":
        from clickstream_assets.domain.hour_counts import count_metrics

        return count_metrics(self.books, self.hours)


@contextmanager
def evidence_of(
    hours: Sequence[int],
    hbase: HBaseResource,
    elasticsearch: ElasticsearchResource,
    limits: Settings,
    *,
    is_followed: bool = False,
) -> Iterator[Evidence]:
    """The evidence of some hours, on a connection that ends with the block."""
    with hbase.books() as books:
        yield Evidence(hours, books, limits, elasticsearch, is_followed=is_followed)
