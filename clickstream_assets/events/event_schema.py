"""The JSON Schema of an event, from the decoder's own declarations.

Whatever it refuses, the decoder refuses. The other way round it cannot say all: what depends on the record time, on
other bytes of the message or on a calendar (a thirteenth month, a url's host, words that mean "no id") is left to
``clickstream validate``.
"""

from collections.abc import Sequence
from typing import Any

from clickstream_assets.events.click_event import MAX_NAME_CHARACTERS, MAX_USER_BYTES
from clickstream_assets.events.fields import FIELDS, SEGMENT_SPELLINGS, TOPIC
from clickstream_assets.events.urls import MAX_URL_BYTES

Schema = dict[str, Any]
Spelling = tuple[str, ...]
_MISSING: Schema = {"enum": [None, ""]}
_NO_NUL = "^[^\\u0000]*$"
_RFC_3339 = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)?$"
_WEB_ADDRESS = r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s\u0000-\u0020\u007f-\u009f]+$"
_TEXT: Schema = {"type": "string", "pattern": _NO_NUL}
_TIME: Schema = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": _RFC_3339}]}


def _bounded(characters: int) -> Schema:
    """A text of so many characters at most; white space around a word that means "no id" does not count."""
    return {**_TEXT, "anyOf": [{"maxLength": characters}, {"pattern": r"^\s|\s$"}]}


_USER: Schema = {
    # Bytes are no fewer than characters.
    "anyOf": [_bounded(MAX_USER_BYTES), {"type": "integer", "minimum": -(1 << 63), "maximum": (1 << 63) - 1}]
}
_RULES: dict[str, Schema] = {
    "event_id": {"anyOf": [_bounded(MAX_NAME_CHARACTERS), {"const": 0}]},
    "user_id": _USER,
    "anonymous_id": _USER,
    "event_type": {**_TEXT, "maxLength": MAX_NAME_CHARACTERS},
    "timestamp": _TIME,
    "sent_at": _TIME,
    "received_at": _TIME,
    "ip": _TEXT,
    "user_agent": _TEXT,
    "url": {"type": "string", "maxLength": MAX_URL_BYTES, "pattern": _WEB_ADDRESS},
    "referrer": _TEXT,
    "engagement_time_ms": {"type": "number", "minimum": 0},
}
_ONE_OF = (("timestamp",), ("url",), ("user_id", "anonymous_id"))
"""Of each of these groups one field is required."""


def event_schema() -> Schema:
    """The schema, in the 2020-12 dialect."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Click event",
        "description": "A message of the topic: one UTF-8 JSON object. null and the empty string are the same as "
        "missing; fields that are not named here are kept as they are.",
        "type": "object",
        "properties": {name: _described(name) for name in FIELDS},
        "allOf": [*map(_required, _ONE_OF), *(rule for name in FIELDS for rule in _of_other_spellings(name))],
    }


def _described(name: str) -> Schema:
    field = TOPIC[name]
    unit = f" ({field.unit})" if field.unit else ""
    return {"description": field.description + unit, **_or_missing(name)}


def _or_missing(name: str) -> Schema:
    return {"anyOf": [_MISSING, _RULES[name]]}


def _spellings(name: str) -> Sequence[Spelling]:
    return (name,), *SEGMENT_SPELLINGS.get(name, ())


def _required(names: Sequence[str]) -> Schema:
    return {"anyOf": [_present(spelling) for name in names for spelling in _spellings(name)]}


def _present(spelling: Spelling) -> Schema:
    return _at(spelling, {"not": _MISSING}, required=True)


def _of_other_spellings(name: str) -> list[Schema]:
    """A field is looked for under another name where it is missing under all before."""
    own, *others = _spellings(name)
    rules, before = [], [own]
    for spelling in others:
        missing = {"not": {"anyOf": [_present(earlier) for earlier in before]}}
        rules.append({"if": missing, "then": _at(spelling, _or_missing(name))})
        before.append(spelling)
    return rules


def _at(spelling: Spelling, schema: Schema, *, required: bool = False) -> Schema:
    """A schema of the value at a path of names; where a container is no object, there is none."""
    for name in reversed(spelling):
        schema = {"properties": {name: schema}}
        if required:
            schema |= {"type": "object", "required": [name]}
    return schema
