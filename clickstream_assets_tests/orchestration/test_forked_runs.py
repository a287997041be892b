"""Runs of a code server: forked, ended, killed, and what becomes of them when the helper does not do its part.

It is the process that ``clickstream run`` starts; the launcher is Dagster's default one.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import GrpcServerTarget

import clickstream_assets
from clickstream_assets.local.stack.ports import free_port, is_open
from clickstream_assets.orchestration.forking import IMPORTS
from clickstream_assets_tests.dagster_dev import kill_with_children

pytestmark = pytest.mark.slow


STATUS = dg.DagsterRunStatus
LOCATION = "clickstream_assets_tests.orchestration.location"
FALLEN_BACK = "A run could not be forked"


def eventually(holds, seconds=60.0):
    """What ``holds`` gives once that is true."""
    deadline = time.monotonic() + seconds
    while not (answer := holds()):
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(0.05)
    return answer


class CodeServer:
    def __init__(self, home: Path, instance: dg.DagsterInstance) -> None:
        self.home, self.instance = home, instance
        self.port = free_port(set())
        command = [sys.executable, "-m", "dagster", "api", "grpc", "-m", LOCATION, "-h", "127.0.0.1"]
        with (home / "log").open("w") as log:
            self.process = subprocess.Popen(
                [*command, "-p", str(self.port)],
                env={**os.environ, "REPORTS": str(home), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        eventually(lambda: is_open(self.port))

    def launch(self, job: str) -> str:
        """Launch a run as the daemon does; its id."""
        target = GrpcServerTarget(host="127.0.0.1", port=self.port, socket=None, location_name="here")
        with WorkspaceProcessContext(self.instance, target) as process:
            workspace = process.create_request_context()
            (repository,) = workspace.get_code_location("here").get_repositories().values()
            wanted = repository.get_full_job(job)
            run = self.instance.create_run_for_job(
                __import__(LOCATION, fromlist=[job]).__dict__[job],
                remote_job_origin=wanted.get_remote_origin(),
                job_code_origin=wanted.get_python_origin(),
            )
            self.instance.launch_run(run.run_id, workspace)
        return run.run_id

    def is_now(self, run_id: str, status: dg.DagsterRunStatus, seconds: float = 60.0) -> None:
        eventually(lambda: self.instance.get_run_by_id(run_id).status is status, seconds)

    def report(self, run_id: str) -> tuple[int, int, set[str]]:
        """Process, parent and modules of a run, once it has reported them."""
        path = self.home / run_id
        eventually(path.exists)
        pid, parent, *modules = path.read_text().split()
        return int(pid), int(parent), set(modules)

    def helper(self) -> int:
        (pid,) = [
            child.pid
            for child in psutil.Process(self.process.pid).children()
            if child.status() != psutil.STATUS_ZOMBIE and IMPORTS in " ".join(child.cmdline())
        ]
        return pid

    def log(self) -> str:
        return (self.home / "log").read_text()


@contextmanager
def running(home: Path) -> Iterator[CodeServer]:
    shutil.copy(Path(clickstream_assets.__file__).with_name("dagster.yaml"), home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home))
        with dg.DagsterInstance.get() as instance:
            server = CodeServer(home, instance)
            yield server
            if server.process.poll() is None:
                kill_with_children(server.process.pid)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("home")) as server:
        yield server


@pytest.fixture
def own_server(tmp_path):
    """One that the test ends."""
    with running(tmp_path) as server:
        yield server


def test_a_run_is_forked_from_a_process_that_has_imported_all_it_needs(server):
    runs = [server.launch("quick_job") for _ in range(2)]
    for run in runs:
        server.is_now(run, STATUS.SUCCESS)
        _, parent, modules = server.report(run)
        assert parent == server.helper()
        assert {name for name in modules - imported() if not name.startswith("clickstream_assets_tests")} == set()
    assert FALLEN_BACK not in server.log()
    assert "could not be imported" not in server.log()


def imported() -> set[str]:
    """What the helper has imported, by another process that does the same; none of it may run in another thread."""
    code = f"import sys, os, {IMPORTS}; print(len(os.listdir('/proc/self/task')), *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    threads, *names = done.stdout.split()
    assert threads == "1"
    return {*names, "__mp_main__"}


def test_what_a_run_prints_is_kept_where_that_of_others_is(server):
    run = server.launch("quick_job")
    server.is_now(run, STATUS.SUCCESS)
    printed = list((server.home / "storage" / run / "compute_logs").glob("*.out"))
    assert [path.read_text() for path in printed] == [f"printed by {run}\n"]


def test_a_run_that_is_killed_is_reported_as_failed_at_once(server):
    run = server.launch("slow_job")
    pid, *_ = server.report(run)
    os.kill(pid, signal.SIGKILL)
    server.is_now(run, STATUS.FAILURE, seconds=5)


def test_a_run_is_ended_as_any_other(server):
    run = server.launch("slow_job")
    pid, *_ = server.report(run)
    assert server.instance.run_launcher.terminate(run)
    server.is_now(run, STATUS.CANCELED, seconds=10)
    eventually(lambda: not psutil.pid_exists(pid))


def test_when_the_helper_is_killed_its_runs_go_on_and_the_next_ones_are_forked_from_another(server):
    run = server.launch("slow_job")
    pid, first, _ = server.report(run)
    os.kill(first, signal.SIGKILL)
    later = server.launch("quick_job")
    server.is_now(later, STATUS.SUCCESS)
    assert server.report(later)[1] == server.helper() != first
    assert server.instance.get_run_by_id(run).status is STATUS.STARTED
    assert server.instance.run_launcher.terminate(run)
    server.is_now(run, STATUS.CANCELED, seconds=10)
    another = server.launch("slow_job")
    pid, helper, _ = server.report(another)
    os.kill(helper, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    server.is_now(another, STATUS.FAILURE, seconds=5)


def test_when_the_helper_does_not_answer_a_run_starts_as_a_new_process_and_the_next_one_is_forked(server):
    server.is_now(server.launch("quick_job"), STATUS.SUCCESS)
    os.kill(hangs := server.helper(), signal.SIGSTOP)
    run = server.launch("quick_job")
    server.is_now(run, STATUS.SUCCESS)
    assert server.report(run)[1] == server.process.pid
    assert FALLEN_BACK in server.log()
    run = server.launch("quick_job")
    assert server.report(run)[1] == server.helper() != hangs


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_helper_ends_with_the_code_server(own_server, number):
    own_server.is_now(own_server.launch("quick_job"), STATUS.SUCCESS)
    helper = own_server.helper()
    os.kill(own_server.process.pid, number)
    own_server.process.wait(20)
    eventually(lambda: not psutil.pid_exists(helper) or psutil.Process(helper).status() == psutil.STATUS_ZOMBIE)


def test_ctrl_c_ends_all_of_it_a_run_under_way_too(own_server):
    run = own_server.launch("slow_job")
    pids = [*own_server.report(run)[:2], own_server.process.pid]
    os.killpg(own_server.process.pid, signal.SIGINT)
    own_server.process.wait(20)
    eventually(lambda: not any(psutil.pid_exists(p) and psutil.Process(p).status() != "zombie" for p in pids))
    assert own_server.instance.get_run_by_id(run).is_finished
