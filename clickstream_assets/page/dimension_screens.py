"""What an overview shows of dimensions: a list of values, the bots that are left out, and words for one value."""

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Any

from clickstream_assets.events.url_limits import OTHER
from clickstream_assets.page import words
from clickstream_assets.page.bar_charts import number_of
from clickstream_assets.page.dimension_choice import DIMENSIONS, Dimension
from clickstream_assets.page.figures import Figures, Group, Seen
from clickstream_assets.page.view import Overview

PLACE = "#by-dimension"
"""Where on the page the list is: whoever chooses another dimension stays there."""


def value_figures(view: Overview, seen: Seen, at: datetime) -> Figures | None:
    """Of a bar of one value; None where nothing has been counted by dimension, so that it is not shown as zero."""
    if (found := seen.series.get(at)) is not None:
        return found
    if at in seen.dimensions.beyond:
        return None  # it may be among all others
    if view.by == "day":
        is_known = at.date() in seen.dimensions.days
    else:
        record = seen.hours.get(at)
        is_known = at in seen.dimensions.hours or (record is not None and record.kept == 0)
    return Figures(people=0 if view.dimension.has_people else None, events=0) if is_known else None


def no_people_of_value(view: Overview) -> str:
    """Why the people of a value are not known, if they are not; empty otherwise."""
    if not view.dimension.listed.has_people:
        return "Bots are not people, so only their events are counted. No other number of this page has them."
    if view.dimension.value == OTHER:
        return "The people of all other values together are not known: who had two of them would count twice."
    return ""


def value_tile(view: Overview, figures: Figures) -> tuple[str, str]:
    """A day of one value at a glance: what stands large, and what stands below it."""
    listed = view.dimension.listed
    counted = words.count(number_of(listed, figures), listed.counted)
    if not listed.has_people:
        return counted, "left out of every other number"
    people = words.of_people(figures.people) if figures.people is not None else "people not known"
    return people, f"{counted} · time spent not known by {listed.noun}"


def dimension_parts(view: Overview, seen: Seen) -> dict[str, Any]:
    """What the template of dimensions is given."""
    listed = view.dimension.listed
    return {
        "listed": listed,
        "number": partial(number_of, listed),
        "titles": [
            (other.title, view.by_dimension(other.name).address + PLACE, other == listed)
            for other in DIMENSIONS.values()
        ],
        "rows": _rows(view, listed, seen.dimensions.values),
        "rest": _rest(listed, seen.dimensions.total, seen.dimensions.values),
        "is_one_day": len(view.days) == 1,
        "has_others": seen.dimensions.has_others and len(view.days) > 1,
        "is_beyond": any(at not in seen.series for at in seen.dimensions.beyond),
        "is_missing": "dimensions" in seen.missing,
        "unknown": _unknown(view, seen),
        "everything": view.by_dimension(view.dimension.name).address + PLACE,
        "unfiltered": view.by_dimension(listed.name).address,
        "dropped": view.only(**view.dropped.parameters).address,
        "bots": [
            (group.name, group.figures.events or 0, view.by_dimension("bot", group.name).address)
            for group in seen.dimensions.bots
        ],
        "bot_events": seen.dimensions.bot_events,
        "bots_rest": _rest(DIMENSIONS["bot"], Figures(events=seen.dimensions.bot_events), seen.dimensions.bots),
        "all_bots": view.by_dimension("bot").address + PLACE,
        "is_counted": any(day in seen.dimensions.days for day in view.days),
    }


def _rows(view: Overview, dimension: Dimension, groups: Iterable[Group]) -> list[dict[str, Any]]:
    numbers = [(group, number_of(dimension, group.figures)) for group in groups]
    most = max((number for _, number in numbers), default=0) or 1
    return [
        {
            "name": group.name,
            "number": number,
            "people": group.figures.people,
            "link": view.by_dimension(dimension.name, group.name).address,
            "share": round(100 * number / most, 1),
            "is_chosen": group.name == view.dimension.value,
        }
        for group, number in numbers
    ]


def _rest(dimension: Dimension, total: Figures, groups: Iterable[Group]) -> int:
    """What the values that are not listed have together: each event has one value, so these can be added up."""
    return number_of(dimension, total) - sum(number_of(dimension, group.figures) for group in groups)


def _unknown(view: Overview, seen: Seen) -> str:
    """Which of the days a list leaves out, as nothing of them is counted by dimension; empty if none."""
    days = [day for day in view.days if seen.states.get(day) and day not in seen.dimensions.days]
    if not days:
        return ""
    if len(days) == 1:
        return f"{words.day_of(days[0])} has not been counted by dimension, so it is missing here."
    return f"{len(days)} of these days have not been counted by dimension, so they are missing here."
