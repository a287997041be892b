"""An hour at a glance as metadata of its materialization: pictures, a table, links."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from clickstream_assets.events.hours import rfc3339_of_hour
from clickstream_assets.evidence.pictures import bars, by_hour, shorten

if TYPE_CHECKING:
    from clickstream_assets.evidence.overviews import HourOverview, UrlFigures
    from clickstream_assets.ingest.ingest_report import IngestReport

_LONGEST_URL = 60
_TO_UNIT = "\N{NO-BREAK SPACE}"  # between a figure and its unit, which a narrow column would put on two lines
# The url stands last: however long, it pushes no figure out of sight.
_TOP_URLS = dg.TableSchema(
    [
        dg.TableColumn("clicks", "int"),
        dg.TableColumn("share", "%"),
        dg.TableColumn("average time", "s"),
        dg.TableColumn("url"),
    ]
)

_OFFSET_RANGES = dg.TableSchema(
    [
        dg.TableColumn("Kafka partition", "int"),
        dg.TableColumn("first offset", "int"),
        dg.TableColumn("end (not included)", "int"),
        dg.TableColumn("committed", "int"),
    ]
)


def of_ingestion(report: "IngestReport") -> dict[str, Any]:
    """What a run made of its messages, and the exact offset ranges it read, as a table."""
    metadata: dict[str, Any] = report.metadata()
    committed = metadata.pop("committed")
    rows = [
        dg.TableRecord(
            {
                "Kafka partition": int(partition),
                "first offset": first,
                "end (not included)": end,
                "committed": committed.get(partition),
            }
        )
        for partition, ranges in metadata["offset_ranges"].items()
        for first, end in ranges
    ]
    return metadata | {"offset_ranges": dg.MetadataValue.table(rows, _OFFSET_RANGES)}


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
        metadata["top_urls"] = dg.MetadataValue.table([_record(top, seen.clicks) for top in seen.urls], _TOP_URLS)
    metadata["documents"] = dg.MetadataValue.url(documents_url)
    return metadata


def _record(top: "UrlFigures", clicks: int) -> dg.TableRecord:
    spent = top.average_time_spent
    return dg.TableRecord(
        {
            "clicks": top.clicks,
            "share": f"{100 * top.clicks / clicks:.1f}{_TO_UNIT}%",
            "average time": "unknown" if spent is None else f"{spent:.1f}{_TO_UNIT}s",
            "url": shorten(top.url, _LONGEST_URL),
        }
    )


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
