"""Demo traffic: visits to a made-up shop, as a stream of messages that is the same for the same seed and start.

A visit is a generator of what happens in it; a queue ordered by record time weaves the visits together.
The stream keeps to a schedule (message i is due at its place in the hours asked for, or at the rate): where the
visits under way have nothing to send by then, a new one begins. So neither number nor span is left to chance.
Of its messages about 3 % are crawlers', 1 % late by hours, 0.5 % redelivered, 0.5 % bad in one of the contract's ways.
"""

import hashlib
import heapq
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import NamedTuple

import orjson

from clickstream_assets.events.hours import HOUR_MS, rfc3339
from clickstream_assets.events.message_files import Message
from clickstream_assets.local.demo.browsers import draw_browser, draw_crawler
from clickstream_assets.local.demo.places import draw_address
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
        return _Traffic(f"{seed}/{start_ms}", start_ms, 1000 / rate, start_ms).messages()
    spacing_ms = hours * HOUR_MS / events
    begin_ms = start_ms - round(hours * HOUR_MS)
    traffic = _Traffic(f"{seed}/{start_ms}", begin_ms, spacing_ms).messages()
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


class _Step(NamedTuple):
    """Something that happens in a visit."""

    at_ms: int
    event_type: str
    url: str
    referrer: str | None = None
    engaged_ms: float | None = None
    extra: dict[str, object] | None = None


@dataclass(frozen=True, slots=True)
class _Visitor:
    """What stays the same over a visitor's visits."""

    user_id: str | int | None
    anonymous_id: str
    ip: str | None
    user_agent: str
    crawler: bool
    segment: bool  # sends Segment's spelling
    sends_sent_at: bool  # and so may have a clock that is off
    clock_off_ms: int
    epoch_timestamps: bool
    measures: bool  # sends engagement_time_ms
    heartbeats: bool


class _Visit(NamedTuple):
    visitor: _Visitor
    steps: Iterator[_Step]
    behind_ms: int  # how long its events lay on a device without a connection


class _Traffic:
    """The one generator behind all demo traffic."""

    def __init__(self, seed: str, begin_ms: int, spacing_ms: float, earliest_ms: int = 0) -> None:
        """``earliest_ms``: a visit that would be late by more is in time."""
        self._seed, self._earliest_ms = seed, earliest_ms
        self._begin_ms = begin_ms
        self._spacing_ms = spacing_ms
        self._rng = Random(f"traffic/{seed}")
        self._shelf = Shelf(Random(f"shelf/{seed}"))
        self._visitors: dict[int, _Visitor] = {}
        self._ids = count()
        self._order = count()  # so that the queue never compares more than record times
        self._queue: list[tuple[int, int, _Visit | None, _Step | Message]] = []

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
            assert isinstance(what, _Step)
            message = self._message(visit, what, record_ms)
            yield message
            following = next(visit.steps, None)
            if following is not None:
                self._push(following.at_ms + self._latency_ms(), visit, following)
            if message.key is not None and rng.random() < REDELIVERED:
                self._push(record_ms + rng.randrange(50, 5000), None, message)

    def _push(self, record_ms: int, visit: _Visit | None, what: _Step | Message) -> None:
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
        self._push(record_ms, _Visit(visitor, steps, behind_ms), next(steps))

    def _message(self, visit: _Visit, step: _Step, record_ms: int) -> Message:
        event_id = _uuid(f"{self._seed}/{next(self._ids)}")
        event = _event(self._rng, visit, step, event_id, record_ms)
        if self._rng.random() < BAD:
            return Message(_spoil(self._rng, event, record_ms), record_ms)
        if visit.visitor.segment:
            event = _in_segment_spelling(event)
        return Message(orjson.dumps(event), record_ms)


