"""Lines of a file, a pipe or standard input, as people have them: with a byte-order mark, in gzip, of any length.

What can't hold lines of UTF-8 (UTF-16, a JSON array, another format, nothing at all) is told in one sentence with a
remedy, before its first line is given.
"""

import gzip
import io
import shlex
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click
import orjson

MAX_LINE_BYTES = 8 << 20
"""What is longer is not held: twice the largest message that the topic takes, where this project makes it."""

_HEAD_BYTES = 4  # enough for every mark below
_GZIP = b"\x1f\x8b"
_UTF8_MARK = b"\xef\xbb\xbf"
_WIDE_MARKS = {
    b"\xff\xfe\0\0": "UTF-32",  # before UTF-16, whose mark it begins with
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_NUL_PLACES = {
    (False, True, True, True): "UTF-32LE",
    (True, True, True, False): "UTF-32BE",
    (False, True, False, True): "UTF-16LE",
    (True, False, True, False): "UTF-16BE",
}
"""Encodings by where ASCII has its NUL bytes in them."""
_COMPRESSED = {
    b"\x28\xb5\x2f\xfd": ("zstd", "zstd -dc"),
    b"\xfd7zX": ("xz", "xz -dc"),
    b"BZh": ("bzip2", "bzip2 -dc"),
    b"\x04\x22\x4d\x18": ("lz4", "lz4 -dc"),
    b"PK\x03\x04": ("zip", "unzip -p"),
}
_TABLES = {b"PAR1": "Parquet", b"Obj\x01": "Avro"}


class BadMessageFile(click.ClickException):
    """A message file, or a line of one, that can't be read; says which, what it is, and what to do."""


class Line(NamedTuple):
    """A line without its end. ``size`` is that of the whole; where it is too long, ``content`` is its beginning."""

    number: int
    content: bytes
    size: int


def is_standard_input(source: Path) -> bool:
    return source == Path("-")


def name_of(source: Path) -> str:
    """How messages to people call a source."""
    return "standard input" if is_standard_input(source) else str(source)


def read_lines(source: Path, max_bytes: int = MAX_LINE_BYTES) -> Iterator[Line]:
    """The lines of a file, or of standard input (``-``), that have anything on them, numbered from 1.

    No more than ``max_bytes`` of each are held.

    A byte-order mark of UTF-8 is dropped, gzip is told by its first bytes and opened. Raises BadMessageFile for what
    has no such lines, and where gzip data is damaged or cut off.
    """
    name, lines = name_of(source), 0
    try:
        with _opened(source) as stream:
            for line in _bounded(stream, max_bytes):
                if not lines and (fault := _fault_of_first_line(line, source)):
                    raise BadMessageFile(f"{name} {fault}")
                lines = line.number
                yield line
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BadMessageFile(
            f"{name} is gzip that is cut off or damaged behind line {lines} ({error}): fetch or write it again."
        ) from None
    if not lines:
        raise BadMessageFile(f"{name} is empty: a message a line was expected.")


class _Rejoined(io.RawIOBase):
    """What was read of a stream already, then the rest of it: pipes can't be set back."""

    def __init__(self, head: bytes, rest: Any) -> None:
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer with what is to be had at once; 0 at the end."""
        if self._head:
            part, self._head = self._head[: len(buffer)], self._head[len(buffer) :]
        else:
            part = self._rest.read1(len(buffer))  # readinto1 would wait for more
        buffer[: len(part)] = part
        return len(part)


@contextmanager
def _opened(source: Path) -> Iterator[io.BufferedReader]:
    """The source's text as UTF-8 without a mark, or BadMessageFile."""
    with ExitStack() as stack:
        stream: Any = sys.stdin.buffer if is_standard_input(source) else stack.enter_context(source.open("rb"))
        head = stream.read(_HEAD_BYTES)
        if head.startswith(_GZIP):
            stream = stack.enter_context(gzip.GzipFile(fileobj=io.BufferedReader(_Rejoined(head, stream))))
            head = stream.read(_HEAD_BYTES)
        if fault := _fault_of_head(head, source):
            raise BadMessageFile(f"{name_of(source)} {fault}")
        yield io.BufferedReader(_Rejoined(head.removeprefix(_UTF8_MARK), stream), 1 << 16)


def _bounded(stream: io.BufferedReader, max_bytes: int) -> Iterator[Line]:
    number = 0
    while raw := stream.readline(max_bytes + 2):  # its end is not counted
        number += 1
        content = raw.removesuffix(b"\n").removesuffix(b"\r")
        size = len(content)
        if size > max_bytes:
            content, part = content[:max_bytes], raw
            while not part.endswith(b"\n") and (part := stream.readline(1 << 20)):
                size += len(part.rstrip(b"\r\n"))
        if content:
            yield Line(number, content, size)


def _fault_of_head(head: bytes, source: Path) -> str:
    """What a source's first bytes say it is, if no text in UTF-8, and what to do; else empty."""
    encoding = next((name for mark, name in _WIDE_MARKS.items() if head.startswith(mark)), "")
    text = head.replace(b"\0", b"")
    if not encoding and text.isascii() and (text + b" ").decode().replace("\t", " ").replace("\n", " ").isprintable():
        encoding = _NUL_PLACES.get(tuple(byte == 0 for byte in head), "")  # type: ignore[arg-type]
    if encoding:
        command = _command(f"iconv -f {encoding} -t UTF-8", source)
        return f"is {encoding}, messages are UTF-8: write it anew with {command}."
    for mark, (name, unpack) in _COMPRESSED.items():
        if head.startswith(mark):
            return (
                f"is compressed with {name}: unpack it first with {_command(unpack, source)} (gzip is read as it is)."
            )
    if table := _TABLES.get(head):
        return f"is a file of {table}: write its rows as JSON first, an object a line."
    return ""


def _fault_of_first_line(line: Line, source: Path) -> str:
    """What the first line says of the source, if it has no message a line, and what to do; else empty."""
    text = line.content.strip()
    if b"\0" in text:
        return "is binary, no text of lines: a message a line was expected, a JSON object in UTF-8."
    if text == b"{":
        return f"has objects over several lines: put each on a line of its own with {_command('jq -c .', source)}."
    if text.startswith(b"[") and _begins_an_array_of_objects(line, text):
        command = _command("jq -c '.[]'", source)
        return f"is a JSON array: put each of its objects on a line of its own with {command}."
    return ""


def _begins_an_array_of_objects(line: Line, text: bytes) -> bool:
    """Whether ``[`` opens an array of the file's messages, not of one message that is no object."""
    if line.size > len(line.content):
        return True
    try:
        items = orjson.loads(text)
    except orjson.JSONDecodeError:
        return True
    return isinstance(items, list) and any(isinstance(item, dict) for item in items)


def _command(words: str, source: Path) -> str:
    """A shell command over the source, with the name of a file to write."""
    name = name_of(source)
    return f"`{words}`" if name == "standard input" else f"`{words} {shlex.quote(name)} > lines.jsonl`"
