"""Is an hour's number of clicks what one would expect from other hours?"""

from collections.abc import Mapping
from statistics import median

WEEK = 7 * 24
_WEEKS, _HOURS = 4, 3
_ENOUGH_WEEKS = 2
_LEAST_CLICKS = 50
"""Fewer expected clicks than this vary too much by chance for a factor to say anything."""


def same_hour_of_earlier_weeks(hour: int) -> list[int]:
    """The hours one to four weeks before."""
    return [hour - week * WEEK for week in range(1, _WEEKS + 1)]


def hours_before(hour: int) -> list[int]:
    """The three hours right before."""
    return [hour - back for back in range(1, _HOURS + 1)]


def compare(
    hour: int, clicks: Mapping[int, int | None], open_hour: int, factor: float
) -> tuple[bool, str, dict[str, float]]:
    """Whether ``hour`` has between a ``factor``-th and ``factor`` times the usual clicks; in words; the figures.

    Usual is the median of the same hour of earlier weeks (hours are UTC), where at least two are known; else
    the median of the three hours before, where all are. ``clicks`` are those of the hours that were ever computed.
    An hour without a click is no history: it is of before the first ones, or of an outage, which its own hour told of.
    Quiet (that is, passed, and saying why) without such a history, and for an hour that has not closed.
    """
    weeks = [count for other in same_hour_of_earlier_weeks(hour) if (count := clicks.get(other))]
    hours = [count for other in hours_before(hour) if (count := clicks.get(other))]
    actual = clicks.get(hour) or 0
    if hour >= open_hour:
        return True, f"{actual} clicks so far: the hour has not closed", {"clicks": actual}
    if len(weeks) >= _ENOUGH_WEEKS:
        usual, of = median(weeks), f"the same hour of {len(weeks)} earlier weeks"
    elif len(hours) == _HOURS:
        usual, of = median(hours), f"the {_HOURS} hours before"
    else:
        return True, f"{actual} clicks: no history to compare with", {"clicks": actual}
    words = f"{actual} clicks, {usual:g} in the median of {of}"
    if max(usual, actual) < _LEAST_CLICKS:
        return True, f"{words}: too few to compare", {"clicks": actual, "usual": usual}
    passed = usual / factor <= actual <= usual * factor
    return passed, f"{words} (warns beyond {factor:g} times more or less)", {"clicks": actual, "usual": usual}