def _draw_visitor(rng: Random, number: int, crawler: bool) -> _Visitor:
    ip: str | None = rng.choice(("66.249.66", "40.77.167", "54.36.148")) + f".{rng.randrange(1, 255)}"
    if not crawler:
        ip = _as_sent(rng, draw_address(rng))
    signed_in = not crawler and rng.random() < 0.35
    sends_sent_at = not crawler and rng.random() < 0.3
    clock_off_ms = 0
    if sends_sent_at and rng.random() < 0.3:
        worst_ms = rng.choice((5_000, 5_000, 120_000, 120_000, HOUR_MS, 3 * 365 * 24 * HOUR_MS))
        clock_off_ms = rng.randrange(-worst_ms, worst_ms)
    user_id = (100_000 + number if rng.random() < 0.2 else f"u{number:06}") if signed_in else None
    return _Visitor(
        user_id=user_id,
        anonymous_id=_uuid(f"visitor/{rng.random()}"),
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


def _as_sent(rng: Random, address: str) -> str | None:
    """A client's address as it reaches the collector: bare, behind proxies, with a port, or not at all."""
    chance = rng.random()
    if chance < 0.8:
        return address
    if chance < 0.88:
        return f"{address}, 10.{rng.randrange(256)}.0.{rng.randrange(1, 255)}"
    if chance < 0.92:
        return f"192.168.1.{rng.randrange(2, 255)}, {address}, 172.16.0.{rng.randrange(1, 255)}"
    if chance < 0.96:
        return (f"[{address}]" if ":" in address else address) + f":{rng.randrange(1024, 65536)}"
    return rng.choice((None, f"10.20.{rng.randrange(256)}.7", "unknown"))


def _browse(rng: Random, shelf: Shelf, visitor: _Visitor, at_ms: int) -> Iterator[_Step]:
    """A person's visit: pages, what is done on them, and how long that takes."""
    url, referrer = shelf.landing(rng)
    pages = 1 + min(int(rng.expovariate(1 / 3)), 25)
    for page in range(pages):
        is_last = page == pages - 1
        dwell_ms = min(int(rng.lognormvariate(10.1, 1.15)), 50 * 60_000)  # half of them under 25 s, few past 30 min
        engaged_ms = round(dwell_ms * rng.uniform(0.5, 1), rng.choice((None, 1))) if visitor.measures else None
        extra: dict[str, object] | None = {"page_number": page + 1} if rng.random() < 0.1 else None
        yield _Step(at_ms, "page_view", url, referrer, engaged_ms, extra)
        yield from _on_page(rng, visitor, at_ms, dwell_ms, url)
        if not is_last:
            at_ms += dwell_ms
            referrer = url
            url = shelf.page(rng)
        elif visitor.user_id is not None and rng.random() < 0.06:
            order: dict[str, object] = {
                "order": {"total": round(rng.lognormvariate(4, 0.8), 2), "currency": "EUR", "items": [1, 2]}
            }
            yield _Step(at_ms + dwell_ms, "purchase", f"{HOST}/checkout/thanks", url, None, order)


def _on_page(rng: Random, visitor: _Visitor, at_ms: int, dwell_ms: int, url: str) -> list[_Step]:
    steps = []
    if rng.random() < 0.35:
        depth: dict[str, object] = {"depth_percent": rng.choice((25, 50, 75, 100))}
        steps.append(_Step(at_ms + int(dwell_ms * rng.random()), "scroll", url, extra=depth))
    if rng.random() < 0.2:
        element: dict[str, object] = {"element": rng.choice(("add-to-cart", "gallery", "größe", "メニュー"))}
        steps.append(_Step(at_ms + int(dwell_ms * rng.random()), "click", url, extra=element))
    if visitor.heartbeats:
        beats = range(at_ms + 15_000, at_ms + min(dwell_ms, 240_000), 15_000)
        steps += [_Step(beat_ms, "heartbeat", url) for beat_ms in beats]
    return sorted(steps, key=lambda step: step.at_ms)


def _crawl(rng: Random, shelf: Shelf, visitor: _Visitor, at_ms: int) -> Iterator[_Step]:
    for _ in range(rng.randrange(3, 16)):
        yield _Step(at_ms, "page_view", shelf.page(rng))
        at_ms += rng.randrange(500, 6000)


def _event(rng: Random, visit: _Visit, step: _Step, event_id: str, record_ms: int) -> dict[str, object]:
    """The event as a client words it, by the contract's plain names."""
    visitor = visit.visitor
    device_ms = step.at_ms - visit.behind_ms + visitor.clock_off_ms
    as_written: Callable[[int], object] = int if visitor.epoch_timestamps else rfc3339
    event: dict[str, object] = {
        "event_id": event_id,
        "event_type": step.event_type,
        "timestamp": as_written(device_ms),
        "url": step.url,
        "anonymous_id": visitor.anonymous_id,
    }
    if visitor.user_id is not None:
        event["user_id"] = visitor.user_id
    if visitor.sends_sent_at:
        on_the_way_ms = rng.randrange(5, 40)
        event["sent_at"] = as_written(max(device_ms, record_ms - on_the_way_ms + visitor.clock_off_ms))
    optional = {
        "engagement_time_ms": step.engaged_ms,
        "ip": visitor.ip,
        "user_agent": visitor.user_agent,
        "referrer": step.referrer,
    }
    event.update({name: value for name, value in optional.items() if value is not None})
    if step.extra:
        event.update(step.extra)
    return event


def _in_segment_spelling(event: dict[str, object]) -> dict[str, object]:
    names = {
        "event_id": "messageId",
        "user_id": "userId",
        "anonymous_id": "anonymousId",
        "event_type": "type",
        "timestamp": "originalTimestamp",
        "sent_at": "sentAt",
    }
    inner = {"ip", "user_agent", "url", "referrer"}
    page = {name: event[name] for name in ("url", "referrer") if name in event}
    context = {"ip": event.get("ip"), "userAgent": event["user_agent"], "page": page}
    return {names.get(name, name): value for name, value in event.items() if name not in inner} | {"context": context}


def _spoil(rng: Random, event: dict[str, object], record_ms: int) -> bytes | None:  # noqa: C901 - a list of cases
    """The event broken in one of the ways that the contract refuses; None is a tombstone."""
    kind = rng.choices(range(12), (1, 4, 4, 4, 2, 4, 4, 4, 4, 4, 4, 4))[0]
    honest = {name: value for name, value in event.items() if name != "sent_at"}
    match kind:
        case 0:  # too_large
            return orjson.dumps(event | {"screenshot": "iVBORw0KGgo" * 100_000})
        case 1:  # invalid_encoding
            return orjson.dumps(event | {"title": "Fjäll"}).replace("ä".encode(), "ä".encode("latin-1"))
        case 2:  # invalid_json
            body = orjson.dumps(event)
            return body[: len(body) // 2] if rng.random() < 0.5 else body[:-1] + b',"scroll":NaN}'
        case 3:  # not_an_object
            return orjson.dumps([event])
        case 4:  # not_an_object too
            return None
        case 5:  # missing_field
            missing = rng.choice(({"url"}, {"timestamp"}, {"user_id", "anonymous_id"}))
            return orjson.dumps({name: value for name, value in event.items() if name not in missing})
        case 6:  # wrong_type
            return orjson.dumps(event | rng.choice(({"user_id": 1.5}, {"url": 7}, {"referrer": ["a", "b"]})))
        case 7:  # invalid_text
            return orjson.dumps(event | {"referrer": "https://news.example.org/\0"})
        case 8:  # invalid_timestamp
            when = rng.choice(("yesterday", "2026-02-30T12:00:00Z", "11/23/2026 10:00"))
            return orjson.dumps(honest | {"timestamp": when})
        case 9:  # invalid_url
            return orjson.dumps(event | {"url": rng.choice(("/cart", "about:blank", "https://bad host/"))})
        case 10:  # timestamp_in_future
            return orjson.dumps(honest | {"timestamp": record_ms + rng.randrange(1, 48) * HOUR_MS})
        case _:  # before_first_partition: a device whose clock begins in 1970
            return orjson.dumps(honest | {"timestamp": rfc3339(rng.randrange(60_000))})


def _uuid(text: str) -> str:
    digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-a{digest[17:20]}-{digest[20:]}"
