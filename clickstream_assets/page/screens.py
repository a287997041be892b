"""From figures to what the templates show: charts with their words, tables with their links."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from clickstream_assets.page import freshness, words
from clickstream_assets.page.bar_charts import BarRow, charts_of, charts_of_value, number_of
from clickstream_assets.page.day_belief import belief
from clickstream_assets.page.dimension_screens import (
    dimension_parts,
    no_people_of_value,
    value_figures,
    value_tile,
)
from clickstream_assets.page.figures import Figures, Group, HourSeen, Seen
from clickstream_assets.page.queries import scope_of
from clickstream_assets.page.view import Choice, Overview, Page

_TICKS = 12
"""Below a chart at most."""
_HOUR = timedelta(hours=1)


def overview_screen(view: Overview, seen: Seen, now: datetime) -> dict[str, Any]:
    """What the template of an overview is given."""
    moments = _moments(view, seen, now)
    listed = [moment.figures for moment in moments if moment.figures is not None]
    parts, listed_by = freshness.parts_of(seen.freshness, now), view.dimension.listed
    by_dimension = ("Numbers by dimension", "es_dimensions_index", seen.dimensions.counted_at, seen.freshness, now)
    return {
        "view": view,
        "days": [_tile(view, seen, now.date() - timedelta(days=ago), now) for ago in (1, 0)],
        "charts": charts_of_value(moments, listed_by) if view.dimension.value else charts_of(moments),
        "is_part": any(m.figures is None and (m.state or m.at in seen.dimensions.beyond) for m in moments),
        "moments": [moment for moment in moments if moment.figures is not None],
        "counted": sum(number_of(listed_by, figures) if view.dimension.value else figures.clicks for figures in listed),
        "spent": sum(figures.time_spent_seconds for figures in listed),
        "average": _average(listed),
        "no_people": _no_people(view),
        "people": [f.people for f in listed if f.people is not None] if view.by == "day" else [],
        "by": dimension_parts(view, seen),
        "groups": [_group(view, name, groups) for name, groups in seen.groups.items()],
        "spans": _spans(view, now.date()),
        "parts": [*parts, freshness.written(*by_dimension)],
        "fresh": freshness.all_of(parts),
        "missing": seen.missing,
    }


def _moments(view: Overview, seen: Seen, now: datetime) -> list[BarRow]:
    return [_moment(view, seen, number, at, now) for number, at in enumerate(view.moments)]


def _moment(view: Overview, seen: Seen, number: int, at: datetime, now: datetime) -> BarRow:
    figures = value_figures(view, seen, at) if view.dimension.value else seen.series.get(at)
    tick, is_minor = _tick(view, number, at)
    warned = ""
    if view.by == "day":
        states: Mapping[str, int] = seen.states.get(at.date(), Counter())
        state = figures.state if figures and figures.state == words.OPEN else words.state_of_day(states)
        about, link = words.about_day(states), view.over("hour", at.date(), at.date()).address
        name = words.day_of(at.date())
    else:
        record = seen.hours.get(at)
        warned = words.warned(record)
        state, about, name = words.state_of(record), words.about(record), words.hour_of(at)
        link = Page(int(at.timestamp()) // 3_600, view.choice).address
        if figures is None and record is not None and not view.dimension.value:
            figures = Figures(people=record.unique_users if not view.choice.parameters else None)
    if at > now:
        return BarRow(at, name, None, words.UNKNOWN, "it has not begun", "", tick, is_minor)
    return BarRow(at, name, figures, state, about, link, tick, is_minor, warned)


def _tick(view: Overview, number: int, at: datetime) -> tuple[str, bool]:
    """What stands below a bar, and whether that may be left out."""
    days = len(view.days)
    if view.by == "hour" and days <= 3:
        if number % (3 * days if days > 1 else 2):
            return "", False
        return (f"{at:%a} {at.day}" if at.hour == 0 else f"{at:%H}:00"), bool(number // (3 * days) % 2)
    day, rest = divmod(number, 24) if view.by == "hour" else (number, 0)
    step = -(-days // _TICKS)
    if rest or day % step:
        return "", False
    return f"{at.day} {at:%b}", bool(day // step % 3)


def _average(listed: list[Figures]) -> float | None:
    views = sum(figures.measured_views for figures in listed)
    return sum(figures.time_spent_seconds for figures in listed) / views if views else None


def _no_people(view: Overview) -> str:
    """Why people are not shown, if they are not; empty otherwise."""
    choice = view.choice
    if view.dimension.value:
        return no_people_of_value(view)
    if scope_of(choice) is None:
        return "People are not known for one country of a site. Choose the site or the country alone."
    if view.by == "hour" and choice.parameters and not (choice.url and choice.country):
        return "People are not known by the hour for this choice, for those of its parts cannot be added up."
    return ""


def _tile(view: Overview, seen: Seen, day: date, now: datetime) -> dict[str, Any]:
    """Yesterday or today at a glance."""
    hours = [record for at, record in seen.hours.items() if at.date() == day]
    is_today, figures = day == now.date(), seen.days.get(day)
    is_all = not (view.choice.parameters or view.dimension.value)
    large, below = _at_a_glance(view, figures) if figures else ("", "")
    return {
        "name": "Today so far" if is_today else "Yesterday",
        "day": words.day_of(day),
        "figures": figures,
        "large": large,
        "below": below,
        "nothing": _nothing(view, seen, day),
        "belief": belief(hours, day, now, figures, is_all=is_all),
        "link": view.over("hour", day, day).address,
    }


def _at_a_glance(view: Overview, figures: Figures) -> tuple[str, str]:
    """What stands large on a tile, and what stands below it."""
    if view.dimension.value:
        large, below = value_tile(view, figures)
    else:
        large = words.of_people(figures.people) if figures.people is not None else "people not known"
        below = f"{words.number(figures.clicks)} clicks · {words.duration(figures.average_time_spent)} a view"
    return large, below + (f", as of {words.clock(figures.counted_at)}" if figures.state == words.OPEN else "")


def _nothing(view: Overview, seen: Seen, day: date) -> str:
    """Why a day has no numbers."""
    if view.dimension.value and day not in seen.dimensions.days:
        return "This day has not been counted by dimension."
    if view.dimension.value:
        return "Nothing was counted of this value by name."
    if "daily" in seen.missing:
        return "No numbers by the day have been written yet."
    chosen = " for this choice" if view.choice.parameters else " in this day"
    return f"Nothing was counted{chosen}."


_PARTS = {
    "url": ("Urls", "url"),
    "country": ("Countries", "country"),
    "site": ("Sites", "site"),
}


def _group(view: Overview, name: str, groups: list[Group]) -> dict[str, Any]:
    title, column = _PARTS[name]
    most = max((group.figures.clicks for group in groups), default=0) or 1
    rows = [
        {
            "name": group.name,
            "figures": group.figures,
            "link": view.only(**{name: group.name}).address,
            "share": round(100 * group.figures.clicks / most, 1),
        }
        for group in groups
    ]
    return {"title": title, "column": column, "rows": rows, "is_one_day": len(view.days) == 1}


def _spans(view: Overview, today: date) -> list[tuple[str, str, bool]]:
    """Days that are often looked at: words, address, and whether it is what is shown."""
    spans = [
        ("2 days by hour", view.over("hour", today - timedelta(days=1), today)),
        ("7 days by hour", view.over("hour", today - timedelta(days=6), today)),
        ("30 days by day", view.over("day", today - timedelta(days=29), today)),
        ("90 days by day", view.over("day", today - timedelta(days=89), today)),
    ]
    return [(name, other.address, other == view) for name, other in spans]


OUTCOMES: Mapping[str, str] = {
    "read": "messages read",
    "kept": "kept as events",
    "duplicates": "sent twice, counted once",
    "refused": "could not be read, set aside",
    "late": "of the kept, came late",
    "bots": "of the kept, from bots: not counted",
}


def hour_screen(page: Page, seen: HourSeen, now: datetime) -> dict[str, Any]:
    """What the template of an hour is given."""
    at = datetime.fromtimestamp(page.hour * 3_600, UTC)
    record, choice = seen.record, page.choice

    def chosen(**more: str) -> Choice:
        return Choice(**({"url": choice.url, "country": choice.country} | more))

    outcomes = [(name, getattr(record, name)) for name in OUTCOMES if record and getattr(record, name) is not None]
    return {
        "page": page,
        "title": words.hour_of(at),
        "seen": seen,
        "state": words.state_of(record),
        "why": words.why(seen, at, now),
        "outcomes": [(name, OUTCOMES[name], value) for name, value in outcomes],
        "rows": [(row, Page(page.hour, Choice(row.url, row.country)).explanation) for row in seen.rows],
        "countries": [(g, Page(page.hour, chosen(country=g.name)).address) for g in seen.countries],
        "urls": [(g, Page(page.hour, chosen(url=g.name)).address) for g in seen.urls],
        "around": Overview("hour", at.date(), at.date(), choice).address,
        "earlier": (f"{at - _HOUR:%H:%M}", Page(page.hour - 1, choice).address),
        "later": (f"{at + _HOUR:%H:%M}", Page(page.hour + 1, choice).address) if at + _HOUR <= now else None,
        "whole": Page(page.hour).address,
    }
