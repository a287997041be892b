import json
import os
import signal
import sys
import time

import psutil
import pytest
from click.testing import CliRunner

from clickstream_assets.local.stack import background
from clickstream_assets.local.stack.commands import stack
from clickstream_assets.local.stack.errors import StackError
from clickstream_assets.local.stack.supervisor import Stack
from clickstream_assets.settings import Settings, settings

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CLICKSTREAM_HOME", str(tmp_path))
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def _write_state(home, *names):
    processes = [{"name": name, "pid": os.getpid(), "port": 1, "log": f"{name}.log"} for name in names]
    content = {"pid": os.getpid(), "state": "up", "environment": {"A": "b"}, "processes": processes}
    (home / "stack" / "state.json").write_text(json.dumps(content))


def test_down_without_servers_says_so_and_succeeds(home):
    done = CliRunner().invoke(stack, ["down"])
    assert (done.exit_code, done.output) == (0, "No servers are running.\n")


def test_status_without_servers_lists_them_as_stopped(home):
    done = CliRunner().invoke(stack, ["status"])
    assert done.exit_code == 0
    assert done.output.count("stopped") == 5


def test_env_without_servers_is_an_error(home):
    done = CliRunner().invoke(stack, ["env"])
    assert done.exit_code == 1
    assert "clickstream stack up" in done.output


@pytest.mark.parametrize(
    ("names", "dagster"), [(["kafka"], {}), (["kafka", "dagster-webserver"], {"CLICKSTREAM_DAGSTER_PORT": "1"})]
)
def test_env_has_dagsters_port_where_dagster_is_part_of_it(home, names, dagster):
    one = Stack(Settings())
    one._take_home()
    try:
        _write_state(home, *names)
        found = background.env(Settings())
    finally:
        one._leave_home()
    assert found == {"A": "b"} | dagster


@pytest.mark.parametrize("first_hour", ["", "2026-01-31-12:00"])
def test_env_has_the_first_hour_that_is_set_and_no_default_that_would_pass_for_it_later(home, monkeypatch, first_hour):
    monkeypatch.setenv("CLICKSTREAM_FIRST_HOUR", first_hour)
    running = Stack(Settings())
    running._environment = {"CLICKSTREAM_HBASE_PORT": "1"}
    running._take_home()
    try:
        running._write_state("up")
        output = CliRunner().invoke(stack, ["env"]).output
    finally:
        running._leave_home()
    assert [line for line in output.splitlines() if "FIRST_HOUR" in line] == (
        [f"export CLICKSTREAM_FIRST_HOUR={first_hour}"] if first_hour else []
    )


SERVE = """
import os, sys, time
from pathlib import Path
from clickstream_assets.local.stack.steps import Steps
from clickstream_assets_tests.local.stack.test_supervisor import Servers
print("the server says hello", flush=True)
with Servers(Path(os.environ["CLICKSTREAM_HOME"]), Steps(), "sleep", "600") as stack:
    while True:
        stack.check()
        time.sleep(0.05)
"""
"""What ``stack serve`` does, with a cheap process in place of the servers."""


@pytest.fixture
def serve(home, monkeypatch):
    """Has ``up`` start that, with nothing to fetch and no port to be free; ends what is left of it."""
    for name in ("choose_ports", "ensure_downloads"):
        monkeypatch.setattr(background, name, lambda *_: None)
    monkeypatch.setattr(background.requirements, "check_memory", lambda: None)
    monkeypatch.setattr(background, "SERVE", [sys.executable, "-c", SERVE])
    yield home
    background.down(Settings(home=home))


def test_servers_in_the_background_are_there_until_they_are_ended(serve):
    configured = Settings(home=serve)
    assert background.up(configured) == {}
    (running,) = [row for row in background.status(configured) if row.pid]
    assert (running.server, running.state) == ("thing", "up")
    assert psutil.Process(running.pid).parent().pid == int((serve / "stack" / "lock").read_text())
    with pytest.raises(StackError, match="running already"):
        background.up(configured)
    assert background.down(configured)
    assert not psutil.pid_exists(running.pid)


