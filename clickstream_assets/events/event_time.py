"""When an event happened: times as they are sent, and whose clock counts."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from time import time
from typing import Any

from clickstream_assets.events.refusals import Refused, wrong_type

FUTURE_TOLERANCE_MS = 5 * 60 * 1000
"""How far a device clock may run ahead of the Kafka record time before its event is refused."""
ROUNDED_MS = 2_000
"""``sent_at`` may lie before ``timestamp`` by so much: it was rounded to a second, or read a moment earlier."""
_TO_THE_SECOND = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)", re.ASCII)
_FRACTION_AND_ZONE = re.compile(r"(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)
LONG_NUMBER = re.compile(rb"\d{19}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_CACHED_CHARACTERS = 256
"""Longer texts are not cached: a cache bounds how many texts it holds, and this how long they are."""


def time_in_ms(value: Any, name: str) -> int | None:
    """Epoch milliseconds, truncated, of an RFC 3339 string or a number of them; None if the field is missing."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return _parsed_time_ms(value, name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        wrong_type(name, value)
    return int(value)


def _parsed_time_ms(text: str, name: str) -> int:
    second, rest = text[:19], text[19:]
    try:
        if len(rest) > _CACHED_CHARACTERS:
            return _second_ms(second) + _rest_ms.__wrapped__(rest)
        return _second_ms(second) + _rest_ms(rest)
    except ValueError as error:
        raise Refused("invalid_timestamp", f"{name}: {text[:64]!r}: {error}") from None


@lru_cache(maxsize=1 << 14)
def _second_ms(text: str) -> int:
    """Epoch milliseconds of an RFC 3339 time to the second, taken as UTC; raises ValueError."""
    match = _TO_THE_SECOND.fullmatch(text)
    if match is None:
        raise ValueError("not RFC 3339")
    day, clock = match.groups()
    return (datetime.fromisoformat(f"{day}T{clock}+00:00") - _EPOCH) // _SECOND * 1000


@lru_cache(maxsize=1 << 12)
def _rest_ms(text: str) -> int:
    """Milliseconds that the fraction and the zone of an RFC 3339 time add; raises ValueError."""
    match = _FRACTION_AND_ZONE.fullmatch(text)
    if match is None:
        raise ValueError("not RFC 3339")
    fraction, zone = match.groups()
    ahead = (
        timedelta() if zone in (None, "Z", "z") else datetime.fromisoformat(f"2000-01-01T00:00:00{zone}").utcoffset()
    )
    assert ahead is not None
    return (int(f"{fraction}000"[:3]) if fraction else 0) - ahead // _SECOND * 1000


def by_the_broker(
    obj: dict[str, Any], client_ms: int, sent_ms: int | None, received_ms: int | None, record_ms: int
) -> int:
    """When the event happened, by the clock of whoever received it.

    Where the device says when it sent the event, the error of its clock cancels out: the event happened as long before
    it was received as before it was sent. This is not done where the times come from different clocks: ``sent_at`` lies
    long before the event, or a collector has corrected ``timestamp`` and keeps the device's in ``originalTimestamp``.
    """
    received = received_ms if received_ms is not None else record_ms if record_ms >= 0 else None
    if sent_ms is None or received is None or sent_ms - client_ms < -ROUNDED_MS:
        return client_ms
    if all(obj.get(name) not in (None, "") for name in ("timestamp", "originalTimestamp")):
        return client_ms
    return received - max(0, sent_ms - client_ms)


def event_time(time_ms: int, record_ms: int, first_hour_ms: int, max_age_ms: int = 0) -> int:
    """The event time as it is stored; a record without a time is judged by the moment of reading.

    An event may be ``max_age_ms`` before its record; 0: any time.
    """
    if record_ms < 0:
        record_ms = int(time() * 1000)
    if time_ms > record_ms + FUTURE_TOLERANCE_MS:
        raise Refused("timestamp_in_future", f"timestamp: {time_ms - record_ms} ms ahead of the record time")
    time_ms = min(time_ms, record_ms)
    if time_ms < first_hour_ms:
        raise Refused("before_first_partition", f"timestamp: {first_hour_ms - time_ms} ms too early")
    if max_age_ms and record_ms - time_ms > max_age_ms:
        raise Refused("too_old", f"timestamp: {record_ms - time_ms} ms before the record time, {max_age_ms} at most")
    return time_ms
