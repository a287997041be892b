"""What the sensor asks for next (docs/architecture.md). Plain values; Kafka is asked through a function of the hour."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from clickstream_assets.ingest.offset_plan import bounded


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Hours ``first`` to ``last``, both included, and the offsets to read up to (by partition; empty: none)."""

    first: int
    last: int
    until: Mapping[int, int]
    more: int = 0
    """Offsets that may be read behind ``until``, of what comes before the run reads: none where it leaves some."""


def plan_backlog(
    begins: Mapping[int, int],
    ends: Mapping[int, int],
    offsets_at: Callable[[int], Mapping[int, int]],
    *,
    first_hour: int,
    last_hour: int,
    max_events: int,
    max_hours: int,
) -> RunPlan | None:
    """A run over the hours that the record times of unread offsets span, oldest first; None without any.

    It ends with the last hour that it reads from: each more would be materialized as empty for nothing.
    ``offsets_at(hour)`` gives by partition the earliest offset whose record time is in or after an hour. The
    searches halve the span of hours, so Kafka is asked some dozen times however long the backlog is.
    """
    lagging = {p: end for p, end in ends.items() if end > begins[p]}
    if not lagging:
        return None

    def ahead(hour: int) -> dict[int, int]:
        """Where reading stops when it takes what was recorded up to the end of ``hour``."""
        at = offsets_at(hour + 1) if hour < last_hour else lagging
        return {p: max(begins[p], min(at[p], end)) for p, end in lagging.items()}

    def events(hour: int) -> int:
        return sum(end - begins[p] for p, end in ahead(hour).items())

    first = _smallest(first_hour, last_hour, lambda hour: events(hour) > 0)
    most = min(first + max_hours - 1, last_hour)
    reach = _smallest(first, most, lambda hour: events(hour + 1) > max_events)
    within = events(reach)
    last = _smallest(first, reach, lambda hour: events(hour) == within)
    if within == sum(end - begins[p] for p, end in lagging.items()) <= max_events:
        return RunPlan(first, last, dict(ends), max_events - within)
    until = {p: end for p, end in ahead(last).items() if end > begins[p]}
    return RunPlan(first, last, bounded(begins, until, max_events))


def _smallest(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The smallest of ``low`` to ``high`` for which a monotone predicate holds; ``high`` if it holds for none."""
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def plan_stale(stale: Iterable[int], max_hours: int) -> RunPlan | None:
    """A run over the newest stale hours, and over those between, which its steps pass over at no cost."""
    waiting = sorted(stale)
    if not waiting:
        return None
    last = waiting[-1]
    return RunPlan(next(hour for hour in waiting if hour > last - max_hours), last, {})
