"""The urls with most clicks of an hour that is computed in slices, found on Spark: each task has a few of its urls."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import pyarrow as pa

from clickstream_assets.books import blocks
from clickstream_assets.books.blocks import Place
from clickstream_assets.books.books import Books
from clickstream_assets.events.url_limits import ranked
from clickstream_assets.metrics.hour_tasks import HourTask, Unfit
from clickstream_assets.metrics.new_events import events_of
from clickstream_assets.metrics.url_bound import URL_CLICKS, clicks_by_url, digests
from clickstream_assets.stores.spark.tasks import ANSWER, answer, answers_of, in_tasks

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def ranked_urls(
    spark: "SparkSession", task: HourTask, books: Books, readers: Sequence[Sequence[Place]]
) -> Iterable[tuple[bytes, int]]:
    """Of the hour's urls those with most clicks, one more than count by name: some thousand digests."""
    clicks = in_tasks(spark, readers, partial(_read_urls, books, task), blocks.ddl(URL_CLICKS))
    of_tasks = clicks.repartition(task.slices, "url").mapInArrow(partial(_rank_urls, task), ANSWER)
    return chain.from_iterable(answers_of(of_tasks))


def _read_urls(books: Books, task: HourTask, of: Iterable[Place]) -> Iterator[pa.RecordBatch]:
    with books.hbase.another() as hbase, suppress(Unfit):  # of which the count itself tells
        yield from clicks_by_url(events_of(hbase, books.tables.blocks, task, of), task.hour).to_batches()


def _rank_urls(task: HourTask, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    of_task = digests(pa.Table.from_batches(list(batches), URL_CLICKS), task.counted.limits)
    yield answer(ranked(of_task)[: task.counted.limits.most + 1])
