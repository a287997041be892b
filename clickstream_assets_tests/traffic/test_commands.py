import gzip

import pytest
from click.testing import CliRunner

from clickstream_assets.settings import settings
from clickstream_assets.traffic import producer
from clickstream_assets.traffic.commands import produce
from clickstream_assets.traffic.producer import Refused, SendError, Unreachable


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "Name a FILE to send, or ask for --demo"),
        (["--demo", __file__], "one of the two"),
        ([__file__, "--events", "5"], "go with --demo"),
        (["--demo", "--envelope"], "goes with a FILE"),
        (["--demo", "--hours", "5"], "go with --events"),
        (["--demo", "--events", "5", "--start", "soon"], "not ISO 8601"),
        (["--demo", "--events", "0"], "--events"),
        (["--demo", "--rate", "0"], "--rate"),
        (["--demo", "--rate", "nan"], "no finite number"),
        (["--demo", "--events", "5", "--hours", "nan"], "no finite number"),
        (["--demo", "--events", "5", "--hours", "inf"], "no finite number"),
        (["--demo", "--events", "5", "--hours", "1e9"], "before 1970"),
        (["--demo", "--events", "5", "--start", "0001-01-01"], "before 1970"),
        (["nowhere.jsonl"], "does not exist"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(arguments, complaint):
    result = CliRunner().invoke(produce, arguments)
    assert result.exit_code == 2
    assert complaint in result.output


def test_unreachable_kafka_is_one_sentence_with_a_remedy(monkeypatch):
    from kafka.errors import KafkaTimeoutError

    def refuse(_):
        raise KafkaTimeoutError

    monkeypatch.setattr("clickstream_assets.resources.kafka.ensure_topic", refuse)
    result = CliRunner().invoke(produce, ["--demo", "--events", "1"])
    assert result.exit_code == 1
    assert settings().kafka_bootstrap_servers in result.output
    assert "clickstream stack up" in result.output


@pytest.fixture
def sending(monkeypatch):
    """Has ``produce`` reach a topic that does with its messages what the returned list's last function does."""
    ways = []
    monkeypatch.setattr("clickstream_assets.resources.kafka.ensure_topic", lambda _: False)
    monkeypatch.setattr(producer, "send", lambda messages, **options: ways[-1](list(messages), **options))
    return ways


def test_refused_messages_are_named_at_the_end_and_the_exit_code_is_1(sending, tmp_path):
    def send(messages, *, on_sent, on_refused, **_):
        for message in messages[1:]:
            on_refused(Refused(f"Not {message.value.decode()}."))
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
        on_refused(Refused("Not this."))
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
