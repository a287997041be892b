"""Which urls of an hour count by name where ``CLICKSTREAM_MAX_URLS_PER_HOUR`` bounds how many do.

Those with most clicks in the hour, over all countries: a rule over all of the hour's events, in whatever order they
came.
"""

import pyarrow as pa
import pyarrow.compute as pc

from clickstream_assets.books.blocks import CLICK
from clickstream_assets.events.hours import HOUR_MS
from clickstream_assets.events.url_limits import OTHER, CountedUrls, UrlLimits, digest_of

URL_CLICKS = pa.schema([("url", pa.string()), ("clicks", pa.int64())])
"""Urls and how often people clicked them."""


def clicks_by_url(events: pa.Table, hour: int) -> pa.Table:
    """:data:`URL_CLICKS` of some events (:data:`blocks.CLICKS`) in an hour."""
    is_click = pc.and_(pc.equal(events.column("kind"), CLICK), pc.invert(events.column("bot")))
    begin_ms = hour * HOUR_MS
    time_ms = events.column("time_ms")
    is_in_hour = pc.and_(pc.greater_equal(time_ms, begin_ms), pc.less(time_ms, begin_ms + HOUR_MS))
    urls = events.filter(pc.and_(is_click, is_in_hour)).select(["url"])
    counts = urls.group_by("url", use_threads=False).aggregate([([], "count_all")])
    return counts.rename_columns(URL_CLICKS.names).cast(URL_CLICKS)


def digests(clicks: pa.Table, limits: UrlLimits) -> list[tuple[bytes, int]]:
    """The urls of hosts that count, each once, as digests, with their clicks."""
    sums = clicks.group_by("url", use_threads=False).aggregate([("clicks", "sum")])
    pairs = zip(sums.column("url").to_pylist(), sums.column("clicks_sum").to_pylist(), strict=True)
    return [(digest_of(url), count) for url, count in pairs if limits.takes_host_of(url)]


def named(urls: pa.ChunkedArray, counted: CountedUrls) -> pa.ChunkedArray:
    """What each of some urls counts as."""
    if counted.are_all:
        return urls
    encoded = urls.combine_chunks().dictionary_encode()
    names = pa.array(map(counted.name_of, encoded.dictionary.to_pylist()), pa.string())
    return pa.chunked_array([names.take(encoded.indices)])


def is_beyond(urls: pa.ChunkedArray, limits: UrlLimits) -> bool:
    """Whether these are more urls than count by name."""
    distinct = urls.unique()
    return bool(limits.most) and len(distinct.filter(pc.not_equal(distinct, OTHER))) > limits.most
