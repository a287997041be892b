"""What an hour holds, counted in the tables themselves: the checks' own eyes."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from clickstream_assets.clients.hbase import KEYS_ONLY, HBaseClient, RowMutation
from clickstream_assets.domain.click_event import CLICK_TYPES
from clickstream_assets.domain.documents import SUMMED, ByCountry, Totals
from clickstream_assets.domain.enrichment import BOT_DEVICE, OTHER, UNKNOWN_COUNTRY
from clickstream_assets.domain.enrichment import OUTPUT as ENRICHED
from clickstream_assets.domain.hours import hour_of_key, hour_of_letter
from clickstream_assets.domain.ledger import Entry
from clickstream_assets.domain.metrics import metrics_key_range
from clickstream_assets.domain.row_keys import contiguous, hour_of, key_ranges
from clickstream_assets.domain.settling import letter_key
from clickstream_assets.domain.table_schemas import CLICKS, METRICS
from clickstream_assets.domain.time_spent import TIMEOUT_MS

_KEYS = [CLICKS.columns[name].key for name in ("event_type", *ENRICHED)]
_TYPE, _COUNTRY, _BROWSER, _DEVICE, _GEOIP, _RULES = (
    CLICKS.columns[name].key
    for name in ("event_type", "country", "browser", "device", "geoip_version", "user_agent_version")
)
_ENRICHED_KEYS = frozenset(CLICKS.columns[name].key for name in ENRICHED)


@dataclass(slots=True)
class ClickCounts:
    """Rows of one hour of ``clickstream_data``."""

    rows: int = 0
    enriched: int = 0
    """Rows that have every column that enrichment writes."""
    human_clicks: int = 0
    """Enriched rows of a click type that are no bot's."""
    unknown_country: int = 0
    other_browser: int = 0
    versions: Counter[str] = field(default_factory=Counter)
    """Enriched rows by the versions, of GeoIP and of the user-agent rules, that enriched them."""


def count_rows(hbase: HBaseClient, table: str, hours: Iterable[int]) -> dict[int, int]:
    """Rows of each hour, by their keys alone."""
    counts = dict.fromkeys(hours, 0)
    for ranges in key_ranges(counts):
        for start, stop in ranges:
            for rows in hbase.scan_batches(table, start, stop, filter_string=KEYS_ONLY):
                for row in rows:
                    counts[hour_of(row.row)] += 1
    return counts


def count_clicks(hbase: HBaseClient, table: str, hours: Iterable[int]) -> dict[int, ClickCounts]:
    """Rows of each hour, and what enrichment made of them."""
    counts = {hour: ClickCounts() for hour in hours}
    click_types = {kind.encode() for kind in CLICK_TYPES}
    for ranges in key_ranges(counts):
        for start, stop in ranges:
            for rows in hbase.scan_batches(table, start, stop, _KEYS):
                for row in rows:
                    count, cells = counts[hour_of(row.row)], row.columns
                    count.rows += 1
                    if not cells.keys() >= _ENRICHED_KEYS:
                        continue
                    count.enriched += 1
                    is_bot = cells[_DEVICE].value == BOT_DEVICE.encode()
                    count.human_clicks += cells[_TYPE].value in click_types and not is_bot
                    count.unknown_country += cells[_COUNTRY].value == UNKNOWN_COUNTRY.encode()
                    count.other_browser += cells[_BROWSER].value == OTHER.encode()
                    count.versions[f"{cells[_GEOIP].value.decode()}, {cells[_RULES].value.decode()}"] += 1
    return counts


def count_letters(
    hbase: HBaseClient, table: str, entries: Iterable[Entry], hours: Iterable[int], first_hour: int
) -> dict[int, Counter[str]]:
    """Dead letters of each hour by reason, found in the ranges of ``entries``."""
    found: dict[int, Counter[str]] = {hour: Counter() for hour in hours}
    for entry in entries:
        start, stop = (letter_key(entry.topic_id, entry.partition, at) for at in (entry.first, entry.end))
        # Older records counted in the first partition there was then, which may be another one by now.
        first_then = min((*entry.dead_lettered_by_hour, *entry.mended_offsets), default=first_hour)
        for _, cells in hbase.scan(table, start, stop, (b"letter:record_time", b"letter:reason")):
            hour = hour_of_letter(int(cells[b"letter:record_time"]), first_then)
            if hour in found:
                found[hour][cells[b"letter:reason"].decode()] += 1
    return found


def metric_totals(hbase: HBaseClient, table: str, hours: Iterable[int]) -> ByCountry:
    """The rows of ``clickstream_metrics`` of each hour and country, added up."""
    found: ByCountry = {hour: {} for hour in hours}
    for hour, cells in _metrics(hbase, table, found, ("country", *SUMMED)):
        clicks, users, views, seconds = (cells[name] for name in SUMMED)
        row = Totals(1, int(clicks), int(users), int(views), round(float(seconds) * 1000))
        country = cells["country"].decode()
        found[hour][country] = found[hour].get(country, Totals()) + row
    return found


def metrics_out_of_bounds(hbase: HBaseClient, table: str, hours: Iterable[int]) -> dict[int, list[str]]:
    """By hour, in words, the metrics that contradict themselves (contract: "Metrics")."""
    found: dict[int, list[str]] = {hour: [] for hour in hours}
    for hour, cells in _metrics(hbase, table, found, ("url", "country", *SUMMED, "average_time_spent")):
        clicks, users, views = (int(cells[name]) for name in SUMMED[:3])
        seconds, average = float(cells["time_spent_seconds"]), cells.get("average_time_spent")
        wrong = []
        if not 1 <= users <= clicks:
            wrong.append(f"{users} unique users of {clicks} clicks")
        if not 0 <= views <= clicks:
            wrong.append(f"{views} measured views of {clicks} clicks")
        if not 0 <= seconds * 1000 <= views * TIMEOUT_MS:
            wrong.append(f"{seconds} s spent in {views} measured views")
        if (average is None) != (views == 0) or (average is not None and float(average) != seconds / views):
            wrong.append(f"an average of {average.decode() if average else None} s for {seconds} s in {views} views")
        if wrong:
            found[hour].append(f"{cells['url'].decode()} {cells['country'].decode()}: {', '.join(wrong)}")
    return found


def _metrics(
    hbase: HBaseClient, table: str, hours: Iterable[int], names: Sequence[str]
) -> Iterator[tuple[int, dict[str, bytes]]]:
    """Hour and named cells of each row of ``clickstream_metrics`` in ``hours``."""
    keys = {METRICS.columns[name].key: name for name in names}
    for first, last in contiguous(hours):
        for key, cells in hbase.scan(table, *metrics_key_range(first, last), list(keys)):
            yield hour_of_key(key.split(b"|")[0].decode()), {keys[cell]: value for cell, value in cells.items()}


def delete_left_over_metrics(hbase: HBaseClient, table: str, hours: Iterable[int], run_id: str) -> int:
    """Delete rows of ``clickstream_metrics`` of ``hours`` that ``run_id`` did not write; returns how many."""
    run = METRICS.columns["run_id"].key
    deleted = 0
    for first, last in contiguous(hours):
        rows = hbase.scan(table, *metrics_key_range(first, last), (run,))
        old = [RowMutation(key, {}, (b"metrics",)) for key, cells in rows if cells[run] != run_id.encode()]
        deleted += hbase.mutate(table, old)
    return deleted
