import gzip
import os
import signal
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from clickstream_assets.cli.produce import STOPPED, produce
from clickstream_assets.settings import settings
from clickstream_assets.stores.kafka import producer
from clickstream_assets.stores.kafka.producer import NotSent, SendError, Unreachable


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "Name a FILE to send, or ask for --demo"),
        (["--demo", __file__], "one of the two"),
        ([__file__, "--events", "5"], "goes with --demo"),
        (["--demo", "--envelope"], "goes with a FILE"),
        (["--demo", "--append"], "goes with --record"),
        (["--demo", "--events", "0"], "--events"),
        (["--demo", "--rate", "0"], "--rate"),
        (["--demo", "--rate", "nan"], "no finite number"),
        (["--demo", "--rate", "inf"], "no finite number"),
        (["nowhere.jsonl"], "does not exist"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(arguments, complaint):
    result = CliRunner().invoke(produce, arguments)
    assert result.exit_code == 2
    assert complaint in result.output


def test_unreachable_kafka_is_one_sentence_with_a_remedy(monkeypatch):
    from kafka.errors import KafkaTimeoutError

    def refuse(*_):
        raise KafkaTimeoutError

    monkeypatch.setattr("clickstream_assets.stores.kafka.client.ensure_topic", refuse)
    result = CliRunner().invoke(produce, ["--demo", "--events", "1"])
    assert result.exit_code == 1
    assert settings().kafka_bootstrap_servers in result.output
    assert "clickstream stack up" in result.output


@pytest.fixture
def sending(monkeypatch):
    """Has ``produce`` reach a topic that does with its messages what the returned list's last function does."""
    ways = []
    monkeypatch.setattr("clickstream_assets.stores.kafka.client.ensure_topic", lambda *_: None)
    monkeypatch.setattr(producer, "send", lambda messages, **options: ways[-1](list(messages), **options))
    return ways


def test_refused_messages_are_named_at_the_end_and_the_exit_code_is_1(sending, tmp_path):
    def send(messages, *, on_sent, on_refused, **_):
        for message in messages[1:]:
            on_refused(NotSent(f"Not {message.value.decode()}."))
        on_sent(1)

    sending.append(send)
    file = tmp_path / "clicks"
    file.write_text("".join(f"m{number}\n" for number in range(8)))
    result = CliRunner().invoke(produce, [str(file)])
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        *(f"Not m{number}." for number in range(1, 6)),
        "2 more messages were not sent for such reasons.",
        f"Done: 1 messages are in {settings().topic}; 7 were refused.",
    ]


@pytest.mark.parametrize(("error", "advised"), [(SendError, False), (Unreachable, True)])
def test_only_who_cannot_reach_kafka_is_advised_to_start_it(sending, error, advised):
    def send(messages, *, on_refused, **_):
        on_refused(NotSent("Not this."))
        raise error("It ends here.")

    sending.append(send)
    result = CliRunner().invoke(produce, ["--demo", "--events", "1"])
    assert result.exit_code == 1
    assert "Not this.\nError: It ends here." in result.output
    assert ("clickstream stack up" in result.output) is advised


@pytest.mark.parametrize("content", [b"m0\nm1\n", gzip.compress(b"m0\nm1\n"), b"\xef\xbb\xbfm0\r\nm1"])
@pytest.mark.parametrize("piped", [False, True])
def test_a_file_and_standard_input_are_sent_alike(sending, tmp_path, content, piped):
    values = []

    def send(messages, *, on_sent, **_):
        values.extend(message.value for message in messages)
        on_sent(len(values))

    sending.append(send)
    file = tmp_path / "clicks"
    file.write_bytes(content)
    arguments, given = (["-", "--record", str(file)], content) if piped else ([str(file)], None)
    result = CliRunner().invoke(produce, arguments, input=given)
    assert (result.exit_code, values) == (0, [b"m0", b"m1"])
    assert "Done: 2 messages" in result.output


def test_a_file_without_messages_is_one_sentence(sending, tmp_path):
    sending.append(lambda messages, **_: None)
    file = tmp_path / "clicks.json"
    file.write_text("[{}, {}]")
    result = CliRunner().invoke(produce, [str(file)])
    assert result.exit_code == 1
    assert result.output == (
        f"Error: {file} is a JSON array: put each of its objects on a line of its own with "
        f"`jq -c '.[]' {file} > lines.jsonl`.\n"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_also_where_a_script_has_it_ignored(sending, number):
    def send(messages, *, on_sent, **_):
        on_sent(1)
        os.kill(os.getpid(), number)
        time.sleep(20)

    sending.append(send)
    before = {ignored: signal.signal(ignored, signal.SIG_IGN) for ignored in (signal.SIGINT, signal.SIGTERM)}
    try:
        result = CliRunner().invoke(produce, ["--demo", "--events", "2"])
    finally:
        for ignored, handler in before.items():
            signal.signal(ignored, handler)
    assert (result.exit_code, result.output) == (STOPPED, f"Stopped: 1 messages are in {settings().topic}.\n")


@pytest.mark.parametrize(("option", "lines"), [([], ["new"]), (["--append"], ["old", "new"])])
def test_a_record_is_begun_anew_unless_it_is_to_be_gone_on_with(sending, tmp_path, option, lines):
    file, record = tmp_path / "clicks", tmp_path / "record"
    file.write_text("m\n")
    record.write_text("old\n")
    sending.append(lambda _, *, record, **__: record.write("new\n"))
    result = CliRunner().invoke(produce, [str(file), "--record", str(record), *option])
    assert result.exit_code == 0, result.output
    assert record.read_text().splitlines() == lines


def test_a_line_of_the_record_is_in_the_file_before_the_next_message_is_sent(sending, tmp_path):
    record = tmp_path / "record"

    def send(_, *, record, **__):
        record.write("a line\n")
        raise SendError(Path(record.name).read_text())

    sending.append(send)
    result = CliRunner().invoke(produce, ["--demo", "--events", "1", "--record", str(record)])
    assert "Error: a line" in result.output
