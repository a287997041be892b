"""From enriched clicks to clicks, users and time spent by hour, url and country (docs/contract.md), on Spark."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasketches import hll_sketch, hll_union
from numpy.typing import NDArray

from clickstream_assets.books.blocks import CLICK, LEAVE
from clickstream_assets.events.hours import HOUR_MS, TIMEOUT_MS
from clickstream_assets.events.url_limits import ALL_URLS, CountedUrls
from clickstream_assets.metrics.time_spent import UNKNOWN, time_spent_ms
from clickstream_assets.metrics.url_bound import named

SKETCH_LG_K = 12
"""Spark's default size of a sketch: 4,096 registers."""
COUNTED = pa.schema(
    [
        ("url", pa.string()),
        ("country", pa.string()),
        ("clicks", pa.int64()),
        ("unique_users", pa.int64()),
        ("measured_views", pa.int64()),
        ("spent_ms", pa.int64()),
    ]
)
"""What is counted of an hour's url and country."""
COUNTS = COUNTED.names[2:]
CHANGES = COUNTED.append(pa.field("users_sketch", pa.binary()))
"""What events add to it (views and times may shrink), and a sketch of the users that are new to it, if any are."""
PEOPLE = pa.schema([("url", pa.string()), ("country", pa.string()), ("user_key", pa.string())])
"""Who clicked what, each once: what unique users of any span and of any group of urls are counted from."""


class Changes(NamedTuple):
    """What new events add to an hour's metrics."""

    counts: pa.Table
    """By url and country: :data:`CHANGES`."""
    people: pa.Table
    """The users that are new to each url and country: :data:`PEOPLE`."""


def changes(events: pa.Table, is_new: NDArray[np.bool_], hour: int, url_names: CountedUrls = ALL_URLS) -> Changes:
    """What the new ones among some events add to an hour's metrics.

    ``events`` (:data:`blocks.CLICKS`, in any order) are all that the users of the new ones did in the hour, and in the
    half hour behind it that time spent looks into. All counts are of whole users, so those of different users add up.
    If all are new, the result is what they count. Time is spent on the urls that were sent, whatever they count as by
    ``url_names``.
    """
    wanted = pc.and_(
        pc.invert(events.column("bot")), pc.less(events.column("time_ms"), (hour + 1) * HOUR_MS + TIMEOUT_MS)
    )
    is_new = is_new[wanted.to_numpy()]
    events = events.filter(wanted).combine_chunks()
    people, pages = _encoded(events.column("user_key")), _encoded(_counted_pages(events, url_names))
    of_events = _Numbered(
        people.indices.to_numpy().astype(np.int64), pages.indices.to_numpy().astype(np.int64), events, hour
    )
    after = of_events.count(np.ones(len(is_new), np.bool_))
    before = of_events.count(~is_new)
    pairs = np.setdiff1d(after.pairs, before.pairs, assume_unique=True)
    page_of_pair, user_of_pair = np.divmod(pairs, max(1, of_events.users))
    users = np.bincount(page_of_pair, minlength=of_events.pages)
    columns = [after.clicks - before.clicks, users, after.views - before.views, after.spent_ms - before.spent_ms]
    changed = np.flatnonzero(np.any(columns, axis=0))
    starts, ends = (np.searchsorted(page_of_pair, changed, side) for side in ("left", "right"))
    names, user_keys = pages.dictionary.take(pa.array(changed)).to_pylist(), people.dictionary.to_pylist()
    sketches = [
        sketch_of(user_keys[user] for user in user_of_pair[start:end].tolist()) if end > start else None
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    ]
    countries, urls = zip(*(name.split("|", 1) for name in names), strict=True) if names else ((), ())
    counted = [pa.array(column[changed].astype(np.int64)) for column in columns]
    arrays = [pa.array(urls, pa.string()), pa.array(countries, pa.string()), *counted, pa.array(sketches, pa.binary())]
    counts = pa.Table.from_arrays(arrays, schema=CHANGES)
    of_pair = counts.select(["url", "country"]).take(pa.array(np.searchsorted(changed, page_of_pair)))
    user_key = people.dictionary.take(pa.array(user_of_pair))
    return Changes(counts, of_pair.append_column("user_key", user_key).cast(PEOPLE))


def in_row(counted: Mapping[str, Any]) -> dict[str, Any]:
    """What is counted, whatever of, as rows have it: with the time spent in seconds, in all and on average."""
    values, seconds = {name: value for name, value in counted.items() if name != "spent_ms"}, counted["spent_ms"] / 1000
    return {**values, "time_spent_seconds": seconds, "average_time_spent": averaged(seconds, counted["measured_views"])}


def averaged(seconds: float, views: int) -> float | None:
    """Time spent per measured view; None where none is."""
    return seconds / views if views else None


def sketch_of(users: Iterable[str]) -> bytes:
    """A mergeable sketch of user keys, as Spark's ``hll_sketch_agg`` makes it."""
    sketch = hll_sketch(SKETCH_LG_K)
    for user in users:
        sketch.update(user)
    return sketch.serialize_updatable()


