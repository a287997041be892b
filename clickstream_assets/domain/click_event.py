"""From a Kafka message to a click event, or to the reason why not (contract: "An event")."""

import json
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlsplit

import orjson

from clickstream_assets.domain.hours import HOUR_MS

MAX_MESSAGE_BYTES = 1 << 20
MAX_URL_BYTES = 8_192
MAX_EVENT_ID_CHARACTERS = 128
FUTURE_TOLERANCE_MS = 5 * 60 * 1000
"""How far a device clock may run ahead of the Kafka record time before its event is refused."""
CLICK_TYPES = frozenset({"page_view", "click"})
DEFAULT_TYPE = "page_view"

REASONS = (
    "too_large",
    "invalid_encoding",
    "invalid_json",
    "not_an_object",
    "missing_field",
    "wrong_type",
    "invalid_text",
    "invalid_timestamp",
    "invalid_url",
    "timestamp_in_future",
    "before_first_partition",
)

SEGMENT_SPELLING = {
    "event_id": ("messageId",),
    "user_id": ("userId",),
    "anonymous_id": ("anonymousId",),
    "event_type": ("type",),
    "timestamp": ("originalTimestamp",),
    "sent_at": ("sentAt",),
    "ip": ("context", "ip"),
    "user_agent": ("context", "userAgent"),
    "url": ("context", "page", "url"),
    "referrer": ("context", "page", "referrer"),
}
FIELDS = (*SEGMENT_SPELLING, "engagement_time_ms")

