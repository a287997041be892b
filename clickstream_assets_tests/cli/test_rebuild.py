"""What ``clickstream rebuild`` says: usage, what would be done, and why it is not."""

import re
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from clickstream_assets import definitions
from clickstream_assets.cli import rebuild as command
from clickstream_assets.cli import through_dagster
from clickstream_assets.cli.main import main
from clickstream_assets.events.hours import hour_of_key
from clickstream_assets.settings import Settings
from clickstream_assets_tests.fakes.servers import CLICKS, HOUR_MS, World

FIRST = hour_of_key("2026-11-20-00:00")
HOUR = FIRST + 3
FROM, TO = "2026-11-20T03:00", "2026-11-20T05:00"
NOWHERE = "http://127.0.0.1:9"


def view(name, hour=HOUR):
    value = (
        f'{{"event_id": "{name}", "user_id": "ada", "timestamp": {hour * HOUR_MS + 1}, "url": "https://a.example/"}}'
    )
    return value.encode(), hour * HOUR_MS + 1


@pytest.fixture
def world(monkeypatch):
    """Five events of an hour and two of the next, read; the command's servers are these."""
    made = World(FIRST)
    for name in "abcde":
        made.topic.send(*view(name))
    for name in "fg":
        made.topic.send(*view(name, HOUR + 1))
    made.ingest()

    @contextmanager
    def books():
        yield made.books

    servers = SimpleNamespace(kafka=SimpleNamespace(client=lambda: made.topic), hbase=SimpleNamespace(books=books))
    monkeypatch.setattr(definitions, "resources", lambda configured: servers)
    monkeypatch.setattr(command, "settings", lambda: Settings(first_hour="2026-11-20-00:00"))
    monkeypatch.setattr(command, "require_servers", lambda *_: None)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    return made


def said(*arguments, code=0):
    done = CliRunner().invoke(main, ["rebuild", *arguments])
    assert done.exit_code == code, done.output
    return re.sub(r"\s+", " ", done.output)


def lose_a_row(world):
    table = world.hbase.tables[CLICKS]
    del table[next(key for key in table if int.from_bytes(key[1:5], "big") == HOUR)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Missing argument 'FROM'"),
        ((FROM,), "Missing argument 'TO'"),
        ((FROM, FROM), "TO must be later than FROM"),
        ((TO, FROM), "TO must be later than FROM"),
        (("yesterday", TO), "Invalid value for 'FROM'"),
        ((FROM, "2026-11-20T05:30"), "Invalid value for 'TO'"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_asked_for(arguments, words):
    assert words in said(*arguments, code=2)


def test_a_dry_run_says_what_would_be_dropped_and_read_and_changes_nothing(world):
    lose_a_row(world)
    before, touched = world.rows(), world.touched()
    words = said(FROM, TO, "--dry-run")
    assert words.startswith("To drop and read again: 2 hours, 6 rows, ")
    assert "0 contradicting parts of the ledger" in words
    assert (world.rows(), world.touched()) == (before, touched)


def test_here_the_hours_are_dropped_and_read_again(world):
    whole = world.rows(b"click_data:run_id")
    lose_a_row(world)
    words = said(FROM, TO, "--here", "--dagster", NOWHERE)
    assert "To drop and read again: 2 hours, 6 rows, " in words
    assert "2026-11-20-03:00 (1 of 2): read 7 messages: kept 7" in words
    assert "2026-11-20-04:00 (2 of 2): " in words
    assert world.rows(b"click_data:run_id").keys() == whole.keys()
    world.assert_books_balance()


@pytest.mark.parametrize("mode", [["--dry-run"], ["--here", "--dagster", NOWHERE]])
def test_what_kafka_no_longer_has_is_named_and_nothing_is_dropped(world, mode):
    world.topic.begin[0] = 3
    before = world.rows()
    words = said(FROM, TO, *mode, code=1)
    assert "Error: 2026-11-20-03:00 cannot be read again: offsets 0 to 6 of partition 0" in words
    assert "are no longer in Kafka" in words
    assert "It was left as it is." in words
    assert world.rows() == before


def test_here_is_refused_in_a_pod_and_while_dagster_is_up(world, monkeypatch):
    before = world.rows()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    words = said(FROM, TO, "--here", code=1)
    assert "--here is not for a pod" in words
    assert "--dagster URL" in words
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    monkeypatch.setattr(through_dagster, "is_dagster_up", lambda url: True)
    words = said(FROM, TO, "--here", "--dagster", "http://dagster.example:3000/", code=1)
    assert "Dagster is up on http://dagster.example:3000, and may ingest at any moment: leave --here out" in words
    assert world.rows() == before


def test_a_dagster_that_does_not_answer_is_told_with_what_to_do(world):
    words = said(FROM, TO, "--dagster", NOWHERE, code=1)
    assert f"Dagster does not answer on {NOWHERE}: start it (`clickstream run`) or name it with --dagster URL" in words
    assert "--here does it in this process" in words


def test_dagster_is_asked_for_the_hours_as_the_command_was(monkeypatch):
    asked = []
    monkeypatch.setattr(command, "run_in_dagster", lambda *arguments: asked.append(arguments))
    assert said(FROM, TO, "--dagster", "http://dagster.example/") == ""
    hours = {"first": "2026-11-20-03:00", "end": "2026-11-20-05:00"}
    assert asked == [("http://dagster.example", "rebuild_hours", "rebuild", hours)]
