"""``es_index``: the metrics as documents that dashboards query."""

from collections.abc import Iterator
from dataclasses import replace
from time import time
from typing import TYPE_CHECKING

import dagster as dg

from clickstream_assets.assets.at_a_glance import of_clicks
from clickstream_assets.assets.common import Work, add_row_counts, asset_spec, evaluate_behind, hourly_step, work_of
from clickstream_assets.assets.hours_index import tell_behind
from clickstream_assets.checks.es_index import checks
from clickstream_assets.events.hours import has_ended, key_of_hour
from clickstream_assets.settings import Settings
from clickstream_assets.stores.elasticsearch.resource import ElasticsearchResource
from clickstream_assets.stores.hbase.resource import HBaseResource
from clickstream_assets.stores.kafka.resource import KafkaResource
from clickstream_assets.stores.preflight import require_fit
from clickstream_assets.stores.spark.resource import SparkResource

if TYPE_CHECKING:
    from clickstream_assets.books.books import Books
    from clickstream_assets.index.indexing import Indexed

ASSET = "es_index"


def es_index(settings: Settings) -> dg.AssetsDefinition:
    return dg.asset(
        **hourly_step(ASSET, settings),
        **asset_spec(ASSET, settings),
        kinds={"spark", "elasticsearch"},
        description="One document for each hour, url and country behind the alias `clickstream-metrics`. "
        "Written, or deleted, is what changed in the metrics; an hour that has just ended, or that somebody doubts, is "
        "compared whole. What is said of each hour itself is behind the alias `clickstream-hours`.",
    )(_materialize)


def _materialize(
    context: dg.AssetExecutionContext,
    kafka: KafkaResource,
    hbase: HBaseResource,
    spark: SparkResource,
    elasticsearch: ElasticsearchResource,
    configured: dg.ResourceParam[Settings],
) -> Iterator[dg.MaterializeResult]:
    """Index what changed in the metrics, delete documents without a row, mark hours as up to date, tell of them."""
    from clickstream_assets.books.checkpoints import Checkpoints
    from clickstream_assets.evidence.overviews import documents_url, overviews
    from clickstream_assets.index import documents

    require_fit(elasticsearch)
    alias = elasticsearch.alias
    with hbase.books() as books, elasticsearch.client() as es:
        now_ms = int(time() * 1000)
        work = _with_those_that_close(work_of(context, ASSET, books), now_ms)
        states = work.states
        if not documents.indices_are_current(es, alias, work.hours):
            documents.ensure_template(es, alias)
        written, lists = _indexed(books, spark, elasticsearch, work) if work.hours else ({}, {})
        counts = documents.count_documents(es, alias, states)
        deleted = documents.delete_left_over(es, alias, books, {hour: counts[hour] for hour in work.whole})
        _mark(books, work, now_ms)
        Checkpoints(books).forget(lists)
        seen = overviews(es, alias, states)
    add_row_counts(context, {hour: count - deleted.get(hour, 0) for hour, count in counts.items()})
    for hour in states:
        overview = of_clicks(hour, seen[hour], documents_url(elasticsearch.url, alias, hour))
        context.add_asset_metadata(overview, partition_key=key_of_hour(hour))
    count = sum(indexed.written for indexed in written.values())
    context.add_asset_metadata({"documents_written": count, "documents_left_over": sum(deleted.values())})
    yield dg.MaterializeResult()
    done = [*work.hours, *work.held]
    evaluate_behind(context, checks, done, work.new({}), hbase, elasticsearch, configured)
    tell_behind(context, done, states, kafka, hbase, elasticsearch, configured)


def _with_those_that_close(work: Work, now_ms: int) -> Work:
    """With the hours that have ended since their documents were written: each document says so, changed or not."""
    closing = {hour for hour, state in work.states.items() if state.closes and has_ended(hour, now_ms)}
    closing -= set(work.held)
    return replace(work, hours=sorted(closing.union(work.hours)), whole=sorted(closing.union(work.whole)))


def _mark(books: "Books", work: Work, now_ms: int) -> None:
    """Mark hours as up to date, and as closed where they had ended before a document was written."""
    from clickstream_assets.books.hour_states import CLOSED, INDEXED

    marks = {hour: work.states[hour].computed for hour in work.hours}
    books.hours.mark(INDEXED, marks)
    books.hours.mark(CLOSED, {hour: mark for hour, mark in marks.items() if has_ended(hour, now_ms)})


def _indexed(
    books: "Books", spark: SparkResource, elasticsearch: ElasticsearchResource, work: Work
) -> "tuple[dict[int, Indexed], dict[bytes, list[bytes]]]":
    """Write what changed in hours, and what differs in those that are looked at whole; the lists that are done."""
    from clickstream_assets.index.indexing import Target, index_changed, index_whole

    target = Target(elasticsearch.url, elasticsearch.alias, int(time() * 1000))
    with spark.alone(elasticsearch.alias) as session:
        written, lists = index_changed(session, books, target, work.hours)
        at_most = sum(work.states[hour].clicks or 0 for hour in work.whole)  # a metric has one at least
        return written | index_whole(session, books, target, work.whole, at_most), lists
