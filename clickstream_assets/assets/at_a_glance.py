"""An hour at a glance as metadata of its materialization: pictures, a table, links."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from clickstream_assets.books.offsets import joined
from clickstream_assets.events.hours import rfc3339_of_hour
from clickstream_assets.events.shown_text import printable
from clickstream_assets.evidence.pictures import bars, by_hour, shorten

if TYPE_CHECKING:
    from clickstream_assets.evidence.overviews import HourOverview, UrlFigures
    from clickstream_assets.ingest.ingestion import IngestReport

_LONGEST_URL = 60
_TO_UNIT = "\N{NO-BREAK SPACE}"  # between a figure and its unit, which a narrow column would put on two lines
# The url stands last: however long, it pushes no figure out of sight.
_TOP_URLS = {"clicks": "int", "share": "%", "average time": "s", "url": "string"}
_OFFSET_RANGES = dict.fromkeys(("Kafka partition", "first offset", "end (not included)", "committed"), "int")


def table(columns: Mapping[str, str], rows: Iterable[tuple[Any, ...]]) -> dg.TableMetadataValue:
    """Rows as a table; ``columns`` are names with types or units.

    The one place for what events say: Dagster shows cells as they are, and Markdown and bare text may become links.
    """
    schema = dg.TableSchema([dg.TableColumn(name, kind) for name, kind in columns.items()])
    return dg.MetadataValue.table([dg.TableRecord(dict(zip(columns, row, strict=True))) for row in rows], schema)


def of_ingestion(report: "IngestReport") -> dict[str, Any]:
    """What a run made of its messages, and the exact offset ranges it read, as a table."""
    ranges = (
        (partition, first, end, report.committed.get(partition))
        for partition, spans in report.ranges.items()
        for first, end in joined(spans)
    )
    return {
        **{name: getattr(report, name) for name in ("read", "kept", "new_rows", "duplicates", "dead_lettered")},
        "lost_to_retention": report.lost,
        "offsets_without_record": report.missing,
        "no_longer_in_kafka": report.unavailable,
        "logs_cut_back": len(report.cuts),
        "offset_ranges": table(_OFFSET_RANGES, ranges),
    }


def of_clicks(hour: int, seen: "HourOverview", documents_url: str) -> dict[str, dg.MetadataValue]:
    """Clicks by country, by hour and by url, and the search for the hour's documents."""
    metadata: dict[str, dg.MetadataValue] = {"clicks": dg.MetadataValue.int(seen.clicks)}
    if seen.clicks:
        countries = bars(f"Clicks by country, {_name(hour)}", seen.countries, seen.clicks)
        metadata["clicks_by_country"] = dg.MetadataValue.md(countries)
    if any(seen.day):
        day = by_hour("Clicks by hour", seen.day, _name(hour - len(seen.day) + 1), _name(hour))
        metadata["clicks_by_hour"] = dg.MetadataValue.md(day)
    if seen.urls:
        metadata["top_urls"] = table(_TOP_URLS, (_figures(top, seen.clicks) for top in seen.urls))
    metadata["documents"] = dg.MetadataValue.url(documents_url)
    return metadata


def _figures(top: "UrlFigures", clicks: int) -> tuple[int, str, str, str]:
    share = f"{100 * top.clicks / clicks:.1f}{_TO_UNIT}%"
    spent = "unknown" if top.average_time_spent is None else f"{top.average_time_spent:.1f}{_TO_UNIT}s"
    return top.clicks, share, spent, shorten(printable(top.url), _LONGEST_URL)


def of_refusals(hour: int, reasons: Mapping[str, int]) -> dict[str, dg.MetadataValue]:
    """The hour's dead letters by reason, most frequent first."""
    total = sum(reasons.values())
    if not total:
        return {}
    ordered = sorted(reasons.items(), key=lambda reason: (-reason[1], reason[0]))
    picture = bars(f"Refused messages by reason, {_name(hour)}", ordered, total)
    return {"refused_by_reason": dg.MetadataValue.md(picture)}


def _name(hour: int) -> str:
    """``2026-01-01 00:00 UTC``."""
    return f"{rfc3339_of_hour(hour)[:16].replace('T', ' ')} UTC"
