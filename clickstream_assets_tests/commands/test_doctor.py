"""The doctor on servers that are not there, or not what they should be: soon told, with what to do."""

import socket
import time
from contextlib import ExitStack

import pytest
from click.testing import CliRunner

from clickstream_assets.commands import doctor
from clickstream_assets.settings import settings

REMEDIES = {
    "Kafka": "CLICKSTREAM_KAFKA_BOOTSTRAP_SERVERS",
    "HBase": "CLICKSTREAM_HBASE_HOST and CLICKSTREAM_HBASE_PORT",
    "Elasticsearch": "CLICKSTREAM_ELASTICSEARCH_URL",
    "Spark": "CLICKSTREAM_SPARK_REMOTE",
}


@pytest.fixture
def sockets():
    """Makes sockets on free ports that accept connections and never answer; or, not listening, refuse them."""
    with ExitStack() as stack:

        def make(*, listening):
            opened = stack.enter_context(socket.socket())
            opened.bind(("127.0.0.1", 0))  # kept open: nobody else gets the port
            if listening:
                opened.listen()
            return opened.getsockname()[1]

        yield make


@pytest.fixture
def point_at(monkeypatch, tmp_path):
    """Points the settings at ports; returns the names of the servers."""

    def point(kafka, hbase, elasticsearch, spark):
        monkeypatch.setenv("CLICKSTREAM_KAFKA_BOOTSTRAP_SERVERS", ",".join(f"127.0.0.1:{port}" for port in kafka))
        monkeypatch.setenv("CLICKSTREAM_HBASE_HOST", "127.0.0.1")
        monkeypatch.setenv("CLICKSTREAM_HBASE_PORT", str(hbase))
        monkeypatch.setenv("CLICKSTREAM_ELASTICSEARCH_URL", f"http://127.0.0.1:{elasticsearch}")
        monkeypatch.setenv("CLICKSTREAM_SPARK_REMOTE", f"sc://127.0.0.1:{spark}/;user_id=someone")
        monkeypatch.setenv("CLICKSTREAM_HOME", str(tmp_path))
        settings.cache_clear()

    yield point
    settings.cache_clear()


def findings():
    """Each check's line, and the seconds from the line before it; the exit code is 1."""
    found = {}
    begun = time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        lines = []

        def echo(line, *args, **kwargs):
            lines.append((line, time.monotonic()))

        patch.setattr(doctor.click, "echo", echo)
        result = CliRunner().invoke(doctor.doctor)
    assert result.exit_code == 1, result.exception
    for line, at in lines:
        mark, what = line.split(":")[0].rsplit(" ", 1)
        found[what] = ("FAIL" in mark, line, at - begun)
        begun = at
    return found


def test_servers_that_refuse_connections_are_told_within_five_seconds_each(sockets, point_at):
    closed = [sockets(listening=False) for _ in range(5)]
    point_at(closed[:2], *closed[2:])
    found = findings()
    for name, remedy in REMEDIES.items():
        failed, line, seconds = found[name]
        assert failed
        assert "refused" in line
        assert "clickstream stack up" in line
        assert remedy in line
        assert seconds < 5, name
    assert all(f"127.0.0.1:{port}" in found["Kafka"][1] for port in closed[:2])


def test_servers_that_accept_and_never_answer_are_told_within_ten_seconds_each(sockets, point_at, monkeypatch):
    assert doctor._ANSWER_SECONDS + doctor._PATIENCE_SECONDS < 10
    monkeypatch.setattr(doctor, "_ANSWER_SECONDS", 2)
    closed = sockets(listening=False)
    silent = [sockets(listening=True) for _ in range(4)]
    point_at([closed, silent[0]], *silent[1:])
    found = findings()
    for name, remedy in REMEDIES.items():
        failed, line, seconds = found[name]
        assert failed
        assert "refused" not in line
        assert "clickstream stack up" in line
        assert remedy in line
        assert 2 <= seconds < 8, name  # asked once; some of it is pyspark's import


def test_a_name_that_does_not_exist_is_told_within_five_seconds(sockets, point_at, monkeypatch):
    closed = sockets(listening=False)
    point_at([closed], closed, closed, closed)
    monkeypatch.setenv("CLICKSTREAM_HBASE_HOST", "no-such-host.invalid")
    settings.cache_clear()
    failed, line, seconds = findings()["HBase"]
    assert failed
    assert "no-such-host.invalid" in line
    assert REMEDIES["HBase"] in line
    assert seconds < 5
