"""The whole life of a background stack, on real servers: up, killed, up again with its data, down."""

import signal
import socket
import time

import happybase
import psutil
import pytest
from click.testing import CliRunner
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import NewTopic

from clickstream_assets.local.stack import background
from clickstream_assets.local.stack.commands import stack as stack_command
from clickstream_assets.local.stack.errors import StackError
from clickstream_assets.settings import Settings, settings

pytestmark = pytest.mark.slow


def _server_processes(pids):
    """Those of the processes that live, and whatever else works for a stack of ours."""
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]


@pytest.fixture
def stack_settings(tmp_path, monkeypatch):
    """A home of its own, whatever ports are free, the shared cache."""
    for server in ("KAFKA", "HBASE", "ELASTICSEARCH", "SPARK"):
        monkeypatch.setenv(f"CLICKSTREAM_STACK_{server}_PORT", "0")
    monkeypatch.setenv("CLICKSTREAM_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    chosen = Settings()
    yield chosen
    background.down(chosen)
    settings.cache_clear()


def _write(environment):
    brokers = environment["CLICKSTREAM_KAFKA_BOOTSTRAP_SERVERS"]
    admin = KafkaAdminClient(bootstrap_servers=brokers)
    admin.create_topics([NewTopic("kept", num_partitions=1, replication_factor=1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=brokers, acks="all")
    producer.send("kept", b"a message").get(timeout=20)
    producer.close()
    connection = happybase.Connection(environment["CLICKSTREAM_HBASE_HOST"], int(environment["CLICKSTREAM_HBASE_PORT"]))
    connection.create_table("kept", {"f": {}})
    connection.table("kept").put(b"row", {b"f:q": b"a value"})
    connection.close()


def _read(environment):
    consumer = KafkaConsumer(
        "kept",
        bootstrap_servers=environment["CLICKSTREAM_KAFKA_BOOTSTRAP_SERVERS"],
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        consumer_timeout_ms=20_000,
    )
    message = next(consumer).value
    consumer.close()
    connection = happybase.Connection(environment["CLICKSTREAM_HBASE_HOST"], int(environment["CLICKSTREAM_HBASE_PORT"]))
    row = connection.table("kept").row(b"row")
    connection.close()
    return message, row


def test_a_killed_stack_leaves_no_process_and_loses_no_data(stack_settings):
    environment = background.up(stack_settings)
    _write(environment)
    assert background.env(stack_settings) == environment

    rows = background.status(stack_settings)
    assert {row.server: row.state for row in rows} == dict.fromkeys(
        ("kafka", "hbase", "hbase-thrift", "elasticsearch", "spark"), "up"
    )
    assert all(row.log.is_file() and row.memory_mb > 50 for row in rows)
    shown = CliRunner().invoke(stack_command, ["env"])
    assert (
        f"export CLICKSTREAM_KAFKA_BOOTSTRAP_SERVERS={environment['CLICKSTREAM_KAFKA_BOOTSTRAP_SERVERS']}\n"
        in shown.output
    )
    with pytest.raises(StackError, match="running already"):
        background.up(stack_settings)

    supervisor = psutil.Process(rows[0].pid).parent()
    below = [process.pid for process in supervisor.children(recursive=True)]
    assert len(below) >= len(rows)
    supervisor.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 5
    while (alive := _server_processes([supervisor.pid, *below])) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert alive == []
    assert {row.state for row in background.status(stack_settings)} == {"stopped"}

    environment = background.up(stack_settings)
    assert _read(environment) == (b"a message", {b"f:q": b"a value"})

    rows = background.status(stack_settings)
    supervisor = psutil.Process(rows[0].pid).parent()
    below = [process.pid for process in supervisor.children(recursive=True)]
    assert CliRunner().invoke(stack_command, ["down"]).output == "The servers are down.\n"
    assert _server_processes([supervisor.pid, *below]) == []
    with pytest.raises(ConnectionRefusedError), socket.socket() as client:
        client.connect(("127.0.0.1", int(environment["CLICKSTREAM_HBASE_PORT"])))
    assert background.down(stack_settings) is False
