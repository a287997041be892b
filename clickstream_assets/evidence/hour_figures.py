"""What the books count in hours, for their documents: nothing that takes a scan of their events."""

from collections.abc import Iterable, Mapping

from clickstream_assets.books.books import Books
from clickstream_assets.books.hour_states import HourState
from clickstream_assets.books.ledger_entries import HourPart, sum_of
from clickstream_assets.evidence.overviews import refused_by_reason
from clickstream_assets.index.hour_documents import HourFigures

_MOST_LETTERS = 100_000
"""Dead letters of an hour that are counted by reason on the way, where no run has done so since they changed."""


def hour_figures(books: Books, states: Mapping[int, HourState], first_hour: int) -> dict[int, HourFigures]:
    """Of hours whose states these are. Reasons that had to be counted are remembered."""
    parts = books.ledger.parts(states)
    counts = {hour: sum_of(part.counts for part in of_hour) for hour, of_hour in parts.items()}
    reasons = {hour: {} if not counts[hour].dead_lettered else states[hour].refused_by_reason for hour in states}
    unknown = [hour for hour, of_hour in reasons.items() if of_hour is None]
    if few := {hour: parts[hour] for hour in unknown if counts[hour].dead_lettered <= _MOST_LETTERS}:
        counted = {hour: dict(of_hour) for hour, of_hour in refused_by_reason(books, few, first_hour).items()}
        books.hours.remember_refusals(counted)
        reasons |= counted
    return {hour: HourFigures(counts[hour], bots_of(parts[hour]), reasons[hour]) for hour in states}


def bots_of(parts: Iterable[HourPart]) -> int | None:
    """Events of bots; None where some were enriched before these were counted."""
    bots = [part.block.bots for part in parts if part.block]
    return None if None in bots else sum(filter(None, bots))
