"""What the checks of an asset look at (hours, in the books and in the tables) and what they find in each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from clickstream_assets.settings import Settings
from clickstream_assets.stores.elasticsearch.resource import ElasticsearchResource

_T = TypeVar("_T")

if TYPE_CHECKING:
    from clickstream_assets.books.books import Books
    from clickstream_assets.books.hour_states import HourState
    from clickstream_assets.books.ledger_entries import Entry, HourCounts, HourPart
    from clickstream_assets.evidence.hour_counts import ClickCounts
    from clickstream_assets.evidence.metric_counts import MetricCounts


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found in one hour: whether it holds, what was compared in words, and the figures."""

    passed: bool
    words: str
    figures: Mapping[str, Any] = field(default_factory=dict)


Findings = Mapping[int, Finding]
"""By hour, in hours since the epoch."""
_LEAST = 20


def share(part: int, whole: int, most: float, predicate: str) -> Finding:
    """Whether ``part`` is no more than the share ``most`` of ``whole``; quiet below :data:`_LEAST` of them."""
    ratio = part / whole if whole else 0.0
    words = f"{part} of {whole} {predicate} ({ratio:.1%}, warns above {most:.0%}"
    words += f", not below {_LEAST})" if whole < _LEAST else ")"
    return Finding(whole < _LEAST or ratio <= most, words, {f"share that {predicate}": ratio})


def both(first: Finding, second: Finding) -> Finding:
    figures = dict(first.figures) | dict(second.figures)
    return Finding(first.passed and second.passed, f"{first.words}; {second.words}", figures)


class Evidence:
    """Hours, the books on an open connection, Elasticsearch, and the limits that checks warn beyond.

    What several checks count is counted once.
    """

    def __init__(
        self,
        hours: Sequence[int],
        books: "Books",
        limits: Settings,
        elasticsearch: ElasticsearchResource,
        *,
        new: "Mapping[int, Sequence[HourPart]] | None" = None,
        is_followed: bool = False,
    ) -> None:
        self.hours, self.books, self.limits, self.elasticsearch = hours, books, limits, elasticsearch
        self.new = {hour: parts for hour, parts in (new or {}).items() if hour in hours}
        """Hours that are looked at for these parts of the ledger alone; the others are from end to end."""
        self.is_followed = is_followed
        """Whether someone has just materialized the hours, so that a run of the sensor follows."""
        self.states: dict[int, HourState] = books.hours.read(hours)
        """Of the hours, before any check looks."""

    def looked_at(self, hour: int) -> "Sequence[HourPart]":
        """The parts of an hour that checks look at: the new ones, or all."""
        return self.new[hour] if hour in self.new else self.parts[hour]

    def extent(self, hour: int) -> str:
        """How far checks look at an hour, in words."""
        return "of what is new" if hour in self.new else "of the whole hour"

    @cached_property
    def parts(self) -> "Mapping[int, list[HourPart]]":
        """By hour, what each ledger entry holds of it."""
        return self.books.ledger.parts(self.hours)

    @cached_property
    def entries(self) -> "Mapping[HourPart, Entry | None]":
        """The entry of each part that is looked at; None if it is gone."""
        return self.books.ledger.entries_of(part for hour in self.hours for part in self.looked_at(hour))

    @cached_property
    def counts(self) -> "Mapping[int, HourCounts]":
        """What the ledger holds of each hour, of all its parts."""
        from clickstream_assets.books.ledger_entries import counts_of

        return counts_of(self.parts)

    @cached_property
    def rows(self) -> "Mapping[int, int]":
        """Rows that are there of each hour, or of its new parts."""
        from clickstream_assets.evidence.hour_counts import count_new_rows, count_rows

        return self._counted(count_new_rows, count_rows)

    @cached_property
    def clicks(self) -> "Mapping[int, ClickCounts]":
        """Rows of each hour, or of its new parts, and what enrichment made of them."""
        from clickstream_assets.evidence.hour_counts import count_clicks, count_new_clicks

        return self._counted(count_new_clicks, count_clicks)

    def _counted(
        self,
        new: "Callable[[Books, Mapping[int, Sequence[HourPart]]], dict[int, _T]]",
        whole: "Callable[[Books, list[int]], dict[int, _T]]",
    ) -> dict[int, _T]:
        """Hours counted by what is new where that is known, else, and where it is much of the hour, from end to end."""
        few = {
            hour: parts
            for hour, parts in self.new.items()
            if _MUCH * sum(part.counts.kept for part in parts) <= self.counts[hour].kept
        }
        counted = new(self.books, few)
        for hour in self.new.keys() - counted.keys():
            del self.new[hour]
            self.__dict__.pop("entries", None)
        return counted | whole(self.books, [hour for hour in self.hours if hour not in counted])

    @cached_property
    def metrics(self) -> "Mapping[int, tuple[MetricCounts, int]]":
        """The metrics of each hour, and the clicks that they are to count."""
        from clickstream_assets.evidence.hour_counts import count_human_clicks
        from clickstream_assets.evidence.metric_counts import count_metrics, count_new_metrics

        counted = count_new_metrics(self.books, self.new)
        whole = [hour for hour in self.hours if hour not in counted]
        clicks = count_human_clicks(self.books, whole)
        return counted | {hour: (of_hour, clicks[hour]) for hour, of_hour in count_metrics(self.books, whole).items()}


_MUCH = 3
"""Looking rows up costs about so many times what counting them in a scan does."""
