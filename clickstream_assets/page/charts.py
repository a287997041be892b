"""From numbers to bars: where each stands and how high it is. Nothing here knows what is counted."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log10

HEIGHT = 132
"""Pixels from the base line to the highest grid line."""
TOP = 14
"""Pixels above that, for marks."""
_LEAST = 1.5
"""Pixels of the lowest bar that is no zero: it must be seen."""
_SHARE = 0.78
"""Of a bar's place that the bar takes."""
_NICE = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)


@dataclass(frozen=True, slots=True)
class Datum:
    """A bar before it is drawn. ``value`` is None where nothing is known."""

    value: float | None
    label: str
    """What is told of it, in words."""
    link: str = ""
    state: str = ""
    """``final``, ``open``, ``stale``, ``held``, or empty if not known."""
    tick: str = ""
    """What stands below it; empty for most."""
    is_minor: bool = False
    """Whether its tick is left out where there is little room."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar as it is drawn: ``x`` and ``width`` are per cent of the chart's width, ``y`` and ``height`` pixels."""

    datum: Datum
    place: float
    """Where its share of the width begins, all of which can be clicked."""
    share: float
    x: float
    width: float
    y: float
    height: float

    @property
    def middle(self) -> float:
        return round(self.place + self.share / 2, 3)


@dataclass(frozen=True, slots=True)
class Drawing:
    """Bars, and the values of the grid lines from the top to zero."""

    bars: tuple[Bar, ...]
    top: float
    height: int = HEIGHT + TOP

    @property
    def lines(self) -> tuple[tuple[float, float], ...]:
        """Each line's value and ``y``."""
        return tuple((self.top * share, TOP + HEIGHT * (1 - share)) for share in (1, 0.5, 0))


def nice_top(most: float) -> float:
    """The least round number that is not below ``most``; 1 of nothing."""
    if most <= 0:
        return 1
    unit = 10.0 ** floor(log10(most))
    return next((step * unit for step in _NICE if step * unit >= most), 10 * unit)


def draw(data: Sequence[Datum]) -> Drawing:
    """The bars of a chart, side by side over its whole width."""
    top = nice_top(max((datum.value or 0 for datum in data), default=0))
    share = 100 / len(data) if data else 0
    return Drawing(tuple(_bar(datum, number * share, share, top) for number, datum in enumerate(data)), top)


def _bar(datum: Datum, place: float, share: float, top: float) -> Bar:
    height = max(HEIGHT * datum.value / top, _LEAST) if datum.value else 0
    return Bar(
        datum,
        place=round(place, 3),
        share=round(share, 3),
        x=round(place + share * (1 - _SHARE) / 2, 3),
        width=round(share * _SHARE, 3),
        y=round(TOP + HEIGHT - height, 2),
        height=round(height, 2),
    )
