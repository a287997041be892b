"""What the page shows, as plain values, read from Elasticsearch's answers. Times are in UTC."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

Answer = Mapping[str, Any]
"""Elasticsearch's to one search."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Clicks, people and time; ``people`` is None where it is not known, for it can't be added up."""

    clicks: int = 0
    people: int | None = None
    measured_views: int = 0
    time_spent_seconds: float = 0.0
    state: str = ""
    counted_at: datetime | None = None
    """When a day's were last found to have changed."""
    events: int | None = None
    """Of all kinds, clicks among them; known by dimension alone."""

    @property
    def average_time_spent(self) -> float | None:
        """Seconds per view whose time is known."""
        return self.time_spent_seconds / self.measured_views if self.measured_views else None


@dataclass(frozen=True, slots=True)
class Group:
    """The figures of one url, country or site over days. ``people`` are those of its busiest day."""

    name: str
    figures: Figures


@dataclass(frozen=True, slots=True)
class HourRecord:
    """What is written down of an hour (alias ``clickstream-hours``); what is not known is None."""

    hour: datetime
    state: str = ""
    reason: str = ""
    checks_passed: int | None = None
    checks_failed: int | None = None
    failed_checks: tuple[str, ...] = ()
    day_checks_passed: int | None = None
    day_failed_checks: tuple[str, ...] = ()
    """As of the hour, by the checks of its day."""
    read: int | None = None
    kept: int | None = None
    duplicates: int | None = None
    refused: int | None = None
    refused_by_reason: Mapping[str, int] = field(default_factory=dict)
    late: int | None = None
    bots: int | None = None
    clicks: int | None = None
    unique_users: int | None = None
    lag: int | None = None
    watermark: datetime | None = None
    written_at: datetime | None = None
    run_id: str = ""
    contract_version: str = ""


@dataclass(frozen=True, slots=True)
class Freshness:
    """When each part was last written, and what waits."""

    hours_written: datetime | None = None
    watermark: datetime | None = None
    lag: int | None = None
    metrics_computed: datetime | None = None
    daily_computed: datetime | None = None
    clicked: frozenset[datetime] = frozenset()
    """The hours that have clicks, held ones left out, of yesterday and today at least."""
    stale: int = 0
    """How many hours of these days are being counted anew."""


@dataclass(frozen=True, slots=True)
class ByDimension:
    """What an overview shows of dimensions. Bots are those of every url and country."""

    values: tuple[Group, ...] = ()
    """Of the dimension that is listed, those with most clicks or events."""
    total: Figures = Figures()
    """Clicks and events of all values of that dimension, its people unknown."""
    has_others: bool = False
    """Whether some of its values count as all others together on some of the days."""
    bots: tuple[Group, ...] = ()
    bot_events: int = 0
    """Of all bots."""
    days: frozenset[date] = frozenset()
    """Those of which anything is counted by dimension."""
    hours: frozenset[datetime] = frozenset()
    """The same; looked for only if bars are of a value by the hour."""
    beyond: frozenset[datetime] = frozenset()
    """Begins of bars in which values without a document may be among all others together."""
    counted_at: datetime | None = None
    """When a number by dimension was last written."""


@dataclass(frozen=True, slots=True)
class Seen:
    """All that an overview shows."""

    series: Mapping[datetime, Figures] = field(default_factory=dict)
    """By the begin of each bar."""
    days: Mapping[date, Figures] = field(default_factory=dict)
    """Yesterday's and today's figures of the same choice."""
    hours: Mapping[datetime, HourRecord] = field(default_factory=dict)
    """Of yesterday, today, and of the bars if these are hours."""
    states: Mapping[date, Counter[str]] = field(default_factory=dict)
    """How many hours of each day are in which state."""
    groups: Mapping[str, list[Group]] = field(default_factory=dict)
    """Most clicks first, by ``url``, ``country`` and ``site``."""
    dimensions: ByDimension = ByDimension()
    freshness: Freshness = Freshness()
    missing: frozenset[str] = frozenset()
    """Of ``metrics``, ``daily``, ``hours`` and ``dimensions`` what does not exist yet."""


@dataclass(frozen=True, slots=True)
class PageFigures:
    """A document: the figures of a url and a country in an hour."""

    url: str
    country: str
    figures: Figures


@dataclass(frozen=True, slots=True)
class HourSeen:
    """All that the page of an hour shows."""

    record: HourRecord | None = None
    figures: Figures = Figures()
    rows: tuple[PageFigures, ...] = ()
    """Its documents with most clicks."""
    documents: int = 0
    """How many there are in all."""
    countries: tuple[Group, ...] = ()
    urls: tuple[Group, ...] = ()
    before: tuple[int, ...] = ()
    """Clicks of the same hour of the days before, as far as it is known."""


def moment(value: Any) -> datetime | None:
    """A date of Elasticsearch: epoch milliseconds, or ISO 8601; None for anything else."""
    try:
        if isinstance(value, str):
            parsed = datetime.fromisoformat(value)
            return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        return None if value is None else datetime.fromtimestamp(value / 1000, UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def hits(answer: Answer) -> Iterable[Mapping[str, Any]]:
    return (hit["_source"] for hit in answer["hits"]["hits"])


def buckets(answer: Answer, name: str) -> list[Any]:
    """Of an aggregation; none where there is no index."""
    return list(answer.get("aggregations", {}).get(name, {}).get("buckets", []))


def figures_of(document: Mapping[str, Any]) -> Figures:
    return Figures(
        int(document.get("clicks") or 0),
        _whole(document.get("unique_users")),
        int(document.get("measured_views") or 0),
        float(document.get("time_spent_seconds") or 0),
        str(document.get("state") or ""),
        moment(document.get("computed_at")),
        _whole(document.get("events")),
    )


def sums_of(bucket: Mapping[str, Any], people: str = "") -> Figures:
    """A bucket's sums; its people by the aggregation of that name, if there is one."""
    return Figures(
        int(bucket["clicks"]["value"] or 0),
        _whole(bucket[people]["value"]) if people else None,
        int(bucket["measured_views"]["value"] or 0),
        float(bucket["time_spent_seconds"]["value"] or 0),
    )


def groups_of(answer: Answer, name: str, people: str = "") -> list[Group]:
    return [Group(str(bucket["key"]), sums_of(bucket, people)) for bucket in buckets(answer, name)]


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(map(str, [value] if isinstance(value, str) else value or ()))


_NUMBERS = (
    "checks_passed", "checks_failed", "day_checks_passed", "read", "kept", "duplicates", "refused", "late", "bots",
    "clicks", "unique_users", "lag",
)  # fmt: skip


def hour_record(document: Mapping[str, Any]) -> HourRecord | None:
    """A document of ``clickstream-hours``; None if it does not say which hour it is of."""
    if (hour := moment(document.get("hour"))) is None:
        return None
    refused = document.get("refused_by_reason") or {}
    return HourRecord(
        hour,
        str(document.get("state") or ""),
        str(document.get("reason") or ""),
        failed_checks=_texts(document.get("failed_checks")),
        day_failed_checks=_texts(document.get("day_failed_checks")),
        refused_by_reason={str(reason): int(number) for reason, number in refused.items()},
        watermark=moment(document.get("watermark")),
        written_at=moment(document.get("written_at")),
        run_id=str(document.get("run_id") or ""),
        contract_version=str(document.get("contract_version") or ""),
        **{name: _whole(document.get(name)) for name in _NUMBERS},
    )


def records_of(answer: Answer) -> dict[datetime, HourRecord]:
    return {record.hour: record for document in hits(answer) if (record := hour_record(document)) is not None}