def test_when_one_of_them_dies_the_others_end_and_the_same_command_starts_them_again(serve):
    configured = Settings(home=serve)
    background.up(configured)
    (pid,) = [row.pid for row in background.status(configured) if row.pid]
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while background.status(configured)[-1].pid and time.monotonic() < deadline:
        time.sleep(0.05)
    background.up(configured)
    log = serve / "stack" / "logs" / "supervisor.log"
    assert "thing ended by SIGKILL" in log.with_name("supervisor.log.1").read_text()
    assert log.read_text() == "the server says hello\n"


def test_servers_that_do_not_start_are_told_with_the_end_of_their_log(serve, monkeypatch):
    monkeypatch.setattr(background, "SERVE", [sys.executable, "-c", "raise SystemExit('no room left')"])
    with pytest.raises(StackError, match=r"could not be started(.|\n)*no room left"):
        background.up(Settings(home=serve))


def test_the_background_gets_secrets_as_they_are_and_is_told_to_be_secured(serve, monkeypatch):
    monkeypatch.setenv("CLICKSTREAM_SPARK_TOKEN", "a token")
    says = "import os, sys; raise SystemExit(os.environ['CLICKSTREAM_SPARK_TOKEN'] + str(sys.argv[1:]))"
    monkeypatch.setattr(background, "SERVE", [sys.executable, "-c", says])
    with pytest.raises(StackError, match=r"a token\['--secure'\]"):
        background.up(Settings(home=serve), secure=True)


def test_ctrl_c_while_they_start_leaves_nothing(serve, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(background, "SERVE", ["sleep", "600"])
    monkeypatch.setattr(background.time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        background.up(Settings(home=serve))
    assert "sleep" not in [child.name() for child in psutil.Process().children()]


def test_files_of_a_killed_supervisor_mean_nothing_without_its_lock(home):
    (home / "stack").mkdir()
    (home / "stack" / "lock").write_text(str(os.getpid()))
    _write_state(home, "kafka")
    assert {row.state for row in background.status(Settings())} == {"stopped"}
    assert background.down(Settings()) is False
    with pytest.raises(StackError):
        background.env(Settings())
    one = Stack(Settings())
    one._take_home()  # and do not keep the next one from starting
    one._leave_home()


@pytest.mark.parametrize("command", ["up", "down", "status", "env"])
def test_a_file_for_a_home_is_one_sentence(home, monkeypatch, command):
    file = home / "file"
    file.touch()
    monkeypatch.setenv("CLICKSTREAM_HOME", str(file))
    settings.cache_clear()
    done = CliRunner().invoke(stack, [command])
    assert done.exit_code == 1
    assert done.output.startswith(f"Error: {file / 'stack'} cannot be read ([Errno 20] Not a directory")
    assert done.output.endswith("set CLICKSTREAM_HOME to a folder of yours.\n")


def test_two_stacks_in_one_home_are_refused(home):
    first, second = Stack(Settings()), Stack(Settings())
    first._take_home()
    try:
        with pytest.raises(StackError, match=rf"running already \(pid {os.getpid()}\)"):
            second._take_home()
    finally:
        first._leave_home()


def test_what_went_wrong_stands_below_the_end_of_the_log(capsys):
    StackError("kafka ended with exit code 1. The end of its log (/logs/kafka.log):\nStarting\nDisk full").show()
    assert capsys.readouterr().err == (
        "Starting\nDisk full\nError: kafka ended with exit code 1. The end of its log (/logs/kafka.log) stands above.\n"
    )


def test_words_of_two_lines_without_a_log_keep_their_order(capsys):
    StackError("Could not download Kafka: refused\nCheck the network.").show()
    assert capsys.readouterr().err == "Error: Could not download Kafka: refused\nCheck the network.\n"


def test_a_taken_home_is_an_error_before_anything_is_started(home, monkeypatch):
    (home / "stack").write_text("a file")
    with pytest.raises(StackError, match="CLICKSTREAM_HOME"):
        Stack(Settings())._take_home()
