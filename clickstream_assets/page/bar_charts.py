"""The charts of an overview: what each bar stands for, and what is told of it in words."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from clickstream_assets.page import words
from clickstream_assets.page.charts import Datum, Drawing, draw
from clickstream_assets.page.dimension_choice import Dimension
from clickstream_assets.page.figures import Figures

_ABOUT_PEOPLE = "different people in each bar; never add them up"


@dataclass(frozen=True, slots=True)
class Chart:
    """One of the charts of an overview."""

    title: str
    about: str
    drawing: Drawing
    write: Callable[[float], str]
    """A value of the axis."""


@dataclass(frozen=True, slots=True)
class BarRow:
    """A bar of all charts, and a row of the table beside them."""

    at: datetime
    name: str
    figures: Figures | None
    state: str
    about: str
    link: str
    tick: str
    is_minor: bool
    warned: str = ""
    """How many of an hour's checks did not pass, if any."""

    def datum(self, value: float | None, shown: str) -> Datum:
        label = f"{self.name}: {shown if value is not None else 'not known'}. {self.about}"
        return Datum(value, label, self.link, self.state, self.tick, self.is_minor)


def number_of(dimension: Dimension, figures: Figures) -> int:
    """The number of a value that matters: of events for kinds of events and bots, of clicks for the others."""
    return (figures.events or 0) if dimension.counts_events else figures.clicks


def charts_of(moments: list[BarRow]) -> list[Chart]:
    """Clicks, people where they are known, and time spent."""
    known = [moment.figures for moment in moments if moment.figures is not None]
    charts = [_chart("Clicks", "pages seen and clicks, bots left out", moments, lambda f: f.clicks, _clicks)]
    if any(figures.people is not None for figures in known):
        charts.append(_chart("People", _ABOUT_PEOPLE, moments, lambda f: f.people, _people))
    unit, name = _unit(max((figures.time_spent_seconds for figures in known), default=0))
    spent = _chart(
        "Time spent",
        f"of all people together, in {name}",
        moments,
        lambda f: f.time_spent_seconds / unit,
        lambda f: f"{words.duration(f.time_spent_seconds)}, {words.duration(f.average_time_spent)} a view",
    )
    return [*charts, spent]


def charts_of_value(moments: list[BarRow], dimension: Dimension) -> list[Chart]:
    """Time spent is in none of them: it is not known by dimension."""
    about = "bots left out" if dimension.has_people else "left out of every other number"
    charts = [
        _chart(
            f"{dimension.counted}s".capitalize(),
            f"of this value alone, {about}",
            moments,
            lambda f: number_of(dimension, f),
            lambda f: words.count(number_of(dimension, f), dimension.counted),
        )
    ]
    if any(moment.figures.people is not None for moment in moments if moment.figures):
        charts.append(_chart("People", _ABOUT_PEOPLE, moments, lambda f: f.people, _people))
    return charts


def _chart(
    title: str,
    about: str,
    moments: list[BarRow],
    value: Callable[[Figures], float | None],
    shown: Callable[[Figures], str],
) -> Chart:
    data = [m.datum(value(m.figures), shown(m.figures)) if m.figures else m.datum(None, "") for m in moments]
    drawing = draw(data)
    return Chart(title, about, drawing, lambda v: f"{v:,.0f}" if v == int(v) else f"{v:,.1f}")


def _clicks(figures: Figures) -> str:
    return words.count(figures.clicks, "click")


def _people(figures: Figures) -> str:
    return words.of_people(figures.people)


def _unit(most: float) -> tuple[int, str]:
    """Seconds of the unit in which a chart of times is best read, and its name."""
    if most >= 2 * 3_600:
        return 3_600, "hours"
    return (60, "minutes") if most >= 120 else (1, "seconds")
