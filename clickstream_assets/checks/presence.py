"""Whether an asset has an hour as it was last touched."""

from time import time
from typing import TYPE_CHECKING

from clickstream_assets.checks.evidence import Evidence, Finding, Findings
from clickstream_assets.events.hours import HOUR_MS, key_of_hour

if TYPE_CHECKING:
    from clickstream_assets.books.hour_states import HourState


GRACE_MINUTES = 10
"""Time for the run that does an hour that has just closed."""


def presences(asset: str, evidence: Evidence) -> Findings:
    closed = latest_closed_hour(time())
    return {
        hour: presence(asset, hour, state, closed, is_followed=evidence.is_followed)
        for hour, state in evidence.states.items()
    }


def latest_closed_hour(now: float) -> int:
    """The latest hour that closed the time of grace ago or earlier. ``now`` in seconds since the epoch."""
    return (int(now * 1000) - GRACE_MINUTES * 60_000) // HOUR_MS - 1


def presence(asset: str, hour: int, state: "HourState", closed: int, *, is_followed: bool = False) -> Finding:
    """Whether ``asset`` has the hour as it was last touched; nothing is asked of hours after ``closed``.

    ``is_followed``: someone has just materialized it, and so touched it. The sensor's run that follows looks again.
    """
    mark = state.mark_of(asset)
    words = f"{key_of_hour(hour)} was touched {state.touched} times; {asset} is as of touch {mark}"
    if hour > closed:
        words += f". It has not been closed for {GRACE_MINUTES} minutes yet"
    elif not state.touched:
        words = f"{key_of_hour(hour)} was never ingested, not even as an empty hour"
    elif is_followed and mark != state.touched:
        words += ". The sensor is about to bring it up to date"
    passed = hour > closed or (state.touched > 0 and (is_followed or mark == state.touched))
    return Finding(passed, words, {"touched": state.touched, "mark": mark})
