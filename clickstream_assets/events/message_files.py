"""Files of messages: one a line, or envelopes that carry the Kafka record time too.

An envelope is ``{"value": "<text>" | null, "kafka_timestamp_ms": n}``, or ``value_base64`` where the bytes are
no UTF-8; the time is -1 where a record has none. It is what ``--record`` writes and ``--envelope`` reads, so a run
can be repeated to the byte.
"""

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import orjson

from clickstream_assets.events.click_event import MAX_NAME_CHARACTERS, NO_IDS
from clickstream_assets.events.message_lines import (
    MAX_LINE_BYTES,
    BadMessageFile,
    Line,
    is_standard_input,
    name_of,
    read_lines,
)

NO_TIME_MS = -1
"""A record time that says there is none, as old clients and some bridges send it."""

_ESCAPED_BYTES = 6
"""The most bytes that JSON makes of a byte of text, as in ``\\u0000``."""


@dataclass(frozen=True, slots=True)
class Message:
    """One Kafka message. Without a value it is a tombstone, without a time it is stamped when sent.

    ``cut_from`` is the size of a line that was too long to be held, of which ``value`` is but the beginning.
    """

    value: bytes | None
    timestamp_ms: int | None = None
    cut_from: int | None = None

    @property
    def key(self) -> bytes | None:
        """The event id, so that all deliveries of an event share a partition; None where there is none to read.

        A word that means "no id" is none: as a key it would bring most of a producer's events to one partition.
        """
        try:
            event = orjson.loads(self.value or b"")
        except orjson.JSONDecodeError:
            return None
        if not isinstance(event, dict):
            return None
        event_id = event.get("event_id")
        if event_id in (None, ""):
            event_id = event.get("messageId")
        if not isinstance(event_id, str) or len(event_id) > MAX_NAME_CHARACTERS or event_id.strip().lower() in NO_IDS:
            return None
        return event_id.encode()


def read_messages(source: Path, *, envelope: bool = False) -> Iterator[Message]:
    """The messages of a file, or of standard input (``-``), one at a time.

    Lines without anything on them are skipped; one too long to be held comes with ``cut_from``. Raises BadMessageFile
    for what has no lines of UTF-8, and at the first line that is no envelope, if envelopes are asked for.
    """
    for line in lines_of_messages(source, envelope=envelope):
        yield message_of(line, source, envelope=envelope)


def lines_of_messages(source: Path, *, envelope: bool = False) -> Iterator[Line]:
    """The lines that :func:`read_messages` makes messages of, one each."""
    return read_lines(source, MAX_LINE_BYTES * (_ESCAPED_BYTES if envelope else 1))


def message_of(line: Line, source: Path, *, envelope: bool = False) -> Message:
    """The message on a line of ``source``. Raises BadMessageFile that names the line where it is no envelope."""
    if line.size > len(line.content):
        return Message(line.content, cut_from=line.size)
    if not envelope:
        return Message(line.content)
    try:
        return parse_envelope(line.content)
    except ValueError as error:
        raise BadMessageFile(f"{name_of(source)}, line {line.number}: {error}") from None


def _can_be_read_twice(source: Path) -> bool:
    return not is_standard_input(source) and source.is_file()


def look_at(source: Path, *, envelope: bool = False) -> None:
    """Raise BadMessageFile where the first message can't be read: before servers are started for it.

    A pipe can be read but once, so it is left alone.
    """
    if _can_be_read_twice(source):
        next(read_messages(source, envelope=envelope))


def count_messages(source: Path) -> int | None:
    """How many messages :func:`read_messages` will give: what a progress bar wants to know.

    None where that can't be told beforehand: of a pipe, a bad file.
    """
    if not _can_be_read_twice(source):
        return None
    try:
        return sum(1 for _ in read_lines(source))
    except BadMessageFile:
        return None


def parse_envelope(line: bytes) -> Message:
    """One envelope line to its message. Raises ValueError that says what is wrong with it."""
    try:
        envelope = json.loads(line)  # and not by orjson: an envelope may hold a lone surrogate
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON ({error})") from None
    if not isinstance(envelope, dict):
        raise ValueError(f"an envelope is a JSON object, this is {type(envelope).__name__}")
    timestamp_ms = envelope.get("kafka_timestamp_ms")
    if type(timestamp_ms) is not int or not NO_TIME_MS <= timestamp_ms < 1 << 63:
        raise ValueError(
            f"kafka_timestamp_ms must be epoch milliseconds, or -1 for none, not {json.dumps(timestamp_ms)}"
        )
    return Message(_envelope_value(envelope), timestamp_ms)


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
