"""From a Kafka message to a click event, or to the reason why not (docs/contract.md, "An event")."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from itertools import chain
from time import time
from typing import Any, NamedTuple, NoReturn

import orjson

from clickstream_assets.events.hours import HOUR_MS
from clickstream_assets.events.urls import DEFAULT_RULES, InvalidUrl, UrlRules, normalized_url

MAX_MESSAGE_BYTES = 1 << 20
MAX_LEVELS = 128
"""How deeply a message may be nested; the object itself is the first level."""
MAX_USER_BYTES = 512
MAX_NAME_CHARACTERS = 128
"""Of ``event_id`` and of ``event_type``."""
MAX_REQUEST_CHARACTERS = 2_048
"""``user_agent`` and ``referrer`` are cut after so many; a longer ``ip`` counts as missing."""
FUTURE_TOLERANCE_MS = 5 * 60 * 1000
"""How far a device clock may run ahead of the Kafka record time before its event is refused."""
ROUNDED_MS = 2_000
"""``sent_at`` may lie before ``timestamp`` by so much: it was rounded to a second, or read a moment earlier."""
CLICK_TYPES = frozenset({"page_view", "click"})
LEAVE_TYPES = frozenset({"page_leave", "pageleave", "$pageleave"})
"""Event types that end a view of their url."""
DEFAULT_TYPE = "page_view"
_VIEWS = frozenset({"pageview", "$pageview"})
"""Other spellings of ``page_view``."""
_SEGMENT_VIEWS = frozenset({"page", "screen"})
"""What Segment's ``type`` says of a view."""
_NO_IDS = (
    "undefined null none nil nan n/a true false 0 anonymous guest not_authenticated id distinct_id distinctid email "
    "00000000-0000-0000-0000-000000000000"
)
NO_IDS = frozenset({"", "[object object]", *_NO_IDS.split()})
"""Words that mean that there is no id, in lower case: programs write them in any case."""
_LONGEST_NO_ID = max(map(len, NO_IDS))

REASONS = (
    "too_large",
    "invalid_encoding",
    "invalid_json",
    "not_an_object",
    "missing_field",
    "wrong_type",
    "too_long",
    "invalid_text",
    "invalid_timestamp",
    "invalid_url",
    "timestamp_in_future",
    "before_first_partition",
)

SEGMENT_SPELLINGS: dict[str, tuple[tuple[str, ...], ...]] = {
    "event_id": (("messageId",),),
    "user_id": (("userId",),),
    "anonymous_id": (("anonymousId",),),
    "event_type": (("type",),),
    "timestamp": (("originalTimestamp",),),
    "sent_at": (("sentAt",),),
    "received_at": (("receivedAt",),),
    "ip": (("context", "ip"),),
    "user_agent": (("context", "userAgent"),),
    "url": (("context", "page", "url"), ("properties", "url")),
    "referrer": (("context", "page", "referrer"), ("properties", "referrer")),
}
"""Where a field is looked for, in this order, if it is missing under its own name."""
FIELDS = (*SEGMENT_SPELLINGS, "engagement_time_ms")

