"""Files as people have them are read; what cannot be read is named, with what it is and what to do."""

import gzip
import io
import os
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from clickstream_assets.events import message_files
from clickstream_assets.events.message_files import Message, count_messages, look_at, read_messages
from clickstream_assets.events.message_lines import MAX_LINE_BYTES, BadMessageFile, Line, read_lines

TWO = b'{"event_id":"a"}\n{"event_id":"b"}\n'
A, B = Message(b'{"event_id":"a"}'), Message(b'{"event_id":"b"}')
MARK = b"\xef\xbb\xbf"


@pytest.fixture
def piped(monkeypatch):
    """Puts bytes, or what can be read from, on standard input; returns its name."""

    def pipe(content):
        stream = io.BytesIO(content) if isinstance(content, bytes) else content
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=stream))
        return Path("-")

    return pipe


@pytest.mark.parametrize(
    "content",
    [
        TWO,
        MARK + TWO,
        gzip.compress(TWO),
        gzip.compress(MARK + TWO),
        gzip.compress(TWO[:20]) + gzip.compress(TWO[20:]),
        TWO.replace(b"\n", b"\r\n"),
        b"\n\r\n" + TWO + b"\r",
    ],
    ids=["plain", "mark", "gzip", "mark in gzip", "two members of gzip", "Windows", "blank lines"],
)
@pytest.mark.parametrize("name", ["clicks.jsonl", "clicks.gz"])  # a name says nothing
def test_these_are_two_messages(tmp_path, piped, content, name):
    path = tmp_path / name
    path.write_bytes(content)
    assert list(read_messages(path)) == [A, B]
    assert list(read_messages(piped(content))) == [A, B]
    assert count_messages(path) == 2
    look_at(path)


@pytest.mark.parametrize("content", [b"{}", b"0", b"\xef\xbb", b"\xff\n{}", b"[1, 2]\n", b"[]\n{}\n", b'["event_id"]'])
def test_bad_messages_are_messages_of_a_good_file(piped, content):
    assert [message.value for message in read_messages(piped(content))] == content.splitlines()


def test_a_mark_goes_but_once_and_only_in_front(piped):
    lines = read_lines(piped(MARK + MARK + b"{}\n" + MARK + b"{}"))
    assert [line.content for line in lines] == [MARK + b"{}", MARK + b"{}"]


def test_envelopes_come_in_gzip_too(tmp_path):
    path = tmp_path / "envelopes"
    path.write_bytes(gzip.compress(MARK + b'{"value": "x", "kafka_timestamp_ms": 7}\n'))
    assert list(read_messages(path, envelope=True)) == [Message(b"x", 7)]


ARRAY = b'[{"event_id":"a"},\n {"event_id":"b"}]'
FAULTS = {
    "empty": (b"", "is empty"),
    "blank lines": (b"\n\r\n\n", "is empty"),
    "empty gzip": (gzip.compress(b""), "is empty"),
    "only a mark": (MARK, "is empty"),
    "UTF-16 of PowerShell": (TWO.decode().encode("utf-16"), "is UTF-16, .*`iconv -f UTF-16 -t UTF-8 "),
    "UTF-16 big-endian": (b"\xfe\xff" + TWO.decode().encode("utf-16-be"), "is UTF-16, "),
    "UTF-16 without a mark": (TWO.decode().encode("utf-16-le"), "is UTF-16LE, .*iconv -f UTF-16LE"),
    "UTF-16 big-endian without a mark": (TWO.decode().encode("utf-16-be"), "is UTF-16BE, "),
    "UTF-16 that begins with a blank line": (("\n" + TWO.decode()).encode("utf-16-le"), "is UTF-16LE, "),
    "UTF-32": (TWO.decode().encode("utf-32"), "is UTF-32, "),
    "UTF-32 without a mark": (TWO.decode().encode("utf-32-be"), "is UTF-32BE, "),
    "UTF-16 in gzip": (gzip.compress(TWO.decode().encode("utf-16")), "is UTF-16, "),
    "an array": (ARRAY, r"is a JSON array: .*`jq -c '\.\[\]' "),
    "an array on a line": (ARRAY.replace(b"\n", b""), "is a JSON array"),
    "an array, indented": (b"\n[\n  {\n", "is a JSON array"),
    "an array behind a mark": (MARK + b" " + ARRAY, "is a JSON array"),
    "an array cut off": (ARRAY[:-1], "is a JSON array"),
    "an array of one long line": (b'[{"a":"' + b"x" * MAX_LINE_BYTES + b'"}]', "is a JSON array"),
    "an indented object": (b'{\n  "event_id": "a"\n}\n', "objects over several lines: .*`jq -c . "),
    "zstd": (bytes.fromhex("28b52ffd2008410000") + b"{}", "is compressed with zstd: .*`zstd -dc "),
    "xz": (b"\xfd7zXZ\0\0", "is compressed with xz: "),
    "bzip2": (b"BZh91AY&SY", "is compressed with bzip2: "),
    "zip": (b"PK\x03\x04\x14\0\0\0", "is compressed with zip: .*`unzip -p "),
    "Parquet": (b"PAR1\x15\x04", "is a file of Parquet: "),
    "Avro": (b"Obj\x01\x04", "is a file of Avro: "),
    "a picture": (b"\x89PNG\0\r\n\x1a\n", "is binary"),
    "a program": (b"\x7fELF\x02\x01\x01\0\0\0\0", "is binary"),
    "nothing but NUL": (b"\0" * 100, "is binary"),
}


