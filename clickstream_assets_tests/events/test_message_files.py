import io
import json

import pytest

from clickstream_assets.events.message_files import (
    BadMessageFile,
    Message,
    count_messages,
    read_messages,
    write_envelope,
)
from clickstream_assets_tests.hard_cases import hard_cases

NOW_MS = 1_795_402_800_000


def test_a_plain_file_gives_its_lines_as_they_are(tmp_path):
    path = tmp_path / "plain"
    path.write_bytes(b'{"event_id":"a"}\n\n \xff\r\n\r\nlast without a newline')
    assert list(read_messages(path)) == [
        Message(b'{"event_id":"a"}'),
        Message(b" \xff"),
        Message(b"last without a newline"),
    ]
    assert count_messages(path) == 3


@pytest.mark.slow
def test_what_is_recorded_is_read_back_to_the_byte(tmp_path):
    odd = [
        Message(None, 5),
        Message(b"", 0),
        Message(b"\xff\xfe", 1),
        Message(b"\xed\xa0\x80", 1),
        Message("a\u2028b\u0085c\r\nd".encode(), 2),
        Message("\ufeff{}".encode(), 3),
        Message(b"without a record time", -1),
    ]
    messages = odd + hard_cases(NOW_MS)
    path = tmp_path / "envelopes"
    with path.open("w", encoding="utf-8") as file:
        for message in messages:
            write_envelope(file, message)
    assert list(read_messages(path, envelope=True)) == messages
    assert count_messages(path) == len(messages)


def test_a_lone_surrogate_in_an_envelope_becomes_the_bytes_that_golden_makes_of_it(tmp_path):
    path = tmp_path / "envelopes"
    path.write_text('{"value": "\\ud800", "kafka_timestamp_ms": 1}\n')
    assert list(read_messages(path, envelope=True)) == [Message(b"\xed\xa0\x80", 1)]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "not JSON"),
        ("[]", "list"),
        ('{"value": "x"}', "kafka_timestamp_ms"),
        ('{"value": "x", "kafka_timestamp_ms": "1"}', '"1"'),
        ('{"value": "x", "kafka_timestamp_ms": true}', "true"),
        ('{"value": "x", "kafka_timestamp_ms": -2}', "-2"),
        ('{"value": "x", "kafka_timestamp_ms": 1.5}', "1.5"),
        ('{"kafka_timestamp_ms": 1}', "either"),
        ('{"value": "x", "value_base64": "eA==", "kafka_timestamp_ms": 1}', "either"),
        ('{"value": {}, "kafka_timestamp_ms": 1}', "dict"),
        ('{"value_base64": null, "kafka_timestamp_ms": 1}', "NoneType"),
        ('{"value_base64": "?", "kafka_timestamp_ms": 1}', "not base64"),
        ('{"value_base64": "é", "kafka_timestamp_ms": 1}', "not base64"),
    ],
)
def test_a_bad_envelope_is_named_by_line_and_fault(tmp_path, line, complaint):
    path = tmp_path / "envelopes"
    path.write_text('{"value": null, "kafka_timestamp_ms": 1}\n\n' + line + "\n", encoding="utf-8")
    messages = read_messages(path, envelope=True)
    assert next(messages) == Message(None, 1)
    with pytest.raises(BadMessageFile, match=f"line 3: .*{complaint}"):
        next(messages)


def test_a_message_without_a_time_is_not_written():
    with pytest.raises(ValueError, match="record time"):
        write_envelope(io.StringIO(), Message(b"x"))


@pytest.mark.parametrize(
    ("event", "key"),
    [
        ({"event_id": "é"}, "é".encode()),
        ({"messageId": "m"}, b"m"),
        ({"event_id": "e", "messageId": "m"}, b"e"),
        ({"event_id": None, "messageId": "m"}, b"m"),
        ({"event_id": "", "messageId": "m"}, b"m"),
        ({"event_id": 5, "messageId": "m"}, None),
        ({"event_id": ""}, None),
        ({"event_id": "null", "messageId": "m"}, None),  # as the decoder reads it: the plain name has a value
        ({"messageId": " Undefined\n"}, None),
        ({"event_id": "00000000-0000-0000-0000-000000000000"}, None),
        ({"event_id": "nulls"}, b"nulls"),
        ({"event_id": "i" * 128}, b"i" * 128),
        ({"event_id": "i" * 129}, None),
        ({}, None),
        (["event_id"], None),
    ],
)
def test_the_key_is_the_event_id(event, key):
    assert Message(json.dumps(event).encode()).key == key


@pytest.mark.parametrize("value", [None, b"", b"{", b"\xff", b'{"event_id":"\\ud800"}', b'{"event_id":"a","x":NaN}'])
def test_what_is_not_json_has_no_key(value):
    assert Message(value).key is None
