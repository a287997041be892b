"""Deaths, restarts and signals in a stack of cheap processes in place of the servers."""

import json
import os
import signal
import stat
import subprocess
import sys
import time

import psutil
import pytest

from clickstream_assets.local.stack.errors import StackError
from clickstream_assets.local.stack.processes import Launch
from clickstream_assets.local.stack.steps import Steps
from clickstream_assets.local.stack.supervisor import Stack
from clickstream_assets.settings import Settings

pytestmark = pytest.mark.slow


class Said(Steps):
    def __init__(self):
        self.words = []

    def say(self, text):
        self.words.append(text)


class Servers(Stack):
    """A stack of one process, which is spawned as servers are."""

    def __init__(self, home, steps, *argv, **options):
        super().__init__(Settings(home=home), steps)
        self.launch = Launch("thing", argv, home / "thing.log", dict(os.environ), home, title="the thing", **options)

    def _start(self):
        self._spawn(self.launch)
        self._write_state("up")


def _await_end(stack):
    stack.children[0].wait(10)


def test_what_may_be_started_again_is_three_times_and_named_with_its_log_at_the_fourth_death(tmp_path):
    said = Said()
    with Servers(tmp_path, said, "sh", "-c", "echo no room left; exit 3", restarts=3) as stack:
        pids = [stack.children[0].pid]
        for _ in range(3):
            _await_end(stack)
            stack.watch()
            pids.append(stack.children[0].pid)
        assert [text.partition(" Its")[0] for text in said.words] == [
            f"the thing ended with exit code 3 and is started again, {number} of 3 times." for number in (1, 2, 3)
        ]
        assert len(set(pids)) == 4
        assert len(stack.children) == 1
        _await_end(stack)
        with pytest.raises(StackError, match="thing ended with exit code 3 for the fourth time") as error:
            stack.watch()
    assert "no room left" in error.value.message
    assert len(said.words) == 3


def test_what_it_said_before_it_died_is_kept_where_the_terminal_says(tmp_path):
    said = Said()
    with Servers(tmp_path, said, "sh", "-c", "echo out of memory", restarts=1) as stack:
        _await_end(stack)
        stack.watch()
        log = said.words[0].split()[-1].rstrip(".")
    assert (tmp_path / "thing.log.1").read_text() == "out of memory\n"
    assert log == str(tmp_path / "thing.log.1")


def test_what_is_started_again_runs_with_its_second_command_and_is_in_the_state_file(tmp_path):
    again = ("sleep", "600")
    with Servers(tmp_path, Said(), "sleep", "500", restarts=3, argv_again=again) as stack:
        os.kill(stack.children[0].pid, signal.SIGKILL)
        _await_end(stack)
        stack.watch()
        pid = stack.children[0].pid
        assert psutil.Process(pid).cmdline() == list(again)
        state = json.loads((tmp_path / "stack" / "state.json").read_text())
        assert state["state"] == "up"
        assert [process["pid"] for process in state["processes"]] == [pid]
    assert not psutil.pid_exists(pid)


def test_what_is_written_while_it_runs_is_its_owners_alone_and_what_was_there_becomes_it(tmp_path):
    old, new = tmp_path / "dagster" / "runs.db", tmp_path / "new"
    old.parent.mkdir()
    old.write_text("")
    old.chmod(0o644)
    before = os.umask(0o022)
    try:
        with Servers(tmp_path, Said(), "sh", "-c", 'touch "$0"', str(new), must_live=False) as stack:
            _await_end(stack)
        after = os.umask(0o022)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(file.stat().st_mode) for file in (old, new, tmp_path / "thing.log")} == {0o600}
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (tmp_path, tmp_path / "stack")} == {0o700}
    assert after == 0o022


def test_a_server_is_not_started_again(tmp_path):
    said = Said()
    with Servers(tmp_path, said, "sleep", "600") as stack:
        stack.watch()
        os.kill(stack.children[0].pid, signal.SIGKILL)
        _await_end(stack)
        with pytest.raises(StackError, match="thing ended by SIGKILL"):
            stack.watch()
    assert said.words == []


def test_stopping_names_what_is_stopped_and_what_takes_its_time(tmp_path):
    said = Said()
    deaf = "trap 'sleep 1.5; exit' TERM; echo ready; while :; do sleep 0.1; done"
    with Servers(tmp_path, said, "sh", "-c", deaf, stop_seconds=20) as stack:
        while "ready" not in stack.children[0].log.read_text():
            time.sleep(0.05)
    assert said.words == ["Stopping the thing …", "Waiting for the thing, 19 s at most …"]


PROGRAM = """
import os, signal, sys, time
print(os.getpid(), signal.getsignal(signal.SIGINT) is signal.SIG_IGN, flush=True)
from pathlib import Path
from clickstream_assets.local.stack.steps import TerminalSteps
from clickstream_assets_tests.local.stack.test_supervisor import Servers
with Servers(Path(sys.argv[1]), TerminalSteps(), *sys.argv[2:], stop_seconds=60) as stack:
    print(stack.children[0].pid, flush=True)
    while True:
        stack.watch()
        time.sleep(0.1)
"""


class Background:
    """A program started by a script with ``&``, so that it is born ignoring SIGINT."""

    def __init__(self, home, *argv):
        script = '"$@" & wait $!'
        command = ["sh", "-c", script, "sh", sys.executable, "-c", PROGRAM, str(home), *argv]
        self.shell = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        pid, ignores_sigint = self.shell.stdout.readline().split()
        assert ignores_sigint == "True"
        self.pid = int(pid)
        self.child = int(self.shell.stdout.readline())

    def signal(self, number):
        os.kill(self.pid, number)
        return time.monotonic()

    def end(self):
        words = self.shell.communicate(timeout=20)[1]
        return self.shell.returncode, words


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_everything_also_in_the_background_of_a_script(tmp_path, number, code):
    background = Background(tmp_path, "sleep", "600")
    assert psutil.pid_exists(background.child)
    background.signal(number)
    assert background.end()[0] == code
    assert not psutil.pid_exists(background.child)
    assert not psutil.pid_exists(background.pid)


def test_a_second_ctrl_c_kills_at_once(tmp_path):
    background = Background(tmp_path, "sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")
    time.sleep(0.5)  # the trap is set
    background.signal(signal.SIGINT)
    for line in background.shell.stderr:
        if "Waiting for the thing" in line:
            break
    second = background.signal(signal.SIGINT)
    background.end()
    assert time.monotonic() - second < 5
    assert not psutil.pid_exists(background.child)