def estimate_of(*sketches: bytes) -> float:
    """How many users sketches hold together, by what they hold alone; raises ValueError for no sketch."""
    return float(union_of(sketches).get_estimate())


def union_of(sketches: Iterable[bytes]) -> hll_union:
    """Raises ValueError for no sketch."""
    union = hll_union(SKETCH_LG_K)
    for sketch in sketches:
        union.update(to_sketch(sketch))
    return union


def to_sketch(stored: bytes) -> hll_sketch:
    """A sketch as it is stored; raises ValueError for what is none: cut short, changed by hand."""
    try:
        if stored[0] == _OF_A_LIST and stored[6] > _LISTED:  # the library would write behind its end
            raise ValueError("a list of more than it has room for")
        return hll_sketch.deserialize(stored)
    except (IndexError, MemoryError, RuntimeError) as error:
        raise ValueError(str(error)) from error


_OF_A_LIST, _LISTED = 2, 8
"""First byte of a sketch that lists its users still, and how many it lists at most, of which the seventh tells."""


def pages_of(table: pa.Table) -> pa.ChunkedArray:
    """Url and country of each row as one text."""
    # A country has no "|".
    return pc.binary_join_element_wise(table.column("country"), table.column("url"), "|")


def _counted_pages(events: pa.Table, url_names: CountedUrls) -> pa.ChunkedArray:
    urls = named(events.column("url"), url_names)
    return pages_of(pa.table({"url": urls, "country": events.column("country")}))


def _encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    return column.combine_chunks().dictionary_encode()


@dataclass(frozen=True, slots=True)
class _Counts:
    """By number of a page (url and country)."""

    clicks: NDArray[np.int64]
    views: NDArray[np.int64]
    spent_ms: NDArray[np.int64]
    pairs: NDArray[np.int64]
    """Page and user as one number, each pair once, in order."""


class _Numbered:
    """Events whose users and pages are numbers."""

    def __init__(self, user: NDArray[np.int64], page: NDArray[np.int64], events: pa.Table, hour: int) -> None:
        self._user, self._page = user, page
        self.users, self.pages = int(user.max(initial=-1)) + 1, int(page.max(initial=-1)) + 1
        self._url = _encoded(events.column("url")).indices.to_numpy().astype(np.int64)
        self._time, self._kind = events.column("time_ms").to_numpy(), events.column("kind").to_numpy()
        self._engaged = events.column("engaged_ms").to_numpy()
        self._counts = (self._kind == CLICK) & (self._time // HOUR_MS == hour)
        self._order = np.lexsort((self._time, user))

    def count(self, among: NDArray[np.bool_]) -> _Counts:
        """What the events among which no others are add up to."""
        order = self._order[among[self._order]]
        kind = self._kind[order]
        spent = time_spent_ms(
            self._user[order],
            self._url[order],
            self._time[order],
            kind == CLICK,
            kind == LEAVE,
            self._engaged[order],
        )
        mine = self._counts[order]
        page, user, spent = self._page[order][mine], self._user[order][mine], spent[mine]
        known = spent != UNKNOWN
        pairs = np.unique(page * max(1, self.users) + user)
        spent_ms = np.zeros(self.pages, np.int64)
        np.add.at(spent_ms, page[known], spent[known])
        return _Counts(
            np.bincount(page, minlength=self.pages), np.bincount(page[known], minlength=self.pages), spent_ms, pairs
        )


MERGED_COLUMNS = ("clicks", "measured_views", "time_spent_seconds", "users_sketch")
"""What :func:`merged` puts together of hourly rows, in the order of :meth:`_PageSums.add`."""


@dataclass(slots=True)
class _PageSums:
    """A page's metrics over some hours."""

    clicks: int = 0
    measured_views: int = 0
    time_spent_seconds: float = 0.0
    users: hll_union = field(default_factory=lambda: hll_union(SKETCH_LG_K))

    def add(self, clicks: int, measured_views: int, time_spent_seconds: float, users_sketch: bytes) -> None:
        self.clicks += clicks
        self.measured_views += measured_views
        self.time_spent_seconds += time_spent_seconds
        self.users.update(to_sketch(users_sketch))


def merged(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Hourly metrics put together per url and country, most clicks first; unique users from the merged sketches.

    ``rows`` have url, country and :data:`MERGED_COLUMNS`. Raises KeyError where one lacks any, ValueError where a
    sketch is none.
    """
    pages: defaultdict[tuple[str, str], _PageSums] = defaultdict(_PageSums)
    for row in rows:
        pages[row["url"], row["country"]].add(*(row[name] for name in MERGED_COLUMNS))
    return [
        {
            "url": url,
            "country": country,
            "clicks": page.clicks,
            "unique_users": round(page.users.get_estimate()),
            "measured_views": page.measured_views,
            "time_spent_seconds": page.time_spent_seconds,
            "average_time_spent": averaged(page.time_spent_seconds, page.measured_views),
        }
        for (url, country), page in sorted(pages.items(), key=lambda item: (-item[1].clicks, item[0]))
    ]
