"""Whether a day's numbers can be believed, by what is written down of its hours and said by the checks of both."""

from collections.abc import Sequence
from datetime import UTC, date, datetime

from clickstream_assets.page.figures import Figures, HourRecord
from clickstream_assets.page.words import FINAL, HELD, OPEN, STALE, STATES, Judgement, count, state_of


def belief(
    hours: Sequence[HourRecord], day: date, now: datetime, shown: Figures | None = None, *, is_all: bool = False
) -> Judgement:
    """Whether a day's numbers, as they are ``shown``, can be believed, by what is written down of its hours.

    ``is_all`` says that they are of everything: such have to be there, and to agree with the hours.
    """
    by_state: dict[str, list[HourRecord]] = {state: [] for state in STATES}
    for record in sorted(hours, key=lambda record: record.hour):
        by_state[state_of(record)].append(record)
    begun = min(24, int((now - datetime(day.year, day.month, day.day, tzinfo=UTC)).total_seconds() // 3_600) + 1)
    if not hours:
        return Judgement("wait", "Nothing is known yet: no hour of this day has been written down.")
    if held := by_state[HELD]:
        return Judgement("bad", f"Not yet: {_named(held)} held back by a check. The number shown is the last good one.")
    if stale := by_state[STALE]:
        return Judgement("wait", f"Almost: {_named(stale)} being counted anew, as more has come. It may still change.")
    if wrong := _latest(hours).day_failed_checks:
        return Judgement("bad", f"No: {count(len(wrong), 'check')} of the day did not pass. {wrong[0]}.")
    doubt = _doubt(hours)
    if by_state[OPEN] or begun < 24:
        return Judgement("wait", f"So far: the day is not over, and the number grows.{doubt}")
    if now.date() > day and _is_behind(hours, shown, is_all):
        return Judgement("wait", f"Almost: the day's people are about to be counted once more.{doubt}")
    if len(by_state[FINAL]) < begun:
        missing = count(begun - len(by_state[FINAL]), "hour")
        return Judgement(
            "wait", f"In part: all that is known is counted, but {missing} of the day left no record.{doubt}"
        )
    if doubt := doubt or _not_looked_at(hours):
        return Judgement("wait", f"Probably: all 24 hours are final.{doubt}")
    return Judgement("good", "Yes: all 24 hours are final, and every check passed.")


def _doubt(hours: Sequence[HourRecord]) -> str:
    failed = sum(record.checks_failed or 0 for record in hours)
    return f" {count(failed, 'check')} did not pass; hours with ⚠ say which." if failed else ""


def _not_looked_at(hours: Sequence[HourRecord]) -> str:
    is_looked_at = _latest(hours).day_checks_passed or not any(record.clicks for record in hours)
    return "" if is_looked_at else " The checks of the day have yet to look at it."


def _latest(hours: Sequence[HourRecord]) -> HourRecord:
    """The record that was written last: each says what the checks of the day had found by then."""
    return max(hours, key=lambda record: record.written_at or record.hour)


def _is_behind(hours: Sequence[HourRecord], shown: Figures | None, is_all: bool) -> bool:
    """Whether the numbers of a day that has ended are older than those of its hours."""
    clicks = sum(record.clicks or 0 for record in hours)
    if shown is None:
        return is_all and clicks > 0
    differs = shown.clicks != clicks if len(hours) == 24 else shown.clicks < clicks  # an hour without record has clicks
    return shown.state == OPEN or (is_all and differs)


def _named(records: Sequence[HourRecord]) -> str:
    named = ", ".join(f"{record.hour:%H:%M}" for record in records[:4])
    more = f" and {len(records) - 4} more" if len(records) > 4 else ""
    return f"{named}{more} {'is' if len(records) == 1 else 'are'}"
