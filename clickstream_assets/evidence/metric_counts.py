"""What an hour's metrics say of themselves, counted in their table."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from clickstream_assets.books.blocks import place_of
from clickstream_assets.books.books import Books
from clickstream_assets.books.checkpoints import Checkpoints
from clickstream_assets.books.row_keys import contiguous, metrics_key_range
from clickstream_assets.books.table_schemas import METRICS
from clickstream_assets.events.hours import TIMEOUT_MS, hour_of_key
from clickstream_assets.events.url_limits import OTHER
from clickstream_assets.index.documents import GROUPED, SUMMED, Grouped, Totals, grouped
from clickstream_assets.stores.hbase.client import rows_per_call


def metric_totals(books: Books, hours: Iterable[int]) -> dict[int, Grouped]:
    """The rows of ``clickstream_metrics`` of each hour by country and by run, added up."""
    totals = grouped(hours)
    for hour, _, cells in _metrics(books, totals, (*GROUPED, *SUMMED)):
        row = Totals.of(1, {name: float(cells[name]) for name in SUMMED if name in cells})
        for name, of_value in totals[hour].items():
            value = cells[name].decode()
            of_value[value] = of_value.get(value, Totals()) + row
    return totals


def computed_totals(books: Books, hours: Iterable[int]) -> dict[int, Grouped]:
    """What the metrics of each hour that has a checkpoint come to by country, as it says."""
    known = Checkpoints(books).read(hours)
    totals = grouped(known)
    for hour, checkpoint in known.items():
        totals[hour][GROUPED[0]] = {country: Totals(*sums) for country, sums in checkpoint.sums.by_country.items()}
    return totals


@dataclass(slots=True)
class MetricCounts:
    """Rows of one hour of ``clickstream_metrics``."""

    rows: int = 0
    clicks: int = 0
    urls: int = 0
    """Distinct ones."""
    other_clicks: int = 0
    """Of the clicks, those on urls that do not count by name."""
    contradictions: list[str] = field(default_factory=list)
    """In words, the metrics that contradict themselves (docs/contract.md, "Metrics"), by the ids of their documents: a
    url is a producer's text, and what checks say goes to chat programs, which make links of such."""


_METRIC_CELLS = {METRICS.columns[name].key: name for name in ("url", "country", *SUMMED, "average_time_spent")}


def count_metrics(books: Books, hours: Iterable[int]) -> dict[int, MetricCounts]:
    """Rows of each hour, their clicks, and whether each makes sense."""
    counts = {hour: MetricCounts() for hour in hours}
    urls: set[bytes] = set()
    for hour, key, cells in _metrics(books, counts, tuple(_METRIC_CELLS.values())):
        of_hour = counts[hour]
        if not of_hour.rows:
            urls = set()  # rows come hour by hour: those of one are held at a time
        urls.add(cells.get("url", b""))
        of_hour.rows, of_hour.urls = of_hour.rows + 1, len(urls)
        clicks = int(cells.get("clicks", b"0"))
        of_hour.clicks += clicks
        of_hour.other_clicks += clicks if cells.get("url") == OTHER.encode() else 0
        of_hour.contradictions += _contradicting(key, cells)
    return counts


def count_new_metrics(books: Books, hours: Iterable[int]) -> dict[int, tuple[MetricCounts, int]]:
    """Of each hour what its checkpoint says, whether the rows that changed make sense, and the clicks of its blocks.

    Hours without a checkpoint are left out.
    """
    counts, checkpoints = {}, Checkpoints(books)
    known = checkpoints.read(hours)
    parts = books.ledger.parts(known)
    for hour, checkpoint in known.items():
        sums = checkpoint.sums
        of_hour = MetricCounts(sums.rows, sums.clicks, sums.urls, sums.other_clicks)
        for keys in checkpoints.changed(hour):
            rows = books.hbase.get(books.tables.metrics, keys, list(_METRIC_CELLS))
            for key in keys:
                cells = {_METRIC_CELLS[cell]: value for cell, value in rows.get(key, {}).items()}
                of_hour.contradictions += _contradicting(key, cells) if cells else ()
        clicks = sum(
            part.block.clicks for part in parts[hour] if part.block and place_of(part, hour) in checkpoint.covered
        )
        counts[hour] = of_hour, clicks
    return counts


def _contradicting(key: bytes, cells: Mapping[str, bytes]) -> list[str]:
    """What is wrong about a metric, after the id of its document; nothing if all is right."""
    document = key.partition(b"|")[2].decode()
    if missing := [name for name in ("url", "country", *SUMMED) if name not in cells]:
        return [f"{document}: without {', '.join(missing)}"]
    contradictions = _contradictions(cells)
    return [f"{document}: {', '.join(contradictions)}"] if contradictions else []


def _contradictions(cells: Mapping[str, bytes]) -> list[str]:
    clicks, users, views = (int(cells[name]) for name in SUMMED[:3])
    seconds, average = float(cells["time_spent_seconds"]), cells.get("average_time_spent")
    sentences = []
    if not 1 <= users <= clicks:
        sentences.append(f"{users} unique users of {clicks} clicks")
    if not 0 <= views <= clicks:
        sentences.append(f"{views} measured views of {clicks} clicks")
    if not 0 <= seconds * 1000 <= views * TIMEOUT_MS:
        sentences.append(f"{seconds} s spent in {views} measured views")
    if (average is None) != (views == 0) or (average is not None and float(average) != seconds / views):
        sentences.append(f"an average of {average.decode() if average else None} s for {seconds} s in {views} views")
    return sentences


def _metrics(books: Books, hours: Iterable[int], names: Sequence[str]) -> Iterator[tuple[int, bytes, dict[str, bytes]]]:
    """Hour, key and named cells of each row of ``clickstream_metrics`` in ``hours``."""
    keys = {METRICS.columns[name].key: name for name in names}
    batch_rows = rows_per_call(METRICS.row_bytes(*names))
    for first, last in contiguous(hours):
        for key, cells in books.hbase.scan(
            books.tables.metrics, *metrics_key_range(first, last), list(keys), batch_rows=batch_rows
        ):
            hour = hour_of_key(key.partition(b"|")[0].decode())
            yield hour, key, {keys[cell]: value for cell, value in cells.items()}
