import pytest
from click.testing import CliRunner

from clickstream_assets.settings import settings
from clickstream_assets.traffic.commands import produce


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
