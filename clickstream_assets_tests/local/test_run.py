"""``clickstream run`` without servers: its exit code, its first hour, how live traffic is started."""

import os
import sys
import time
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from clickstream_assets.cli.main import main
from clickstream_assets.cli.produce import STOPPED
from clickstream_assets.local import run as command
from clickstream_assets.local.stack import supervisor
from clickstream_assets.local.stack.errors import StackError
from clickstream_assets.settings import settings


@pytest.fixture
def without_servers(monkeypatch, tmp_path):
    monkeypatch.setenv("CLICKSTREAM_DAGSTER_PORT", "0")
    monkeypatch.setenv("CLICKSTREAM_PAGE_PORT", "0")
    monkeypatch.setenv("CLICKSTREAM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CLICKSTREAM_FIRST_HOUR", "")
    settings.cache_clear()
    started = []
    stack = SimpleNamespace(environment=dict, start_process=lambda *args, **options: started.append((args, options)))
    monkeypatch.setattr(supervisor, "Stack", lambda *_, **__: nullcontext(stack))
    monkeypatch.setattr(command, "start_dagster", lambda *_: "http://localhost:1")
    monkeypatch.setattr(command, "start_page", lambda *_: "http://localhost:2")
    monkeypatch.setattr(command, "_watch", lambda *_: lambda: None)
    monkeypatch.started = started
    yield monkeypatch
    settings.cache_clear()


@pytest.mark.parametrize(("sent", "books", "code"), [(0, 0, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1), (STOPPED, 0, STOPPED)])
def test_refused_messages_and_books_that_differ_both_count(without_servers, tmp_path, sent, books, code):
    without_servers.setattr(command, "run_produce", lambda *_, **__: sent)
    without_servers.setattr(command, "_finish", lambda _: books)
    file = tmp_path / "clicks"
    file.write_text("{}\n")
    assert CliRunner().invoke(main, ["run", "--file", str(file), "--exit"]).exit_code == code


def test_what_could_not_be_done_is_no_difference(without_servers):
    def fail(*_):
        raise StackError("Kafka ended.")

    without_servers.setattr(command, "start_dagster", fail)
    result = CliRunner().invoke(main, ["run", "--events", "1", "--exit"])
    assert (result.exit_code, result.output) == (2, "Error: Kafka ended.\n")


def test_a_file_that_has_no_messages_is_told_before_anything_starts(without_servers, tmp_path):
    started = []
    without_servers.setattr(command, "start_dagster", lambda *_: started.append(1))
    file = tmp_path / "clicks"
    file.write_bytes("{}\n".encode("utf-16"))
    result = CliRunner().invoke(main, ["run", "--file", str(file), "--exit"])
    assert result.exit_code == 2
    assert result.output.startswith(f"Error: {file} is UTF-16")
    assert started == []


@pytest.mark.parametrize(("options", "code"), [([], 0), (["--exit"], STOPPED)])
def test_ctrl_c_is_the_ordinary_end_and_no_verdict(without_servers, options, code):
    def stop(*_, **__):
        raise KeyboardInterrupt

    without_servers.setattr(command, "start_dagster", stop)
    assert CliRunner().invoke(main, ["run", "--events", "1", *options]).exit_code == code


def _first_hour_at_start(without_servers, *options):
    """What the environment says of the first hour when the servers are started."""
    seen = []

    def stop(*_):
        seen.append(os.environ["CLICKSTREAM_FIRST_HOUR"])
        raise KeyboardInterrupt

    without_servers.setattr(command, "start_dagster", stop)
    CliRunner().invoke(main, ["run", *options])
    return seen[0]


@pytest.mark.parametrize("options", [[], ["--events", "5"]])
def test_under_demo_traffic_the_first_hour_is_a_day_before_the_start(without_servers, options):
    before = time.time()
    first_hour = _first_hour_at_start(without_servers, *options)
    wanted = {time.strftime("%Y-%m-%d-%H:00", time.gmtime(t - 24 * 3600)) for t in (before, time.time())}
    assert first_hour in wanted
    assert settings().first_hour == first_hour
    assert "first_hour" in settings().model_fields_set  # for `stack env`


def test_a_file_leaves_the_first_hour_as_it_is(without_servers, tmp_path):
    file = tmp_path / "clicks"
    file.write_text("{}\n")
    assert _first_hour_at_start(without_servers, "--file", str(file)) == ""


def test_a_file_that_is_sent_to_a_home_in_use_leaves_the_first_hour_of_its_demo_traffic(without_servers, tmp_path):
    def refuse(*_, **__):
        raise StackError("The embedded servers are running already.")

    first_hour = _first_hour_at_start(without_servers)
    without_servers.setattr(supervisor, "Stack", refuse)
    without_servers.setenv("CLICKSTREAM_FIRST_HOUR", "")  # another shell
    settings.cache_clear()
    file = tmp_path / "clicks"
    file.write_text("{}\n")
    assert CliRunner().invoke(main, ["run", "--file", str(file)]).exit_code == 2
    assert (tmp_path / "home" / "first-hour").read_text() == f"{first_hour}\n"


def test_a_first_hour_that_is_set_wins(without_servers):
    without_servers.setenv("CLICKSTREAM_FIRST_HOUR", "2026-01-15-00:00")
    settings.cache_clear()
    assert _first_hour_at_start(without_servers) == "2026-01-15-00:00"


def test_live_traffic_that_is_started_again_goes_on_behind_what_it_recorded(without_servers, tmp_path):
    def stop(_):
        raise KeyboardInterrupt

    without_servers.setattr(command, "_stay", stop)
    record = tmp_path / "sent.jsonl"
    result = CliRunner().invoke(main, ["run", "--rate", "5", "--record", str(record)])
    assert (result.exit_code, result.output.splitlines()[-1]) == (0, "Live demo clicks are flowing.")
    ((name, argv), options) = without_servers.started[0]
    assert name == "demo-traffic"
    assert argv[:4] == [sys.executable, "-m", "clickstream_assets.cli.main", "produce"]
    assert argv[-2:] == ["--record", str(record)]
    assert (options["argv_again"], options["restarts"]) == ([*argv, "--append"], 3)
