"""``clickstream page`` where it cannot start: said at once, with what to do."""

import socket

import pytest
from click.testing import CliRunner

from clickstream_assets.cli.main import main
from clickstream_assets.settings import settings


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as opened:
        yield opened.getsockname()[1]


@pytest.fixture
def run(monkeypatch):
    def run(*options, elasticsearch):
        monkeypatch.setenv("CLICKSTREAM_ELASTICSEARCH_URL", f"http://127.0.0.1:{elasticsearch}")
        settings.cache_clear()
        return CliRunner().invoke(main, ["page", *options])

    yield run
    settings.cache_clear()


def test_a_port_that_is_taken_is_told(run, listener):
    result = run("--port", str(listener), elasticsearch=listener)
    assert result.exit_code == 1
    assert f"cannot listen on 127.0.0.1:{listener} (another program listens there): name a --port" in result.output


def test_so_is_an_elasticsearch_that_does_not_answer(run):
    result = run("--port", "0", elasticsearch=9)
    assert result.exit_code == 1
    assert "Elasticsearch does not answer" in result.output
    assert "clickstream doctor" in result.output


def test_its_help_says_what_it_is_for(run):
    said = " ".join(run("--help", elasticsearch=9).output.split())
    for words in ("http://localhost:3001", "CLICKSTREAM_PAGE_PORT", "CLICKSTREAM_PAGE_HOSTS", "It changes nothing"):
        assert words in said
