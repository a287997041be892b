"""From a Kafka message to a click event, or to the reason why not (docs/contract.md, "An event")."""

import json
from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import orjson

from clickstream_assets.events.event_time import LONG_NUMBER, by_the_broker, event_time, time_in_ms
from clickstream_assets.events.fields import FIELDS, SEGMENT_SPELLINGS
from clickstream_assets.events.hours import HOUR_MS
from clickstream_assets.events.refusals import Refused, json_type, wrong_type
from clickstream_assets.events.urls import DEFAULT_RULES, InvalidUrl, UrlRules, normalized_url

MAX_MESSAGE_BYTES = 1 << 20
MAX_LEVELS = 128
"""How deeply a message may be nested; the object itself is the first level."""
MAX_USER_BYTES = 512
MAX_NAME_CHARACTERS = 128
"""Of ``event_id`` and of ``event_type``."""
MAX_REQUEST_CHARACTERS = 2_048
"""``user_agent`` and ``referrer`` are cut after so many; a longer ``ip`` counts as missing."""
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
_EXACT_TYPES = frozenset({str, int, bool, type(None)})


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
    message: bytes | None,
    record_time_ms: int,
    first_hour_ms: int,
    url_rules: UrlRules = DEFAULT_RULES,
    max_age_ms: int = 0,
) -> ClickEvent:
    """One Kafka message's bytes (None for a tombstone) as an event; raises :class:`Refused`.

    Times are epoch milliseconds: the Kafka record's (below 0: it has none), and the first partition's start.
    """
    obj = _json_object(message)
    pick: Callable[[str], Any] = obj.get if _SEGMENT_NAMES.isdisjoint(obj) else partial(_pick, obj)
    if message and b"\\u0000" in message:  # the one spelling of U+0000 in JSON
        _refuse_nul(pick)
    client_time = time_in_ms(pick("timestamp"), "timestamp")
    if client_time is None:
        raise Refused("missing_field", "timestamp")
    url = _url_as_sent(pick("url"))
    user_id, anonymous_id = _users(pick)
    sent_at, received_at = time_in_ms(pick("sent_at"), "sent_at"), time_in_ms(pick("received_at"), "received_at")
    corrected = by_the_broker(obj, client_time, sent_at, received_at, record_time_ms)
    return ClickEvent(
        _name(None if _means_no_id(event_id := pick("event_id")) else event_id, "event_id"),
        _event_type(obj),
        event_time(corrected, record_time_ms, first_hour_ms, max_age_ms),
        _url(url, url_rules),
        user_id,
        anonymous_id,
        _engagement(pick("engagement_time_ms")),
        _address(_text(pick("ip"), "ip")),
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
        raise Refused("not_an_object", f"a JSON {json_type(obj)}")
    # Only a double, or what may hold one, can be an integer that was rounded; only what holds others is nested.
    if not _EXACT_TYPES.issuperset(map(type, obj.values())):
        if (levels := _levels(message)) > MAX_LEVELS:
            raise Refused("invalid_json", f"nested {levels} levels deep, {MAX_LEVELS} at most")
        if LONG_NUMBER.search(message):
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


def _refuse_nul(pick: Callable[[str], Any]) -> None:
    for name in FIELDS:
        value = pick(name)
        if isinstance(value, str) and "\0" in value:
            raise Refused("invalid_text", f"{name}: holds U+0000")


def _text(value: Any, name: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        wrong_type(name, value)
    return value or None


def _name(value: Any, field: str) -> str | None:
    text = _text(value, field)
    if text is not None and len(text) > MAX_NAME_CHARACTERS:
        raise Refused("too_long", f"{field}: {len(text)} characters, {MAX_NAME_CHARACTERS} at most")
    return text


def _address(text: str | None) -> str | None:
    return None if text is not None and len(text) > MAX_REQUEST_CHARACTERS else text


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


def _users(pick: Callable[[str], Any]) -> tuple[str | None, str | None]:
    """``user_id`` and ``anonymous_id``, of which one is there."""
    user_id, anonymous_id = _user(pick("user_id"), "user_id"), _user(pick("anonymous_id"), "anonymous_id")
    if user_id is None and anonymous_id is None:
        raise Refused("missing_field", "user_id or anonymous_id")
    return user_id, anonymous_id


def _user(value: Any, field: str) -> str | None:
    if _means_no_id(value):
        return None
    if isinstance(value, str):
        if len(value) > MAX_USER_BYTES // 4 and (size := len(value.encode())) > MAX_USER_BYTES:
            raise Refused("too_long", f"{field}: {size} bytes, {MAX_USER_BYTES} at most")
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        wrong_type(field, value)
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
        wrong_type("engagement_time_ms", value)
    if value < 0:
        raise Refused("wrong_type", f"engagement_time_ms: {value} is below 0")
    return int(value)


def _url_as_sent(value: Any) -> str:
    if (url := _text(value, "url")) is None:
        raise Refused("missing_field", "url")
    return url


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
