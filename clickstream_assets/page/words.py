"""Numbers and states in words that need no knowledge of the pipeline."""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import NamedTuple

from clickstream_assets.page.figures import HourRecord, HourSeen

FINAL, OPEN, STALE, HELD, UNKNOWN = "final", "open", "stale", "held", ""
STATES: Mapping[str, str] = {
    FINAL: "final: the hour is over, and all that was sent of it is counted",
    OPEN: "open: still counting",
    STALE: "stale: more has arrived, and the hour is being counted anew",
    HELD: "held: a check failed, so the number shown is the last good one",
    UNKNOWN: "no record: nothing is known of this hour",
}
"""What each state of an hour means."""
NOT_KNOWN = "—"
_LOW = 0.6
"""Of what is usual; below that an hour is called low."""


class Judgement(NamedTuple):
    """Whether a number can be believed: a word for its colour, ``good``, ``wait`` or ``bad``, and sentences."""

    grade: str
    words: str


def number(value: float | None) -> str:
    """``1,234``; a dash for what is not known."""
    return NOT_KNOWN if value is None else f"{value:,.0f}"


def count(value: int, noun: str) -> str:
    """``1 hour``, ``2 hours``."""
    return f"{value:,} {noun}{'' if value == 1 else 's'}"


def of_people(people: int | None) -> str:
    """``1 person``, ``2 people``."""
    return "1 person" if people == 1 else f"{number(people)} people"


def duration(seconds: float | None) -> str:
    """``8 s``, ``4 min 05 s``, ``3 h 20 min``; a dash for what is not known."""
    if seconds is None:
        return NOT_KNOWN
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3_600:,} h {whole % 3_600 // 60:02d} min"


def clock(at: datetime | None) -> str:
    """``14:02:10 UTC``; a dash for none."""
    return NOT_KNOWN if at is None else at.astimezone(UTC).strftime("%H:%M:%S UTC")


def time_of(at: datetime | None, now: datetime) -> str:
    """A moment as people say it: the time alone if it is today's, with the day if not."""
    if at is None:
        return NOT_KNOWN
    return clock(at) if at.date() == now.date() else f"{day_of(at.date())}, {clock(at)}"


def day_of(day: date) -> str:
    """``Sun 29 Nov 2026``."""
    return f"{day:%a} {day.day} {day:%b %Y}"


def hour_of(at: datetime) -> str:
    """``Sun 29 Nov 2026, 14:00 to 15:00 UTC``."""
    return f"{day_of(at.date())}, {at:%H:%M} to {at + timedelta(hours=1):%H:%M} UTC"


def age(since: datetime, now: datetime) -> str:
    """``less than a minute``, ``5 minutes``, ``3 hours``, ``2 days``."""
    minutes = int((now - since).total_seconds() // 60)
    if minutes < 1:
        return "less than a minute"
    if minutes < 120:
        return count(minutes, "minute")
    return count(minutes // 60, "hour") if minutes < 48 * 60 else count(minutes // 1_440, "day")


def state_of(record: HourRecord | None) -> str:
    """A state that this module knows; others are as none."""
    return record.state if record is not None and record.state in STATES else UNKNOWN


def about(record: HourRecord | None) -> str:
    """An hour's state in words, with the reason where there is one."""
    words = STATES[state_of(record)]
    reason = f" ({record.reason})" if record is not None and record.reason else ""
    return "; ".join(filter(None, (words + reason, warned(record))))


def warned(record: HourRecord | None) -> str:
    """``2 checks did not pass``; empty for none."""
    failed = record.checks_failed if record is not None else 0
    return f"{count(failed, 'check')} did not pass" if failed else ""


def state_of_day(states: Mapping[str, int]) -> str:
    """The state to mark a day with: the worst of its hours."""
    return next((state for state in (HELD, STALE, OPEN, FINAL) if states.get(state)), UNKNOWN)


def about_day(states: Mapping[str, int]) -> str:
    """``hours: 20 final, 1 held, 3 without a record``."""
    known = [f"{states[state]} {state}" for state in (FINAL, OPEN, STALE, HELD) if states.get(state)]
    if not known:
        return "no record of its hours"
    others = 24 - sum(states.get(state, 0) for state in (FINAL, OPEN, STALE, HELD))
    without = [f"{others} without a record"] if others > 0 and not states.get(OPEN) else []
    return f"hours: {', '.join(known + without)}"


def why(seen: HourSeen, at: datetime, now: datetime) -> Judgement:
    """What speaks for a low or a high number of an hour, or that nothing does."""
    record = seen.record
    usual = _compared(seen)
    if at > now:
        return Judgement("wait", "This hour has not begun.")
    grade, words = _OF_AN_HOUR[state_of(record)]
    troubles = " ".join(_troubles(record)) if record is not None and state_of(record) == FINAL else ""
    if troubles:
        grade, words = "wait", f"This hour is final, but look at this: {troubles}"
    return Judgement(grade, " ".join(filter(None, (words, _reason(record), usual))))


_OF_AN_HOUR: Mapping[str, Judgement] = {
    HELD: Judgement("bad", "A check holds this hour back, so it shows its last good number."),
    STALE: Judgement("wait", "More has arrived for this hour, and it is being counted anew."),
    OPEN: Judgement("wait", "This hour is still being counted, so it is lower than it will be."),
    FINAL: Judgement("good", "Nothing is wrong with this hour: all that was sent is counted."),
    UNKNOWN: Judgement("wait", "Nothing is written down of this hour: nobody was there, or it was not read yet."),
}


def _reason(record: HourRecord | None) -> str:
    return f"The reason: {record.reason.rstrip('.')}." if record is not None and record.reason else ""


def _troubles(record: HourRecord) -> Iterator[str]:
    if record.checks_failed:
        yield f"{count(record.checks_failed, 'check')} did not pass."
    if record.refused and record.read and record.refused / record.read > 0.05:
        yield f"{record.refused / record.read:.0%} of its messages could not be read, and were refused."


def _compared(seen: HourSeen) -> str:
    """An hour beside the same hour of the days before."""
    if not seen.before:
        return "There is no such hour in the week before to compare it with."
    usual = median(seen.before)
    clicks = seen.figures.clicks
    compared = f"{number(clicks)} clicks; the same hour of the days before had {number(usual)}"
    if usual and clicks < _LOW * usual:
        return f"It is low: {compared}."
    if usual and clicks > usual / _LOW:
        return f"It is high: {compared}."
    return f"It is as usual: {compared}."
