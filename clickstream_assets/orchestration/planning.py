"""What the sensor remembers and looks with, and which run it asks for next."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from clickstream_assets.events.hours import HOUR_MS
from clickstream_assets.orchestration.run_plan import RunPlan, plan_backlog, plan_stale
from clickstream_assets.orchestration.turns import Turn
from clickstream_assets.settings import Settings

if TYPE_CHECKING:
    from clickstream_assets.books.books import Books
    from clickstream_assets.books.hour_states import HourState
    from clickstream_assets.books.resumption import Resumption
    from clickstream_assets.stores.kafka.client import TopicClient

_HOURS_BEFORE_THE_FIRST_LOOK = 48
"""So many at most are materialized as empty, where nothing was sent for them: each costs a tenth of a second."""


class Memory(BaseModel):
    """What the sensor remembers from tick to tick: hours since the epoch, seconds since the epoch."""

    closed_up_to: int
    """Hours up to this one have closed, and those that stayed empty were asked for."""
    stale_turn: float
    """When stale hours last had a run of their own."""
    began: float = 0
    """When it looked for the first time."""
    read_at: float = 0
    """When a run for new offsets was last asked for."""
    observed_at: float = 0
    """When the topic was last observed."""
    observed_lag: int = 0
    """Its lag then, in events."""
    fresh_at: float = 0
    """When the topic was last reported as written to."""
    fresh_ends: dict[int, int] = Field(default_factory=dict)
    """Its end offsets then, by Kafka partition."""
    look_seconds: float = 0
    """How long the last look took."""
    again: list[int] = Field(default_factory=list)
    """Hours of runs that failed. Those that nothing is due for would be shown as failed for good."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a tick looks with: the topic, limits, what it remembers and keeps, the time, and whether it may ask."""

    topic: "TopicClient"
    limits: Settings
    memory: Memory
    now: float
    """Seconds since the epoch."""
    may: Turn

    @property
    def this_hour(self) -> int:
        return int(self.now * 1000) // HOUR_MS

    @property
    def first_hour(self) -> int:
        return self.limits.first_hour_ms // HOUR_MS


def first_memory(first_hour: int, this_hour: int, now: float) -> Memory:
    """What the first look begins with: closed hours are still to be looked at, and materialized, as empty if need be.

    All of them, where they are a day or two, as in a demo; else the latest, for years without an event tell nobody
    anything.
    """
    if this_hour - first_hour > _HOURS_BEFORE_THE_FIRST_LOOK:
        first_hour = this_hour - 1
    return Memory(closed_up_to=min(first_hour, this_hour) - 1, stale_turn=now, began=now)


def plan(
    look: Look,
    books: "Books",
    states: "Mapping[int, HourState]",
    log: "Resumption",
    ends: Mapping[int, int],
    *,
    few: bool,
) -> tuple[RunPlan | None, bool]:
    """What to do next, and whether that is for stale hours. ``states`` are those of all hours.

    ``few``: there are new offsets, but not enough yet for another run so soon after the last.
    """
    limits, memory, now, busy = look.limits, look.memory, look.now, look.may.busy
    silent: list[int] = []
    # At first, producers that have just started too get the time to send: their events come first.
    if now - memory.began >= limits.small_run_seconds:
        silent = _touch_silent(look, books, states)
    # Rows of an hour that has not begun wait for its partition, and the hour with them.
    due = {hour for hour, state in states.items() if state.waiting and look.first_hour <= hour <= look.this_hour}
    # Documents of an hour that has ended say so, also where no event comes behind it.
    due |= {hour for hour, state in states.items() if state.closes and look.first_hour <= hour < look.this_hour}
    stale = {*silent, *(due.union(memory.again) - set(busy))}
    backlog = _backlog(look, log, ends)
    # Hours that have just closed without an event are new as well, and wait for no turn: a demo's lag never ends.
    if stale and (silent or backlog is None or now - memory.stale_turn >= limits.stale_turn_seconds):
        memory.stale_turn = now
        return plan_stale(stale, limits.max_hours_per_run), True
    if few or backlog is None:
        return None, False
    memory.read_at = now
    return backlog, False


def _backlog(look: Look, log: "Resumption", ends: Mapping[int, int]) -> RunPlan | None:
    """A run over what is unread; None where nothing is."""
    topic, limits, this_hour = look.topic, look.limits, look.this_hour
    timeless, unread_from = _timeless(topic, log, ends, this_hour), log.readable
    return plan_backlog(
        log.begins,
        ends,
        lambda hour: topic.offsets_at(hour * HOUR_MS, ends, unread_from) | (timeless if hour <= this_hour else {}),
        first_hour=look.first_hour,
        last_hour=this_hour,
        max_events=limits.max_events_per_run,
        max_hours=limits.max_hours_per_run,
    )


def _touch_silent(look: Look, books: "Books", states: "Mapping[int, HourState]") -> list[int]:
    """Touch each hour that has closed without a single event, so that it gets its (empty) turn; returns those."""
    closed = range(look.memory.closed_up_to + 1, look.this_hour)
    if set(closed) & set(look.may.busy):
        return []
    silent = [hour for hour in closed if hour not in states or not states[hour].touched]
    books.hours.touch(silent)
    look.memory.closed_up_to = look.this_hour - 1
    return silent


def _timeless(topic: "TopicClient", log: "Resumption", ends: Mapping[int, int], this_hour: int) -> dict[int, int]:
    """Where reading goes on in partitions whose producers gave the next record no time (-1).

    All that waits there counts as recorded now: searched for by time, it would lie before all that has one. Looked
    into are partitions alone whose next record may be older than this hour.
    """
    lagging = {p: at for p, at in log.readable.items() if at < ends[p]}
    if not lagging:
        return {}
    dated = topic.offsets_at(this_hour * HOUR_MS, {p: ends[p] for p in lagging}, lagging)
    before = {p: at for p, at in lagging.items() if at < dated[p]}
    times = topic.record_times(before) if before else {}
    return {p: log.begins[p] for p, time_ms in times.items() if time_ms < 0}
