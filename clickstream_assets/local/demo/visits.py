"""Demo traffic: visits to a made-up shop, as a stream of messages that is the same for the same seed and start.

A visit is a generator of what happens in it; a queue ordered by record time weaves the visits together.
The stream keeps to a schedule (message i is due at its place in the hours asked for, or at the rate): where the
visits under way have nothing to send by then, a new one begins. So neither number nor span is left to chance.
Of its messages about 3 % are crawlers', 1 % late by hours, 0.5 % redelivered, 0.5 % bad in one of the contract's ways.
"""

import heapq
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random

import orjson

from clickstream_assets.events.hours import HOUR_MS
from clickstream_assets.events.message_files import Message
from clickstream_assets.local.demo.browsers import draw_browser, draw_crawler
from clickstream_assets.local.demo.places import draw_address
from clickstream_assets.local.demo.sent_events import (
    Step,
    Visit,
    Visitor,
    as_sent,
    event_of,
    in_segment_spelling,
    spoil,
    uuid_of,
)
from clickstream_assets.local.demo.shop import HOST, Shelf

CRAWLER_VISITS = 0.025
LATE_VISITS = 0.01
REDELIVERED = 0.005
BAD = 0.005
VISITORS = 4000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def demo_messages(
    seed: int,
    start: datetime,
    *,
    events: int | None = None,
    hours: float = 6,
    rate: float = 20,
) -> Iterator[Message]:
    """Demo messages with record times that never decrease.

    With ``events``: that many, evenly over the ``hours`` that end at ``start``. Without: from ``start`` on without
    end, at ``rate`` a second of record time (not of the clock on the wall: see :func:`live_messages`).
    Event ids come from seed and start, so another start gives other events.
    """
    start_ms = (start - _EPOCH) // timedelta(milliseconds=1)
    if events is None:
        # Nothing was there before it: hours of late events alone would look like a fault.
        return _VisitStream(f"{seed}/{start_ms}", start_ms, 1000 / rate, start_ms).messages()
    spacing_ms = hours * HOUR_MS / events
    begin_ms = start_ms - round(hours * HOUR_MS)
    traffic = _VisitStream(f"{seed}/{start_ms}", begin_ms, spacing_ms).messages()
    return (message for message, _ in zip(traffic, range(events), strict=False))


def live_messages(
    seed: int,
    *,
    rate: float = 20,
    start: datetime | None = None,
    now: Callable[[], float] = time.time,
    wait: Callable[[float], object] = time.sleep,
) -> Iterator[Message]:
    """Demo messages as they happen, without end: each is held back until its time, and stamped when it is sent."""
    for message in demo_messages(seed, start or datetime.fromtimestamp(now(), UTC), rate=rate):
        assert message.timestamp_ms is not None
        delay = message.timestamp_ms / 1000 - now()
        if delay > 0:
            wait(delay)
        yield replace(message, timestamp_ms=None)


class _VisitStream:
    """The one generator behind all demo traffic."""

    def __init__(self, seed: str, begin_ms: int, spacing_ms: float, earliest_ms: int = 0) -> None:
        """``earliest_ms``: a visit that would be late by more is in time."""
        self._seed, self._earliest_ms = seed, earliest_ms
        self._begin_ms = begin_ms
        self._spacing_ms = spacing_ms
        self._rng = Random(f"traffic/{seed}")
        self._shelf = Shelf(Random(f"shelf/{seed}"))
        self._visitors: dict[int, Visitor] = {}
        self._ids = count()
        self._order = count()  # so that the queue never compares more than record times
        self._queue: list[tuple[int, int, Visit | None, Step | Message]] = []

    def messages(self) -> Iterator[Message]:
        rng, queue = self._rng, self._queue
        last_ms = self._begin_ms
        for place in count():
            due_ms = self._begin_ms + int(place * self._spacing_ms)
            if not queue or queue[0][0] > due_ms:
                self._begin_visit(max(due_ms, last_ms))
            record_ms, _, visit, what = heapq.heappop(queue)
            last_ms = record_ms = max(record_ms, last_ms)
            if visit is None:
                assert isinstance(what, Message)
                yield replace(what, timestamp_ms=record_ms)
                continue
            assert isinstance(what, Step)
            message = self._message(visit, what, record_ms)
            yield message
            following = next(visit.steps, None)
            if following is not None:
                self._push(following.at_ms + self._latency_ms(), visit, following)
            if message.key is not None and rng.random() < REDELIVERED:
                self._push(record_ms + rng.randrange(50, 5000), None, message)

    def _push(self, record_ms: int, visit: Visit | None, what: Step | Message) -> None:
        heapq.heappush(self._queue, (record_ms, next(self._order), visit, what))

    def _latency_ms(self) -> int:
        return 20 + int(self._rng.expovariate(1 / 180))

    def _begin_visit(self, record_ms: int) -> None:
        rng = self._rng
        crawler = rng.random() < CRAWLER_VISITS
        # Squared, so that some visitors are regulars; crawlers have numbers of their own
        number = -1 - rng.randrange(40) if crawler else int(VISITORS * rng.random() ** 2)
        visitor = self._visitors.get(number)
        if visitor is None:
            visitor = self._visitors[number] = _draw_visitor(Random(f"visitor/{self._seed}/{number}"), number, crawler)
        behind_ms = 0
        if rng.random() < LATE_VISITS:
            # Honest about when, and never seen in time: what only a plain timestamp can say
            visitor = replace(visitor, sends_sent_at=False, clock_off_ms=0)
            late_ms = int(rng.uniform(0.6, 5) * HOUR_MS)
            behind_ms = late_ms if record_ms - late_ms >= self._earliest_ms else 0
        first_ms = record_ms - self._latency_ms()
        steps = (_crawl if crawler else _browse)(rng, self._shelf, visitor, first_ms)
        self._push(record_ms, Visit(visitor, steps, behind_ms), next(steps))

    def _message(self, visit: Visit, step: Step, record_ms: int) -> Message:
        event_id = uuid_of(f"{self._seed}/{next(self._ids)}")
        event = event_of(self._rng, visit, step, event_id, record_ms)
        if self._rng.random() < BAD:
            return Message(spoil(self._rng, event, record_ms), record_ms)
        if visit.visitor.segment:
            event = in_segment_spelling(event)
        return Message(orjson.dumps(event), record_ms)


