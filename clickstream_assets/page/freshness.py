"""How fresh the numbers are, in words that need no knowledge of the pipeline.

What is known of it is written down in the documents of hours: how many messages waited when one was last written, and
the watermark, up to which every Kafka partition was read. A partition that brings nothing keeps the watermark where
it is, so an old one is no sign of being late; messages that wait are, and hours with clicks that are not counted on.
Where nothing is written down, either nobody came or the pipeline stands still: nothing tells these apart.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from clickstream_assets.page.figures import Freshness
from clickstream_assets.page.words import age, count, day_of, hour_of, time_of

_LATE = timedelta(hours=2, minutes=15)
"""By which clicks are counted where all is well (docs/decisions/0008)."""
_NEW = timedelta(minutes=5)
"""What is written down of messages and clicks that is older is said as of when it is."""
_HOUR = timedelta(hours=1)
_SILENT = "nobody has come since, or the pipeline stands still"


class Part(NamedTuple):
    """How one part is, in a sentence; with the name that engineers know it by."""

    name: str
    asset: str
    grade: str
    words: str


def parts_of(fresh: Freshness, now: datetime) -> list[Part]:
    """How fresh each part is, in the order in which messages go through them."""
    return [
        _messages(fresh, now),
        _events(fresh, now),
        written("Numbers by the hour", "es_index", fresh.metrics_computed, fresh, now),
        _states(fresh, now),
        written("Numbers by the day", "daily_metrics", fresh.daily_computed, fresh, now),
    ]


def written(part: str, asset: str, at: datetime | None, fresh: Freshness, now: datetime) -> Part:
    """How fresh numbers are that last changed at a time: late if an hour that has begun since has clicks, for long."""
    if at is None:
        return Part(part, asset, "wait", "Nothing has been written yet.")
    words = f"Last changed {age(at, now)} ago, at {time_of(at, now)}"
    missed = min((hour for hour in fresh.clicked if hour >= at), default=now)
    if now - missed > _LATE:
        return Part(part, asset, "bad", f"{words}: late, for there were clicks since.")
    since = "; no clicks of later hours are known" if now - at > _LATE and missed == now else ""
    return Part(part, asset, "good", f"{words}{since}.")


def all_of(lines: Iterable[Part]) -> Part:
    """What stands for all of them at the top: what was counted, unless another part is worse."""
    order = {"bad": 0, "wait": 1, "good": 2}
    listed = list(lines)
    worst = min(listed, key=lambda line: order[line.grade])
    clicks = next(line for line in listed if line.name == "Clicks")
    return worst if order[worst.grade] == 0 else clicks


def _as_of(fresh: Freshness, now: datetime) -> str:
    """When lag and watermark were written down, to begin a sentence with; empty if that is just now."""
    at = fresh.hours_written
    if at is None or now - at <= _NEW:
        return ""
    return f"As of {'' if at.date() == now.date() else f'{day_of(at.date())}, '}{at.astimezone(UTC):%H:%M} UTC, "


def _is_silent(fresh: Freshness, now: datetime) -> bool:
    """Whether nothing has been written down for long."""
    return fresh.hours_written is not None and now - fresh.hours_written > _LATE


def _messages(fresh: Freshness, now: datetime) -> Part:
    part, asset, as_of = "Messages", "raw_clicks", _as_of(fresh, now)
    if fresh.lag is None:
        return Part(part, asset, "wait", "How many messages wait is not known.")
    if as_of:
        waiting = count(fresh.lag, "message") if fresh.lag else "no message"
        return Part(part, asset, "wait", f"{as_of}{waiting} waited to be read.")
    if fresh.lag == 0:
        return Part(part, asset, "good", "No message waits to be read.")
    verb = "message waits" if fresh.lag == 1 else "messages wait"
    return Part(part, asset, "wait", f"{fresh.lag:,} {verb} to be read.")


def _events(fresh: Freshness, now: datetime) -> Part:
    part, asset = "Clicks", "enriched_clicks"
    if fresh.watermark is None:
        return Part(part, asset, "wait", "Nothing has been counted yet.")
    if fresh.lag == 0:
        grade, words = _all_counted(fresh, fresh.watermark, now)
        return Part(part, asset, grade, words)
    grade, words = _part_counted(fresh, fresh.watermark, now)
    return Part(part, asset, grade, words)


def _all_counted(fresh: Freshness, watermark: datetime, now: datetime) -> tuple[str, str]:
    """What is said if no message waited: nothing is late, whatever the watermark."""
    since, as_of = time_of(watermark, now), _as_of(fresh, now)
    everything, silent = f"everything sent until {since}", ""
    if (fresh.hours_written or now) - watermark > _LATE:
        everything, silent = "everything sent", f"; a part of Kafka's topic has brought nothing newer than {since}"
    if _is_silent(fresh, now):
        return "wait", f"{as_of}{everything} was counted{silent}. Nothing is known since: {_SILENT}."
    if as_of:
        return "wait", f"{as_of}{everything} was counted{silent}."
    if fresh.stale:
        verb = "is" if fresh.stale == 1 else "are"
        return "wait", f"All that was sent is read; {count(fresh.stale, 'hour')} {verb} being counted anew."
    return "good", f"Up to date: {everything} is counted{silent}."


def _part_counted(fresh: Freshness, watermark: datetime, now: datetime) -> tuple[str, str]:
    """What is said if messages waited, or if it is not known whether they did."""
    since, as_of = time_of(watermark, now), _as_of(fresh, now)
    if fresh.lag is None:
        return "wait", f"Clicks until {since} are counted. Whether newer ones wait is not known."
    if _is_silent(fresh, now):
        return "bad", f"Late: {as_of[0].lower()}{as_of[1:]}clicks until {since} were counted, and newer ones waited."
    newest = max(fresh.clicked, default=watermark)
    if now - max(newest + _HOUR, watermark) > _LATE:
        found = f"the latest hour with any is {hour_of(newest)}" if fresh.clicked else f"there are none since {since}"
        return "bad", f"Late: messages wait, and of the clicks that are counted {found}."
    if as_of:
        return "wait", f"{as_of}clicks until {since} were counted; newer ones were under way."
    if now - watermark > _LATE:
        return "wait", f"All clicks until {since} are counted, of newer ones a part; others are under way."
    return "wait", f"Clicks until {since} are counted; newer ones are under way."


def _states(fresh: Freshness, now: datetime) -> Part:
    part, asset, at = "States of the hours", "clickstream-hours", fresh.hours_written
    if at is None:
        return Part(part, asset, "wait", "Nothing has been written yet.")
    words = f"Last changed {age(at, now)} ago, at {time_of(at, now)}"
    if not _is_silent(fresh, now):
        return Part(part, asset, "good", f"{words}.")
    if fresh.lag:
        return Part(part, asset, "bad", f"{words}: late, for messages waited then.")
    return Part(part, asset, "wait", f"{words}: {_SILENT}.")
