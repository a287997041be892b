import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import psutil
import pytest

from clickstream_assets.local.stack import processes
from clickstream_assets.local.stack.errors import StackError
from clickstream_assets.local.stack.processes import Launch
from clickstream_assets.stores.process import MARK


def _launch(tmp_path, *argv, **kwargs):
    return Launch(
        name="thing", argv=argv, log=tmp_path / "thing.log", environment=dict(os.environ), folder=tmp_path, **kwargs
    )


def _gone(pid, seconds=5.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_a_process_that_died_is_an_error_with_the_end_of_its_log(tmp_path):
    child = processes.start(_launch(tmp_path, "sh", "-c", "echo no room left; exit 3"))
    child.wait(10)
    with pytest.raises(StackError) as error:
        child.check()
    assert "thing ended with exit code 3" in error.value.message
    assert "no room left" in error.value.message
    assert str(tmp_path / "thing.log") in error.value.message


def test_a_process_that_was_killed_is_named_by_its_signal(tmp_path):
    child = processes.start(_launch(tmp_path, "sleep", "60"))
    os.kill(child.pid, signal.SIGKILL)
    child.wait(10)
    with pytest.raises(StackError, match="by SIGKILL"):
        child.check()


def test_a_process_that_may_end_is_no_error(tmp_path):
    child = processes.start(_launch(tmp_path, "true", must_live=False))
    child.wait(10)
    child.check()


def test_sigint_ends_it_also_below_a_background_job_of_a_shell(tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        child = processes.start(_launch(tmp_path, "sleep", "60"))
    finally:
        signal.signal(signal.SIGINT, before)
    os.kill(child.pid, signal.SIGINT)
    assert child.wait(10) == -signal.SIGINT


def test_a_program_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(StackError, match="thing could not be started"):
        processes.start(_launch(tmp_path, "/no/such/program"))


@pytest.mark.slow
def test_one_that_does_not_listen_is_killed_in_the_end(tmp_path):
    child = processes.start(_launch(tmp_path, "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"))
    while "ready" not in child.log.read_text():
        time.sleep(0.05)
    begun = time.monotonic()
    child.stop(0.5)
    assert child.poll() == -signal.SIGKILL
    assert time.monotonic() - begun < 3


def test_ctrl_c_in_a_terminal_does_not_reach_a_process(tmp_path):
    child = processes.start(_launch(tmp_path, "sleep", "60"))
    try:
        assert os.getsid(child.pid) == child.pid != os.getsid(0)
    finally:
        child.stop()


def test_the_log_of_the_start_before_is_kept(tmp_path):
    for word in ("first", "second"):
        processes.start(_launch(tmp_path, "echo", word)).wait(10)
    assert (tmp_path / "thing.log").read_text() == "second\n"
    assert (tmp_path / "thing.log.1").read_text() == "first\n"


PARENT = """
import os, sys, time
from pathlib import Path
from clickstream_assets.local.stack import processes
here = Path(sys.argv[1])
child = processes.start(processes.Launch("thing", ["sleep", "60"], here / "thing.log", dict(os.environ), here))
print(child.pid, flush=True)
time.sleep(60)
"""


def test_a_process_dies_with_a_parent_that_is_killed(tmp_path):
    with subprocess.Popen([sys.executable, "-c", PARENT, tmp_path], stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        parent.kill()
    assert _gone(pid)


def test_what_a_process_left_behind_is_found_by_its_mark_and_nothing_else_is(tmp_path):
    mark = uuid.uuid4().hex
    processes.adopt_orphans()
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        script = "sleep 60 & echo $!"
        launch = _launch(tmp_path, "sh", "-c", script)
        child = processes.start(Launch(**{**vars(launch), "environment": {**os.environ, MARK: mark}}))
        child.wait(10)
        orphan = int(child.log.read_text())
        assert psutil.Process(orphan).ppid() == os.getpid()
        processes.kill_marked(mark)
        assert _gone(orphan)
        assert bystander.poll() is None
    finally:
        processes.adopt_orphans(False)
        bystander.kill()
        bystander.wait()
    processes.reap([])
    assert not psutil.pid_exists(orphan)


def test_a_log_that_is_not_there_is_said_so():
    assert "cannot be read" in processes.tail(Path("/no/such/log"))