def _draw_visitor(rng: Random, number: int, crawler: bool) -> Visitor:
    ip: str | None = rng.choice(("66.249.66", "40.77.167", "54.36.148")) + f".{rng.randrange(1, 255)}"
    if not crawler:
        ip = as_sent(rng, draw_address(rng))
    signed_in = not crawler and rng.random() < 0.35
    sends_sent_at = not crawler and rng.random() < 0.3
    clock_off_ms = 0
    if sends_sent_at and rng.random() < 0.3:
        worst_ms = rng.choice((5_000, 5_000, 120_000, 120_000, HOUR_MS, 3 * 365 * 24 * HOUR_MS))
        clock_off_ms = rng.randrange(-worst_ms, worst_ms)
    user_id = (100_000 + number if rng.random() < 0.2 else f"u{number:06}") if signed_in else None
    return Visitor(
        user_id=user_id,
        anonymous_id=uuid_of(f"visitor/{rng.random()}"),
        ip=ip,
        user_agent=draw_crawler(rng) if crawler else draw_browser(rng),
        crawler=crawler,
        segment=not crawler and rng.random() < 0.1,
        sends_sent_at=sends_sent_at,
        clock_off_ms=clock_off_ms,
        epoch_timestamps=rng.random() < 0.15,
        measures=not crawler and rng.random() < 0.25,
        heartbeats=not crawler and rng.random() < 0.08,
    )


def _browse(rng: Random, shelf: Shelf, visitor: Visitor, at_ms: int) -> Iterator[Step]:
    """A person's visit: pages, what is done on them, and how long that takes."""
    url, referrer = shelf.landing(rng)
    pages = 1 + min(int(rng.expovariate(1 / 3)), 25)
    for page in range(pages):
        is_last = page == pages - 1
        dwell_ms = min(int(rng.lognormvariate(10.1, 1.15)), 50 * 60_000)  # half of them under 25 s, few past 30 min
        engaged_ms = round(dwell_ms * rng.uniform(0.5, 1), rng.choice((None, 1))) if visitor.measures else None
        extra: dict[str, object] | None = {"page_number": page + 1} if rng.random() < 0.1 else None
        yield Step(at_ms, "page_view", url, referrer, engaged_ms, extra)
        yield from _on_page(rng, visitor, at_ms, dwell_ms, url)
        if not is_last:
            at_ms += dwell_ms
            referrer = url
            url = shelf.page(rng)
        elif visitor.user_id is not None and rng.random() < 0.06:
            order: dict[str, object] = {
                "order": {"total": round(rng.lognormvariate(4, 0.8), 2), "currency": "EUR", "items": [1, 2]}
            }
            yield Step(at_ms + dwell_ms, "purchase", f"{HOST}/checkout/thanks", url, None, order)


def _on_page(rng: Random, visitor: Visitor, at_ms: int, dwell_ms: int, url: str) -> list[Step]:
    steps = []
    if rng.random() < 0.35:
        depth: dict[str, object] = {"depth_percent": rng.choice((25, 50, 75, 100))}
        steps.append(Step(at_ms + int(dwell_ms * rng.random()), "scroll", url, extra=depth))
    if rng.random() < 0.2:
        element: dict[str, object] = {"element": rng.choice(("add-to-cart", "gallery", "größe", "メニュー"))}
        steps.append(Step(at_ms + int(dwell_ms * rng.random()), "click", url, extra=element))
    if visitor.heartbeats:
        beats = range(at_ms + 15_000, at_ms + min(dwell_ms, 240_000), 15_000)
        steps += [Step(beat_ms, "heartbeat", url) for beat_ms in beats]
    return sorted(steps, key=lambda step: step.at_ms)


def _crawl(rng: Random, shelf: Shelf, visitor: Visitor, at_ms: int) -> Iterator[Step]:
    for _ in range(rng.randrange(3, 16)):
        yield Step(at_ms, "page_view", shelf.page(rng))
        at_ms += rng.randrange(500, 6000)