_TO_THE_SECOND = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)", re.ASCII)
_FRACTION_AND_ZONE = re.compile(r"(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)
_LONG_NUMBER = re.compile(rb"\d{19}")
_EXACT_TYPES = frozenset({str, int, bool, type(None)})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_CACHED_CHARACTERS = 256
"""Longer texts are not cached: a cache bounds how many texts it holds, and this how long they are."""


class Refused(Exception):
    """A message that belongs in the dead letters.

    ``reason`` is one of :data:`REASONS`; ``detail`` names the field and what is wrong with it.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


class ClickEvent(NamedTuple):
    """An event as it is stored: times in epoch milliseconds, the url normalised for metrics."""

    event_id: str | None
    event_type: str
    time_ms: int
    url: str
    user_id: str | None
    anonymous_id: str | None
    engagement_time_ms: int | None
    ip: str | None
    user_agent: str | None
    referrer: str | None
    client_time_ms: int
    """``timestamp`` as the device sent it, before its clock was corrected."""
    sent_at_ms: int | None
    received_at_ms: int | None
    url_as_sent: str
    properties: bytes | None
    """A JSON object of all fields the contract does not name, as sent."""

    @property
    def user_key(self) -> str:
        """Tells users apart: the kind of the id, then the id, so that the two kinds never collide."""
        return f"a{self.anonymous_id}" if self.user_id is None else f"u{self.user_id}"

    @property
    def hour(self) -> int:
        """The event hour, in whole hours since the epoch."""
        return self.time_ms // HOUR_MS


def decode(
    message: bytes | None, record_time_ms: int, first_hour_ms: int, url_rules: UrlRules = DEFAULT_RULES
) -> ClickEvent:
    """One Kafka message's bytes (None for a tombstone) as an event; raises :class:`Refused`.

    Both times are epoch milliseconds: the Kafka record's (below 0: it has none), and the first partition's start.
    """
    obj = _json_object(message)
    pick: Callable[[str], Any] = obj.get if _SEGMENT_NAMES.isdisjoint(obj) else partial(_pick, obj)
    if message and b"\\u0000" in message:  # the one spelling of U+0000 in JSON
        _refuse_nul(pick)
    client_time = _time_ms(pick("timestamp"), "timestamp")
    if client_time is None:
        raise Refused("missing_field", "timestamp")
    url = _text(pick("url"), "url")
    if url is None:
        raise Refused("missing_field", "url")
    user_id, anonymous_id = _user(pick("user_id"), "user_id"), _user(pick("anonymous_id"), "anonymous_id")
    if user_id is None and anonymous_id is None:
        raise Refused("missing_field", "user_id or anonymous_id")
    sent_at, received_at = _time_ms(pick("sent_at"), "sent_at"), _time_ms(pick("received_at"), "received_at")
    corrected = _by_the_broker(obj, client_time, sent_at, received_at, record_time_ms)
    ip = _text(pick("ip"), "ip")
    return ClickEvent(
        _name(None if _means_no_id(event_id := pick("event_id")) else event_id, "event_id"),
        _event_type(obj),
        _event_time(corrected, record_time_ms, first_hour_ms),
        _url(url, url_rules),
        user_id,
        anonymous_id,
        _engagement(pick("engagement_time_ms")),
        None if ip is not None and len(ip) > MAX_REQUEST_CHARACTERS else ip,
        _cut(_text(pick("user_agent"), "user_agent")),
        _cut(_text(pick("referrer"), "referrer")),
        client_time,
        sent_at,
        received_at,
        url,
        _properties(obj),
    )


def _json_object(message: bytes | None) -> dict[str, Any]:
    if message is None:
        raise Refused("not_an_object", "a tombstone: the message has no value")
    if len(message) > MAX_MESSAGE_BYTES:
        raise Refused("too_large", f"{len(message)} bytes, {MAX_MESSAGE_BYTES} at most")
    try:
        obj = orjson.loads(message)
    except orjson.JSONDecodeError as error:
        try:
            message.decode()
        except UnicodeDecodeError as not_utf8:
            raise Refused("invalid_encoding", f"not UTF-8 at byte {not_utf8.start}") from None
        raise Refused("invalid_json", str(error)) from None
    if not isinstance(obj, dict):
        raise Refused("not_an_object", f"a JSON {_json_type(obj)}")
    # Only a double, or what may hold one, can be an integer that was rounded; only what holds others is nested.
    if not _EXACT_TYPES.issuperset(map(type, obj.values())):
        if (levels := _levels(message)) > MAX_LEVELS:
            raise Refused("invalid_json", f"nested {levels} levels deep, {MAX_LEVELS} at most")
        if _LONG_NUMBER.search(message):
            # orjson rounds integers beyond 64 bits to doubles; json, on text that orjson has passed, does not.
            obj = json.loads(message)
    return obj


def _levels(message: bytes) -> int:
    """How deeply JSON is nested; 1 where it has too few brackets to be nested too deeply."""
    if message.count(b"[") + message.count(b"{") <= MAX_LEVELS:
        return 1
    import numpy as np

    # Of valid JSON: a backslash is within a string, and a quote that none stands before begins or ends one.
    text = np.frombuffer(message.replace(rb"\\", b"").replace(rb"\"", b""), np.uint8)
    outside = np.cumsum(text == ord('"')) % 2 == 0
    opens = ((text == ord("[")) | (text == ord("{"))) & outside
    closes = ((text == ord("]")) | (text == ord("}"))) & outside
    return int(np.cumsum(opens.astype(np.int32) - closes).max())


def _pick(obj: dict[str, Any], name: str) -> Any:
    value = obj.get(name)
    for spelling in SEGMENT_SPELLINGS.get(name, ()):
        if value is not None and value != "":
            break
        value = obj
        for step in spelling:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def _json_type(value: object) -> str:
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _wrong_type(name: str, value: object) -> NoReturn:
    raise Refused("wrong_type", f"{name}: a {_json_type(value)}")


def _refuse_nul(pick: Callable[[str], Any]) -> None:
    for name in FIELDS:
        value = pick(name)
        if isinstance(value, str) and "\0" in value:
            raise Refused("invalid_text", f"{name}: holds U+0000")


def _text(value: Any, name: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        _wrong_type(name, value)
    return value or None


def _name(value: Any, field: str) -> str | None:
    text = _text(value, field)
    if text is not None and len(text) > MAX_NAME_CHARACTERS:
        raise Refused("too_long", f"{field}: {len(text)} characters, {MAX_NAME_CHARACTERS} at most")
    return text


def _cut(text: str | None) -> str | None:
    return text if text is None else text[:MAX_REQUEST_CHARACTERS]


def _means_no_id(value: Any) -> bool:
    """Whether an id is missing, or a word that programs write in its place."""
    if value is None:
        return True
    if isinstance(value, str):
        stripped = value.strip()
        return len(stripped) <= _LONGEST_NO_ID and stripped.lower() in NO_IDS
    return type(value) is int and value == 0


def _user(value: Any, field: str) -> str | None:
    if _means_no_id(value):
        return None
    if isinstance(value, str):
        if len(value) > MAX_USER_BYTES // 4 and (size := len(value.encode())) > MAX_USER_BYTES:
            raise Refused("too_long", f"{field}: {size} bytes, {MAX_USER_BYTES} at most")
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        _wrong_type(field, value)
    if not -(1 << 63) <= value < 1 << 63:
        raise Refused("wrong_type", f"{field}: an integer beyond 64 bits")
    return str(value)


def _event_type(obj: dict[str, Any]) -> str:
    own = _name(obj.get("event_type"), "event_type")
    if own is not None:
        return DEFAULT_TYPE if own in _VIEWS else own
    segment = _name(obj.get("type"), "type")
    return DEFAULT_TYPE if segment is None or segment in _VIEWS or segment in _SEGMENT_VIEWS else segment


def _engagement(value: Any) -> int | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        _wrong_type("engagement_time_ms", value)
    if value < 0:
        raise Refused("wrong_type", f"engagement_time_ms: {value} is below 0")
    return int(value)


def _time_ms(value: Any, name: str) -> int | None:
    """Epoch milliseconds, truncated, of an RFC 3339 string or a number of them; None if the field is missing."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return _parsed_time_ms(value, name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        _wrong_type(name, value)
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


def _by_the_broker(
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


def _event_time(time_ms: int, record_ms: int, first_hour_ms: int) -> int:
    """The event time as it is stored; a record without a time is judged by the moment of reading."""
    if record_ms < 0:
        record_ms = int(time() * 1000)
    if time_ms > record_ms + FUTURE_TOLERANCE_MS:
        raise Refused("timestamp_in_future", f"timestamp: {time_ms - record_ms} ms ahead of the record time")
    time_ms = min(time_ms, record_ms)
    if time_ms < first_hour_ms:
        raise Refused("before_first_partition", f"timestamp: {first_hour_ms - time_ms} ms too early")
    return time_ms


def _url(url: str, rules: UrlRules) -> str:
    try:
        return normalized_url(url, rules)
    except InvalidUrl as error:
        raise Refused("invalid_url", f"url: {error}") from None


def _named_fields() -> dict[str, Any]:
    """Every spelling of every named field: None at its name, a dictionary at each container around it."""
    names: dict[str, Any] = dict.fromkeys(FIELDS)
    for *containers, name in chain.from_iterable(SEGMENT_SPELLINGS.values()):
        inside = names
        for container in containers:
            inside = inside.setdefault(container, {})
        inside[name] = None
    return names


_NAMED_FIELDS = _named_fields()
_FLAT_FIELDS = frozenset(name for name, inside in _NAMED_FIELDS.items() if not inside)
_SEGMENT_NAMES = frozenset(spelling[0] for spelling in chain.from_iterable(SEGMENT_SPELLINGS.values()))


def _others(obj: dict[str, Any], named: dict[str, Any]) -> dict[str, Any]:
    """``obj`` without its named fields, nor the containers that held nothing else."""
    rest = {}
    for name, value in obj.items():
        inside = named.get(name)
        if name not in named or (inside and not (value and isinstance(value, dict))):
            rest[name] = value
        elif inside and (others := _others(value, inside)):
            rest[name] = others
    return rest


def _properties(obj: dict[str, Any]) -> bytes | None:
    """What the contract does not name, as JSON.

    Addresses and user agents inside ``context`` are named fields: kept here they would outlive their TTL.
    """
    if _FLAT_FIELDS.issuperset(obj) or not (rest := _others(obj, _NAMED_FIELDS)):
        return None
    try:
        return orjson.dumps(rest)
    except TypeError:  # an integer beyond 64 bits
        return json.dumps(rest, ensure_ascii=False, separators=(",", ":")).encode()
