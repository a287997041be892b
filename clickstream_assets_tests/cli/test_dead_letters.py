"""What ``clickstream dead-letters`` prints, of letters in memory."""

import json
from contextlib import contextmanager

import pytest
from click.testing import CliRunner

from clickstream_assets.cli import dead_letters as command
from clickstream_assets.cli.main import main
from clickstream_assets.events.hours import hour_of_key
from clickstream_assets.ingest.dead_letters import DeadLetters
from clickstream_assets_tests.fakes.servers import HOUR_MS, LETTERS, World

FIRST = hour_of_key("2026-11-20-00:00")
TIME = (FIRST + 3) * HOUR_MS + 1


@pytest.fixture
def world(monkeypatch):
    made = World(FIRST)

    @contextmanager
    def letters():
        yield DeadLetters(made.hbase, LETTERS, FIRST)

    monkeypatch.setattr(command, "_letters", letters)
    return made


def printed(*arguments, code=0):
    done = CliRunner().invoke(main, ["dead-letters", *arguments])
    assert done.exit_code == code, done.output
    return done.output


def test_letters_are_counted_by_hour_and_reason(world):
    for value in (b"{", b"{", b"[]"):
        world.topic.send(value, TIME)
    world.topic.send(b"{", TIME + HOUR_MS)
    world.ingest()
    assert [json.loads(line) for line in printed("list", "--json").splitlines()] == [
        {"hour": "2026-11-20-03:00", "reason": "invalid_json", "letters": 2},
        {"hour": "2026-11-20-03:00", "reason": "not_an_object", "letters": 1},
        {"hour": "2026-11-20-04:00", "reason": "invalid_json", "letters": 1},
    ]
    words = printed("list", "--from", "2026-11-20T04:00").split()
    assert words == ["hour", "reason", "letters", "2026-11-20-04:00", "invalid_json", "1", "all", "1"]
    assert printed("list", "--reason", "too_large") == "No dead letters.\n"


def test_a_long_letter_is_cut_and_its_size_told(world):
    world.topic.send(b'{"url": "' + b"x" * 1000, TIME)
    world.ingest()
    words = printed("show")
    assert "  record_time: 2026-11-20T03:00:00.001Z\n" in words
    assert '  bytes: 1009\n  value: {"url": "' + "x" * 191 + "\n  truncated: True\n" in words
    assert '  value: {"url": "' + "x" * 1000 + "\n" in printed("show", "--full")
    (shown,) = map(json.loads, printed("show", "--json").splitlines())
    assert (shown["bytes"], len(shown["value"]), shown["truncated"]) == (1009, 200, True)
    assert "truncated" not in json.loads(printed("show", "--json", "--full"))


def test_bytes_cannot_command_a_terminal(world):
    world.topic.send('{"\x1b[2J\x07ü'.encode(), TIME)
    world.topic.send(b"\xff\x1b", TIME)
    world.topic.send(None, TIME)
    world.ingest()
    words = printed("show")
    assert "\x1b" not in words
    assert r'  value: {"\x1b[2J\x07ü' in words
    assert "  value_base64: /xs=" in words
    assert "  value: none" in words


def test_single_letters_are_named_by_their_place(world):
    world.topic.send(b"{", TIME)
    world.ingest()
    assert printed("show", "id-1/0/0").startswith("id-1/0/0\n")
    assert "No such dead letter" in printed("show", "id-1/0/7", code=1)
    assert "not TOPIC_ID/PARTITION/OFFSET" in printed("show", "7", code=2)


def test_hours_the_wrong_way_round_are_a_usage_error(world):
    assert "--to must be later" in printed("list", "--from", "2026-11-20T04:00", "--to", "2026-11-20T04:00", code=2)


def test_in_a_pod_dagster_does_the_replay_and_nothing_else(monkeypatch):
    def used(wanted, *, dry_run):
        raise AssertionError("a replay in this process")

    monkeypatch.setattr(command, "_replayed", used)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    words = printed("replay", "--here", code=2)
    assert "--here is not for a pod" in words
    assert "Launch the job on its page" in words
    assert "--dagster URL" in words
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    done = CliRunner().invoke(main, ["dead-letters", "replay", "--here", "--dagster", "http://127.0.0.1:9"])
    assert "a replay in this process" in done.output


def test_a_letter_of_a_record_without_a_time_shows_none(world):
    world.topic.send(None, -1)
    world.ingest()
    words = printed("show")
    assert "  record_time: none\n" in words
    assert "  value: none\n" in words
    assert json.loads(printed("show", "--json"))["record_time"] is None


def test_letters_of_what_was_cut_off_and_of_what_took_its_place_are_named_apart(world):
    world.topic.send(b"{", TIME)
    world.ingest()
    world.topic.cut(0)
    world.topic.send(b"[]", TIME)
    world.ingest()
    assert "invalid_json" in printed("show", "id-1/0/0")
    assert "not_an_object" in printed("show", "id-1~001/0/0")


@pytest.mark.parametrize("place", ["3", "topic/1", "topic/one/2", "topic/1/-2", "topic/1/2/3", "topic/1/" + "9" * 19])
def test_what_is_no_place_in_kafka_is_told_before_a_server_is_asked(place):
    assert f"'{place}' is not TOPIC_ID/PARTITION/OFFSET" in printed("show", place, code=2)