@pytest.mark.parametrize(("content", "complaint"), FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("envelope", [False, True])
def test_what_has_no_messages_a_line_is_named_with_a_remedy(tmp_path, piped, content, complaint, envelope):
    path = tmp_path / "my clicks"
    path.write_bytes(content)
    for attempt in (look_at, lambda *_, **__: list(read_messages(path, envelope=envelope))):
        with pytest.raises(BadMessageFile, match=complaint) as caught:
            attempt(path, envelope=envelope)
        (sentence,) = caught.value.message.splitlines()
        assert sentence.startswith(f"{path} is ") or sentence.startswith(f"{path} has ")
    assert f"'{path}' > lines.jsonl`" in sentence or "`" not in sentence
    with pytest.raises(BadMessageFile, match=r"^standard input (is|has) "):
        list(read_messages(piped(content), envelope=envelope))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (gzip.compress(TWO * 90_000)[:-50], "cut off or damaged behind line 1[0-9]{5} "),
        (gzip.compress(TWO)[:15], "cut off or damaged behind line 0 "),
        (gzip.compress(TWO)[:-8] + b"\0" * 8, "cut off or damaged behind line 2 .*CRC"),
        (gzip.compress(TWO) + b"more", "cut off or damaged behind line 2 "),
        (b"\x1f\x8b\x08\0{}", "cut off or damaged"),
    ],
)
def test_damaged_gzip_gives_what_it_holds_and_is_named(tmp_path, content, complaint):
    path = tmp_path / "clicks.gz"
    path.write_bytes(content)
    with pytest.raises(BadMessageFile, match=f"clicks.gz is gzip that is {complaint}"):
        list(read_lines(path))
    assert count_messages(path) is None


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_line_longer_than_is_held_comes_with_its_size_and_those_behind_it_are_read(piped, end):
    sizes = (9, 10, 11, 12, 13, 5000)
    content = (end or b"\n").join(b"x" * size for size in sizes) + end
    lines = list(read_lines(piped(content), 10))
    assert [line.content for line in lines] == [b"x" * min(size, 10) for size in sizes]
    assert [line.number for line in lines] == list(range(1, 7))
    for line, size in zip(lines, sizes, strict=True):
        assert size <= line.size <= size + 2
        assert (line.size > len(line.content)) == (size > 10)


def test_an_envelope_holds_a_message_of_six_times_its_bytes(monkeypatch, piped):
    limit = 1 << 12
    monkeypatch.setattr(message_files, "MAX_LINE_BYTES", limit)
    line = b'{"kafka_timestamp_ms": 1, "value": "' + b"\\u0001" * (limit - 10) + b'"}'
    long = line.replace(b'"}', b"x" * 1000 + b'"}')
    first, second, third = read_messages(piped(b"\n".join((line, long, line))), envelope=True)
    assert first == third == Message(b"\x01" * (limit - 10), 1)
    assert second.cut_from == len(long)


PEAK = """
import resource, sys
from pathlib import Path
from clickstream_assets.events.message_files import read_messages
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sizes = [message.cut_from for message in read_messages(Path(sys.argv[1]))]
print(*sizes, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


@pytest.mark.slow
def test_a_line_of_a_gigabyte_does_not_take_a_gigabyte(tmp_path):
    path = tmp_path / "long"
    with path.open("wb") as file:
        file.write(b"{}\n")
        file.seek(1 << 30, io.SEEK_CUR)  # a hole, which takes no room on disk
        file.write(b"\n{}\n")
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True, timeout=120
    )
    *sizes, peak_mib = done.stdout.split()
    assert sizes == ["None", str(1 << 30), "None"]
    assert int(peak_mib) < 64


def test_a_pipe_gives_each_line_as_it_comes(piped):
    """Nobody waits for a buffer to fill: a live stream may be slow."""
    reading, writing = os.pipe()
    came, waited, go_on = [], [], threading.Semaphore(0)

    def write():
        with os.fdopen(writing, "wb", buffering=0) as pipe:
            for part in (b"{", b'"event_id":"a"}\n', b'{"event_id":"b"}\n'):
                pipe.write(part)
                if part.endswith(b"\n"):
                    waited.append(not go_on.acquire(timeout=20))

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(reading, "rb") as pipe:
        for message in read_messages(piped(pipe)):
            came.append(message)
            go_on.release()
    writer.join()
    assert came == [A, B]
    assert waited == [False, False]


def test_a_named_pipe_is_read_but_not_counted(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert count_messages(path) is None
    look_at(path)  # and does not take what comes
    writer = threading.Thread(target=path.write_bytes, args=(gzip.compress(TWO),))
    writer.start()
    assert list(read_messages(path)) == [A, B]
    writer.join()


def test_standard_input_is_no_file_of_its_name(tmp_path, monkeypatch, piped):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-").write_text("[{}]")
    piped(TWO)
    look_at(Path("-"))
    assert count_messages(Path("-")) is None
    assert list(read_messages(Path("-"))) == [A, B]


def test_numbers_grow_with_the_lines(piped):
    lines = list(read_lines(piped(b"a\n\nb\n\n\nc")))
    assert [line.number for line in lines] == [1, 3, 6]
    assert all(earlier.number < later.number for earlier, later in pairwise(lines))
    assert lines[0] == Line(1, b"a", 1)
