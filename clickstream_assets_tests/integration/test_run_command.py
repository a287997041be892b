"""``clickstream run`` as a newcomer runs it: servers, Dagster's daemon and sensor, reconciliation, and an end."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request

import psutil
import pytest

_PORTS = ("STACK_KAFKA", "STACK_HBASE", "STACK_ELASTICSEARCH", "STACK_SPARK", "DAGSTER", "PAGE")
_ASSETS = "{ assetNodes { assetKey { path } partitionKeys } }"
IN_BACKGROUND = ["sh", "-c", '"$@" & wait $!', "sh"]
"""A script's ``&``: what it starts is born ignoring SIGINT."""


class RunCommand:
    """``clickstream run`` in a home of its own, on free ports."""

    def __init__(self, folder, *arguments, within=(), own=()):
        self.folder, self.home = folder, folder / "home"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("CLICKSTREAM_")}
        self.environment |= {f"CLICKSTREAM_{name}_PORT": "0" for name in _PORTS}
        self.environment |= {"CLICKSTREAM_HOME": str(self.home), **dict(own)}
        self.out, self.err = folder / "out", folder / "err"
        with self.out.open("w") as out, self.err.open("w") as err:
            command = [*within, *self.command("run", *arguments)]
            self.process = subprocess.Popen(command, env=self.environment, stdout=out, stderr=err)

    @staticmethod
    def command(*arguments):
        return [sys.executable, "-m", "clickstream_assets.cli.main", *map(str, arguments)]

    @property
    def state(self):
        return json.loads((self.home / "stack" / "state.json").read_text())

    def pid(self, name):
        return next(process["pid"] for process in self.state["processes"] if process["name"] == name)

    def said(self):
        return self.out.read_text() + self.err.read_text()

    def wait_for(self, words, seconds=180):
        deadline = time.monotonic() + seconds
        while words not in self.said():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.2)

    def end(self, seconds=420):
        """The exit code, once it has ended and left nothing running."""
        code = self.process.wait(seconds)
        commands = [(p.pid, " ".join(p.info["cmdline"] or [])) for p in psutil.process_iter(["cmdline"])]
        assert [pid for pid, command in commands if str(self.folder) in command] == []
        return code


def _first_partitions(port):
    """The first hour of every hourly asset: one if they agree; none while the webserver has no code."""
    body = json.dumps({"query": _ASSETS}).encode()
    request = urllib.request.Request(f"http://localhost:{port}/graphql", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            nodes = json.load(answer)["data"]["assetNodes"]
    except OSError:
        return set()
    return {node["partitionKeys"][0] for node in nodes if node["partitionKeys"] and ":" in node["partitionKeys"][0]}


@pytest.fixture
def run_command(tmp_path):
    started = []

    def start(*arguments, **options):
        started.append(RunCommand(tmp_path, *arguments, **options))
        return started[-1]

    yield start
    for command in started:
        if command.process.poll() is None:
            os.kill(command.state["pid"], signal.SIGTERM)
            command.process.wait(60)


def test_run_with_exit_reconciles_and_leaves_nothing_running(run_command, tmp_path):
    record = tmp_path / "sent.jsonl"
    command = run_command("--events", 300, "--exit", "--record", record)
    assert command.end() == 0, command.said()
    assert "The books balance" in command.out.read_text()
    assert len([json.loads(line) for line in record.read_text().splitlines()]) == 300


def test_code_server_and_daemon_killed_while_a_file_is_sent_are_started_again_and_all_of_it_is_counted(
    run_command, tmp_path
):
    clicks = tmp_path / "clicks.jsonl"
    now_ms = time.time_ns() // 1_000_000
    event = {"timestamp": now_ms, "url": "https://shop.example/", "user_id": "u"}
    clicks.write_text("".join(json.dumps(event | {"event_id": f"e{number}"}) + "\n" for number in range(60)))
    command = run_command("--file", clicks, "--rate", 2, "--exit")
    command.wait_for("Dagster is up")
    time.sleep(4)
    first = command.pid("dagster-code")
    for name in ("dagster-code", "dagster-daemon"):
        os.kill(command.pid(name), signal.SIGKILL)
    command.wait_for("Dagster's code server ended by SIGKILL and is started again, 1 of 3 times.", seconds=5)
    command.wait_for("Dagster's daemon ended by SIGKILL and is started again, 1 of 3 times.", seconds=5)
    assert "Done:" not in command.said()  # it was being sent
    assert command.pid("dagster-code") != first
    assert command.end() == 0, command.said()
    out = command.out.read_text()
    assert "The books balance" in out
    assert [line.split()[-1] for line in out.splitlines() if "stored as rows in HBase" in line] == ["60"]


def test_live_traffic_in_the_background_of_a_script_begins_a_day_ago_and_stops_on_sigint(run_command):
    begun = time.time()
    command = run_command(within=IN_BACKGROUND)
    command.wait_for("Live demo clicks are flowing.")
    wanted = {time.strftime("%Y-%m-%d-%H:00", time.gmtime(t - 24 * 3600)) for t in (begun, time.time())}

    env = subprocess.check_output(command.command("stack", "env"), env=command.environment, text=True)
    (first_hour,) = [line.partition("=")[2] for line in env.splitlines() if "CLICKSTREAM_FIRST_HOUR" in line]
    assert first_hour in wanted
    port = next(line.partition("=")[2] for line in env.splitlines() if "CLICKSTREAM_DAGSTER_PORT" in line)
    assert _first_partitions(port) == {first_hour}
    (page,) = re.findall("The analysts' page is up on (.+)", command.said())
    with urllib.request.urlopen(f"{page}/", timeout=30) as answer:
        assert f'href="http://localhost:{port}"' in answer.read().decode()  # to Dagster's pages

    for name in ("dagster-code", "dagster-webserver"):
        os.kill(command.pid(name), signal.SIGKILL)
    command.wait_for("Dagster's code server ended by SIGKILL and is started again", seconds=5)
    command.wait_for("Dagster's webserver ended by SIGKILL and is started again", seconds=5)
    deadline = time.monotonic() + 60
    while not (first := _first_partitions(port)) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert first == {first_hour}

    os.kill(command.state["pid"], signal.SIGINT)
    assert command.end(60) == 0, command.said()
    assert "Stopping Spark's warm-up" in command.said() or "Stopping Dagster's code server" in command.said()
    assert "Stopping HBase, Kafka …" in command.said()
