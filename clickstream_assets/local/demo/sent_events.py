"""Events as shops' producers send them, the odd and the broken ones included."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

import orjson

from clickstream_assets.events.hours import HOUR_MS, rfc3339


class Step(NamedTuple):
    """Something that happens in a visit."""

    at_ms: int
    event_type: str
    url: str
    referrer: str | None = None
    engaged_ms: float | None = None
    extra: dict[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Visitor:
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


class Visit(NamedTuple):
    visitor: Visitor
    steps: Iterator[Step]
    behind_ms: int  # how long its events lay on a device without a connection


def as_sent(rng: Random, address: str) -> str | None:
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


def event_of(rng: Random, visit: Visit, step: Step, event_id: str, record_ms: int) -> dict[str, object]:
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


def in_segment_spelling(event: dict[str, object]) -> dict[str, object]:
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


def spoil(rng: Random, event: dict[str, object], record_ms: int) -> bytes | None:  # noqa: C901 - a list of cases
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


def uuid_of(text: str) -> str:
    digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-a{digest[17:20]}-{digest[20:]}"