_TRACKING = frozenset(
    {
        "gclid",
        "gbraid",
        "wbraid",
        "dclid",
        "fbclid",
        "msclkid",
        "yclid",
        "mc_cid",
        "mc_eid",
        "igshid",
        "_ga",
    }
)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_BLANK_OR_CONTROL = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")
_TO_THE_SECOND = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)", re.ASCII)
_FRACTION_AND_ZONE = re.compile(r"(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)
_PLAIN_URL = re.compile(r"(https?://[a-z0-9.-]+)(/[!\"$->@-~]*)?(?:\?([!\"$-~]*))?")
"""A url in which nothing but the path and the query may need a hand: no port, user info, fragment, upper-case host."""
_LONG_NUMBER = re.compile(rb"\d{19}")
_EXACT_TYPES = frozenset({str, int, bool, type(None)})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_CACHED_CHARACTERS = 256
"""Longer texts are not remembered: caches hold a bounded number of them, and are to be bounded in bytes too."""


_TOO_DEEP = "nested too deeply"


class Refused(Exception):
    """A message that belongs in the dead letters.

    ``reason`` is one of :data:`REASONS`; ``detail`` names the field and what is wrong with it.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


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
    """``timestamp`` as the device sent it, before the correction by ``sent_at`` and the record time."""
    sent_at_ms: int | None
    url_as_sent: str
    properties: bytes | None
    """A JSON object of all fields the contract does not name, as sent."""

    @property
    def hour(self) -> int:
        """The event hour, in whole hours since the epoch."""
        return self.time_ms // HOUR_MS


def decode(message: bytes | None, record_time_ms: int, first_hour_ms: int) -> ClickEvent:
    """One Kafka message's bytes (None for a tombstone) as an event; raises :class:`Refused`.

    ``record_time_ms`` is the Kafka record's timestamp, ``first_hour_ms`` the start of the first partition,
    both in epoch milliseconds.
    """
    obj = _json_object(message)
    pick: Any = obj.get if _SEGMENT_NAMES.isdisjoint(obj) else partial(_pick, obj)
    timestamp, url = pick("timestamp"), pick("url")
    if timestamp is None or timestamp == "":
        raise Refused("missing_field", "timestamp")
    if url is None or url == "":
        raise Refused("missing_field", "url")
    user_id, anonymous_id = _user(pick("user_id"), "user_id"), _user(pick("anonymous_id"), "anonymous_id")
    if user_id is None and anonymous_id is None:
        raise Refused("missing_field", "user_id or anonymous_id")
    event_id = _text(pick("event_id"), "event_id")
    if event_id is not None and len(event_id) > MAX_EVENT_ID_CHARACTERS:
        raise Refused("wrong_type", f"event_id: {len(event_id)} characters, {MAX_EVENT_ID_CHARACTERS} at most")
    event_type = _text(pick("event_type"), "event_type")
    ip, user_agent = _text(pick("ip"), "ip"), _text(pick("user_agent"), "user_agent")
    referrer = _text(pick("referrer"), "referrer")
    engagement = _engagement(pick("engagement_time_ms"))
    client_time = _time_ms(timestamp, "timestamp")
    sent_at = pick("sent_at")
    sent_at = None if sent_at is None or sent_at == "" else _time_ms(sent_at, "sent_at")
    if not isinstance(url, str):
        _wrong_type("url", url)
    _no_nul(url, "url")
    return ClickEvent(
        event_id,
        event_type or DEFAULT_TYPE,
        _event_time(client_time, sent_at, record_time_ms, first_hour_ms),
        _normalized_once(url) if len(url) <= _CACHED_CHARACTERS else normalized_url(url),
        user_id,
        anonymous_id,
        engagement,
        ip,
        user_agent,
        referrer,
        client_time,
        sent_at,
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
    # Only a double, or what may hold one, can be an integer that was rounded.
    if not _EXACT_TYPES.issuperset(map(type, obj.values())) and _LONG_NUMBER.search(message):
        # orjson rounds integers beyond 64 bits to doubles; json, on text that orjson has passed, does not.
        try:
            obj = json.loads(message)
        except RecursionError:
            raise Refused("invalid_json", _TOO_DEEP) from None
    return obj


def _pick(obj: dict[str, Any], name: str) -> Any:
    value = obj.get(name)
    if (value is None or value == "") and name in SEGMENT_SPELLING:
        value = obj
        for step in SEGMENT_SPELLING[name]:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def _json_type(value: object) -> str:
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _wrong_type(name: str, value: object) -> NoReturn:
    raise Refused("wrong_type", f"{name}: a {_json_type(value)}")


def _no_nul(value: str, name: str) -> None:
    if "\0" in value:
        raise Refused("invalid_text", f"{name}: holds U+0000")


def _text(value: Any, name: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        _wrong_type(name, value)
    _no_nul(value, name)
    return value or None


def _user(value: Any, name: str) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return _text(value, name)
    if isinstance(value, bool) or not isinstance(value, int):
        _wrong_type(name, value)
    if not -(1 << 63) <= value < 1 << 63:
        raise Refused("wrong_type", f"{name}: an integer beyond 64 bits")
    return str(value)


def _engagement(value: Any) -> int | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        _wrong_type("engagement_time_ms", value)
    if value < 0:
        raise Refused("wrong_type", f"engagement_time_ms: {value} is below 0")
    return int(value)


def _time_ms(value: Any, name: str) -> int:
    """Epoch milliseconds, truncated, of an RFC 3339 string or a number of them."""
    if isinstance(value, str):
        _no_nul(value, name)
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


def _event_time(client_ms: int, sent_at_ms: int | None, record_ms: int, first_hour_ms: int) -> int:
    """When it happened by the broker's clock.

    A device that says when it sent the event lets its own clock's error cancel out: what counts is how long
    before sending it happened.
    """
    time_ms = client_ms
    if sent_at_ms is not None and sent_at_ms >= client_ms:
        time_ms = record_ms - (sent_at_ms - client_ms)
    if time_ms > record_ms + FUTURE_TOLERANCE_MS:
        raise Refused("timestamp_in_future", f"timestamp: {time_ms - record_ms} ms ahead of the record time")
    time_ms = min(time_ms, record_ms)
    if time_ms < first_hour_ms:
        raise Refused("before_first_partition", f"timestamp: {first_hour_ms - time_ms} ms too early")
    return time_ms


def normalized_url(url: str) -> str:
    """The url that metrics count by; raises :class:`Refused`.

    Scheme and host in lower case, no user info, default port or fragment, ``/`` for an empty path, no empty
    or tracking query parameters; what is left stays as sent and in order.
    """
    if (plain := _PLAIN_URL.fullmatch(url)) is not None and len(url) <= MAX_URL_BYTES:
        place, path, query = plain.groups()
        return f"{place}{path or '/'}{_kept_query(query)}"
    if len(url.encode()) > MAX_URL_BYTES:
        raise Refused("invalid_url", f"url: {len(url.encode())} bytes, {MAX_URL_BYTES} at most")
    if _BLANK_OR_CONTROL.search(url):
        raise Refused("invalid_url", "url: holds white space or a control character")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Refused("invalid_url", f"url: {error}") from None
    if parts.scheme not in _DEFAULT_PORTS or not host:
        raise Refused("invalid_url", "url: not an absolute http or https url")
    place = f"[{host}]" if ":" in host else host
    if port is not None and port != _DEFAULT_PORTS[parts.scheme]:
        place += f":{port}"
    return f"{parts.scheme}://{place}{parts.path or '/'}{_kept_query(parts.query)}"


_normalized_once = lru_cache(maxsize=1 << 16)(normalized_url)


def _kept_query(query: str | None) -> str:
    kept = "&".join([pair for pair in query.split("&") if pair and not _is_tracking(pair)]) if query else ""
    return f"?{kept}" if kept else ""


def _is_tracking(pair: str) -> bool:
    name = pair.partition("=")[0].lower()
    return name in _TRACKING or name.startswith("utm_")


def _named_fields() -> dict[str, Any]:
    """Every spelling of every named field: None at its name, a dictionary at each container around it."""
    names: dict[str, Any] = dict.fromkeys(FIELDS)
    for *containers, name in SEGMENT_SPELLING.values():
        inside = names
        for container in containers:
            inside = inside.setdefault(container, {})
        inside[name] = None
    return names


_NAMED_FIELDS = _named_fields()
_FLAT_FIELDS = frozenset(name for name, inside in _NAMED_FIELDS.items() if not inside)
_SEGMENT_NAMES = frozenset(spelling[0] for spelling in SEGMENT_SPELLING.values())


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
    except TypeError:  # an integer beyond 64 bits, or nested more deeply than orjson writes
        try:
            return json.dumps(rest, ensure_ascii=False, separators=(",", ":")).encode()
        except RecursionError:
            raise Refused("invalid_json", _TOO_DEEP) from None
