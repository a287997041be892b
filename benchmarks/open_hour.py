"""When a measurement in the open hour begins: what the hour holds before it and what is sent live lie in one."""

import time
from datetime import UTC, datetime

from rich.console import Console

from benchmarks.bench import Bench
from clickstream_assets.local.stack.errors import StackError

HOUR_SECONDS = 3_600
MARGIN_SECONDS = 60
"""What has to be left of the hour besides the live part: time to draw its events, and for its last ones to be read."""
LEAST_AGE_SECONDS = 120
"""An hour this old has room for the events that it is to hold already."""
_START_SECONDS = 150
"""Until Dagster is up and has done the hours that are there."""
_FILLED_A_SECOND = 1_500
"""Events that are sent and indexed a second, on a slow day."""


def seconds_needed(live_seconds: int, fill: int) -> float:
    """What has to be left of the hour when it begins to be filled."""
    return _START_SECONDS + fill / _FILLED_A_SECOND + live_seconds + MARGIN_SECONDS


def fits(live_seconds: int, fill: int) -> bool:
    """Whether an hour is long enough for all of it."""
    return _age_needed(fill) + seconds_needed(live_seconds, fill) <= HOUR_SECONDS


def begin_at(now: float, live_seconds: int, fill: int) -> tuple[float, str]:
    """The earliest time of day (seconds since the epoch) to begin at, and why it is not ``now``; empty if it is."""
    hour, needed = now - now % HOUR_SECONDS, seconds_needed(live_seconds, fill)
    age, left = now - hour, hour + HOUR_SECONDS - now
    if left < needed:
        why = f"{_words(left)} are left of the hour, and {_words(needed)} are needed"
        return hour + HOUR_SECONDS + _age_needed(fill), why
    if age < _age_needed(fill):
        why = f"the hour has begun {_words(age)} ago, and is to hold {fill:,} events already"
        return hour + _age_needed(fill), why
    return now, ""


def wait_for_room(bench: Bench, live_seconds: int, fill: int) -> None:
    """Wait until an hour is open that has room; says why, until when, and what is left. Raises if a server dies."""
    moment, why = begin_at(time.time(), live_seconds, fill)
    if not why:
        return
    console = Console(stderr=True, highlight=False)
    clock = datetime.fromtimestamp(moment, UTC)
    console.print(f"Waiting {_words(moment - time.time())}, until {clock:%H:%M:%S} UTC: {why}.", soft_wrap=True)
    with console.status("") as status:
        while (left := moment - time.time()) > 0:
            bench.stack.check()
            status.update(f"{_words(left)} left")
            time.sleep(min(1.0, left))


def require_room(now: float, live_seconds: int) -> None:
    """Raise StackError where the hour ends within the live part, or so soon behind it that its last events run over."""
    left = HOUR_SECONDS - now % HOUR_SECONDS
    if left < live_seconds + MARGIN_SECONDS:
        raise StackError(
            f"Filling the hour took so long that {_words(left)} are left of it, and the live part needs "
            f"{_words(live_seconds + MARGIN_SECONDS)}. Begin soon after a full hour, or with fewer events in it."
        )


def _age_needed(fill: int) -> int:
    return LEAST_AGE_SECONDS if fill else 0


def _words(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02} min"
