"""Files of messages: one a line, or envelopes that carry the Kafka record time too.

An envelope is ``{"value": "<text>" | null, "kafka_timestamp_ms": n}``, or ``value_base64`` where the bytes are
no UTF-8. It is what ``--record`` writes and ``--envelope`` reads, so a run can be repeated to the byte.
"""

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import click
import orjson


@dataclass(frozen=True, slots=True)
class Message:
    """One Kafka message. Without a value it is a tombstone, without a time it is stamped when sent."""

    value: bytes | None
    timestamp_ms: int | None = None
    key: bytes | None = None


class BadMessageFile(click.ClickException):
    """A line of a message file that can't be read; says which and why."""


def key_of(value: bytes | None) -> bytes | None:
    """The event id, so that all deliveries of an event share a partition; None where there is none to read."""
    if not value:
        return None
    try:
        event = orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(event, dict):
        return None
    event_id = event.get("event_id")
    if event_id in (None, ""):
        event_id = event.get("messageId")
    return event_id.encode() if isinstance(event_id, str) and event_id else None


def read_messages(path: Path, *, envelope: bool = False) -> Iterator[Message]:
    """The messages of a file, one at a time; lines without anything on them are skipped.

    Raises BadMessageFile at the first line that is no envelope, if envelopes are asked for.
    """
    with path.open("rb") as lines:
        for number, raw in enumerate(lines, 1):
            line = raw.removesuffix(b"\n").removesuffix(b"\r")
            if not line:
                continue
            if envelope:
                try:
                    yield parse_envelope(line)
                except ValueError as error:
                    raise BadMessageFile(f"{path}, line {number}: {error}") from None
            else:
                yield Message(line, key=key_of(line))


def count_messages(path: Path) -> int | None:
    """How many messages :func:`read_messages` will give: what a progress bar wants to know. None for a pipe."""
    if not path.is_file():
        return None
    with path.open("rb") as lines:
        return sum(1 for line in lines if line not in (b"\n", b"\r\n"))


def parse_envelope(line: bytes) -> Message:
    """One envelope line to its message. Raises ValueError that says what is wrong with it."""
    try:
        envelope = json.loads(line)  # not orjson: an envelope may hold what orjson refuses, a lone surrogate
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON ({error})") from None
    if not isinstance(envelope, dict):
        raise ValueError(f"an envelope is a JSON object, this is {type(envelope).__name__}")
    timestamp_ms = envelope.get("kafka_timestamp_ms")
    if type(timestamp_ms) is not int or not 0 <= timestamp_ms < 1 << 63:
        raise ValueError(f"kafka_timestamp_ms must be epoch milliseconds, not {json.dumps(timestamp_ms)}")
    value = _envelope_value(envelope)
    return Message(value, timestamp_ms, key_of(value))


def _envelope_value(envelope: dict[str, object]) -> bytes | None:
    if ("value" in envelope) == ("value_base64" in envelope):
        raise ValueError('an envelope has either "value" or "value_base64"')
    if "value" in envelope:
        text = envelope["value"]
        if text is None:
            return None
        if not isinstance(text, str):
            raise ValueError(f"value must be a string or null, not {type(text).__name__}")
        return text.encode("utf-8", "surrogatepass")
    encoded = envelope["value_base64"]
    if not isinstance(encoded, str):
        raise ValueError(f"value_base64 must be a string, not {type(encoded).__name__}")
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"value_base64 is not base64 ({error})") from None


def write_envelope(file: IO[str], message: Message) -> None:
    """Write one envelope line. Raises ValueError for a message that has no time yet."""
    if message.timestamp_ms is None:
        raise ValueError("a message needs its Kafka record time before it can be written as an envelope")
    envelope: dict[str, object]
    try:
        envelope = {"value": None if message.value is None else message.value.decode()}
    except UnicodeDecodeError:
        assert message.value is not None
        envelope = {"value_base64": base64.b64encode(message.value).decode("ascii")}
    envelope["kafka_timestamp_ms"] = message.timestamp_ms
    file.write(json.dumps(envelope) + "\n")  # ASCII, so that no reader takes U+2028 or U+0085 for a line's end
