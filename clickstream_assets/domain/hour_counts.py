"""What an hour holds, counted in the tables themselves: the checks' own eyes."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from clickstream_assets.clients.hbase import KEYS_ONLY, HBaseClient, RowMutation
from clickstream_assets.domain.click_event import CLICK_TYPES
from clickstream_assets.domain.documents import HourTotals
from clickstream_assets.domain.enrichment import BOT_DEVICE
from clickstream_assets.domain.hours import HOUR_MS, hour_of_key
from clickstream_assets.domain.ingestion import letter_key
from clickstream_assets.domain.ledger import Ledger
from clickstream_assets.domain.metrics import metrics_key_range
from clickstream_assets.domain.row_keys import contiguous, hour_of, key_ranges
from clickstream_assets.domain.table_schemas import CLICKS, METRICS

_TYPE, _DEVICE = CLICKS.columns["event_type"].key, CLICKS.columns["device"].key
_GEOIP, _RULES = CLICKS.columns["geoip_version"].key, CLICKS.columns["user_agent_version"].key


@dataclass(slots=True)
class ClickCounts:
    """Rows of one hour of ``clickstream_data``."""

    rows: int = 0
    enriched: int = 0
    human_clicks: int = 0
    """Enriched rows of a click type that are no bot's."""


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
    """Rows of each hour, how many of them are enriched, and how many of those count as clicks."""
    counts = {hour: ClickCounts() for hour in hours}
    click_types = {kind.encode() for kind in CLICK_TYPES}
    for ranges in key_ranges(counts):
        for start, stop in ranges:
            for rows in hbase.scan_batches(table, start, stop, (_TYPE, _DEVICE, _GEOIP, _RULES)):
                for row in rows:
                    count, cells = counts[hour_of(row.row)], row.columns
                    count.rows += 1
                    if _GEOIP in cells and _RULES in cells:
                        count.enriched += 1
                        is_bot = cells[_DEVICE].value == BOT_DEVICE.encode()
                        count.human_clicks += cells[_TYPE].value in click_types and not is_bot
    return counts


def count_letters(hbase: HBaseClient, table: str, ledger: Ledger, hour: int, first_hour: int) -> int:
    """Dead letters of an hour, found in the ranges that the ledger knows to hold some."""
    found = 0
    for share in ledger.shares(hour):
        if share.dead_lettered and (entry := ledger.at(share)):
            start, stop = (letter_key(entry.topic_id, entry.partition, at) for at in (entry.first, entry.end))
            for _, cells in hbase.scan(table, start, stop, (b"letter:record_time",)):
                found += max(int(cells[b"letter:record_time"]) // HOUR_MS, first_hour) == hour
    return found


def metric_totals(hbase: HBaseClient, table: str, hours: Iterable[int]) -> dict[int, HourTotals]:
    """Each hour's rows of ``clickstream_metrics`` added up; hours without any are left out."""
    names = ("clicks", "measured_views", "time_spent_seconds")
    columns = [METRICS.columns[name].key for name in names]
    sums: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for first, last in contiguous(hours):
        for key, cells in hbase.scan(table, *metrics_key_range(first, last), columns):
            total = sums[hour_of_key(key.split(b"|")[0].decode())]
            clicks, views, seconds = (cells[column] for column in columns)
            for at, value in enumerate((1, int(clicks), int(views), round(float(seconds) * 1000))):
                total[at] += value
    return {hour: HourTotals(*total) for hour, total in sums.items()}


def delete_left_over_metrics(hbase: HBaseClient, table: str, hours: Iterable[int], run_id: str) -> int:
    """Delete rows of ``clickstream_metrics`` of ``hours`` that ``run_id`` did not write; returns how many."""
    run = METRICS.columns["run_id"].key
    deleted = 0
    for first, last in contiguous(hours):
        rows = hbase.scan(table, *metrics_key_range(first, last), (run,))
        old = [RowMutation(key, {}, (b"metrics",)) for key, cells in rows if cells[run] != run_id.encode()]
        deleted += hbase.mutate(table, old)
    return deleted
