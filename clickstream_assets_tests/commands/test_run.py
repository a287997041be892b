"""The exit code of ``clickstream run --exit``, without servers."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from clickstream_assets.cli import main
from clickstream_assets.commands import run as command
from clickstream_assets.settings import settings
from clickstream_assets.stack import supervisor
from clickstream_assets.stack.errors import StackError
from clickstream_assets.traffic.commands import STOPPED


@pytest.fixture
def without_servers(monkeypatch):
    monkeypatch.setenv("CLICKSTREAM_DAGSTER_PORT", "0")
    settings.cache_clear()
    stack = SimpleNamespace(environment=dict)
    monkeypatch.setattr(supervisor, "Stack", lambda *_: nullcontext(stack))
    monkeypatch.setattr(command, "_start_dagster", lambda *_: "http://localhost:1")
    yield monkeypatch
    settings.cache_clear()


@pytest.mark.parametrize(("sent", "books", "code"), [(0, 0, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1), (STOPPED, 1, 0)])
def test_refused_messages_and_books_that_differ_both_count(without_servers, tmp_path, sent, books, code):
    without_servers.setattr(command, "run_produce", lambda *_, **__: sent)
    without_servers.setattr(command, "_finish", lambda _: books)
    file = tmp_path / "clicks"
    file.write_text("{}\n")
    assert CliRunner().invoke(main, ["run", "--file", str(file), "--exit"]).exit_code == code


def test_what_could_not_be_done_is_no_difference(without_servers):
    def fail(*_):
        raise StackError("Kafka ended.")

    without_servers.setattr(command, "_start_dagster", fail)
    result = CliRunner().invoke(main, ["run", "--events", "1", "--exit"])
    assert (result.exit_code, result.output) == (2, "Error: Kafka ended.\n")


def test_a_file_that_has_no_messages_is_told_before_anything_starts(without_servers, tmp_path):
    started = []
    without_servers.setattr(command, "_start_dagster", lambda *_: started.append(1))
    file = tmp_path / "clicks"
    file.write_bytes("{}\n".encode("utf-16"))
    result = CliRunner().invoke(main, ["run", "--file", str(file), "--exit"])
    assert result.exit_code == 2
    assert result.output.startswith(f"Error: {file} is UTF-16")
    assert started == []
