"""What an asset holds of each of its records, and what a message of the topic holds."""

from dataclasses import dataclass
from typing import Any, TypeVar

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
_F = TypeVar("_F", bound="Field")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """What an asset holds of each of its records: its type, its meaning, where its values come from.

    ``upstream`` names the fields of the asset before it that can change the value. What a run stamps on a record
    (its id, a time) comes with the record: upstream of it is what makes the record's key.
    """

    name: str
    type: str
    description: str
    upstream: tuple[str, ...]
    unit: str = ""
    nullable: bool = False
    unique: bool = False
    personal: bool = False
    """Whether it can tell a person."""


def by_name(*fields: _F) -> dict[str, _F]:
    return {field.name: field for field in fields}


EPOCH_MS = "ms since epoch, UTC"


def _sent(name: str, kind: str, text: str, **more: Any) -> Field:
    others = " and ".join(f"`{'.'.join(spelling)}`" for spelling in SEGMENT_SPELLINGS.get(name, ()))
    text += f"; Segment's {others} is accepted too" if others else ""
    return Field(name=name, type=kind, description=text, upstream=(), **{"nullable": True, **more})


TOPIC = by_name(
    _sent("timestamp", "string or number", "RFC 3339 (UTC without an offset) or epoch milliseconds", nullable=False),
    _sent("url", "string", "absolute `http` or `https` url of the page", nullable=False),
    _sent(
        "user_id", "string or integer", "id of the signed-in user; this or `anonymous_id` is required", personal=True
    ),
    _sent("anonymous_id", "string or integer", "id of the device; this or `user_id` is required", personal=True),
    _sent("event_id", "string", "messages of one id, user, type and url in one event hour are one event"),
    _sent(
        "event_type",
        "string",
        "`page_view` if missing; `page_view` and `click` count as clicks, `page_leave` ends a view of its url",
    ),
    _sent(
        "sent_at", "string or number", "when the device sent it, like `timestamp`: cancels out the error of its clock"
    ),
    _sent("received_at", "string or number", "when a collector received it, like `timestamp`; else the record time"),
    _sent("engagement_time_ms", "number", "time spent as the client measured it", unit="ms"),
    _sent("ip", "string", "address, or an `X-Forwarded-For` list", personal=True),
    _sent("user_agent", "string", "user agent", personal=True),
    _sent("referrer", "string", "referring url", personal=True),
    _sent("other_fields", "any", "every field that the contract does not name"),
    _sent("record_value", "bytes", "the whole message; null for a tombstone", personal=True),
    _sent("record_time", "long", "timestamp of the Kafka record", unit=EPOCH_MS, nullable=False),
    _sent("record_partition", "int", "Kafka partition of the record", nullable=False),
    _sent("record_offset", "long", "Kafka offset of the record", nullable=False),
)
"""What a message holds (docs/contract.md, "An event"), and what Kafka knows of it: ``record_…``."""
