"""CPU seconds and memory, seen from outside."""

import os
import subprocess
import sys
import time

import pytest

from benchmarks.processes import (
    CODE_SERVERS,
    DAGSTER,
    MEASURING,
    OWN,
    RUNS,
    ProcessWatch,
    dagster_name,
    machine_seconds,
)
from clickstream_assets.local.stack.processes import Launch, start

BUSY = """
import sys, time
sys.stdin.readline()
held = b"x" * (80 << 20)
while time.process_time() < 0.6:
    pass
time.sleep(0.6)  # long enough to be looked at
print("done", flush=True)
time.sleep(60)
"""


@pytest.fixture
def busy(tmp_path):
    """A process that, once told to, takes 0.6 s of CPU and 80 MB."""
    argv = [sys.executable, "-c", BUSY]
    child = start(Launch("kafka", argv, tmp_path / "log", os.environ, tmp_path, stdin=b""))
    yield child
    child.stop()


@pytest.mark.slow
def test_cpu_seconds_count_for_the_stage_they_were_spent_in(busy):
    with ProcessWatch(lambda: [busy], os.getpid()) as watch:
        with watch.stage("idle"):
            pass
        with watch.stage("busy"):
            busy.process.stdin.write(b"go\n")
            busy.process.stdin.flush()
            deadline = time.monotonic() + 30
            while "done" not in busy.log.read_text():
                assert time.monotonic() < deadline
                time.sleep(0.05)
    assert watch.cpu_seconds["idle"]["Kafka"] < 0.3
    assert 0.4 < watch.cpu_seconds["busy"]["Kafka"] < 0.9
    assert watch.peak_mb["Kafka"] >= 80
    assert watch.peak_mb[OWN] > 0


def test_a_process_that_is_gone_is_no_error(busy):
    busy.stop()
    with ProcessWatch(lambda: [busy], os.getpid()) as watch, watch.stage("after"):
        pass
    assert watch.cpu_seconds["after"]["Kafka"] == 0


SERVER = """
import subprocess, sys
for line in sys.stdin:
    subprocess.run([sys.executable, "-c", "import time\\nwhile time.process_time() < 0.4: pass"], check=True)
    print("done", flush=True)
"""


@pytest.fixture
def dagster():
    """A process with the command line of ``dagster dev``, that does a run of 0.4 s of CPU whenever it is told to."""
    argv = [sys.executable, "-c", SERVER, "dev"]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    yield process
    process.kill()
    process.wait()


@pytest.mark.slow
def test_runs_that_came_and_went_between_two_looks_count(dagster):
    with ProcessWatch(list, os.getpid()) as watch, watch.dagster(dagster.pid):
        for name, runs in (("none", 0), ("two", 2)):
            with watch.stage(name):
                for _ in range(runs):
                    dagster.stdin.write("go\n")
                    assert dagster.stdout.readline() == "done\n"
    assert watch.cpu_seconds["none"][RUNS] == 0
    assert 0.8 <= watch.cpu_seconds["two"][RUNS] < 1.2
    assert watch.cpu_seconds["two"][DAGSTER] < 0.2
    assert watch.cpu_seconds["two"][MEASURING] < 0.5
    assert watch.peak_mb[DAGSTER] > 0


def test_without_dagster_nothing_is_said_of_it():
    with ProcessWatch(list, os.getpid()) as watch, watch.stage("alone"):
        pass
    assert set(watch.cpu_seconds["alone"]) == {OWN}


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        ("python -m dagster dev -w workspace.yaml", DAGSTER),
        ("python -m dagster_webserver --port 3000", DAGSTER),
        ("python -m dagster._daemon run", DAGSTER),
        ("python -m dagster api grpc --socket s", CODE_SERVERS),
        ("python -m dagster code-server start", CODE_SERVERS),
        ("python -c multiprocessing.spawn --multiprocessing-fork", RUNS),
        ("", RUNS),
    ],
)
def test_processes_of_dagster_are_told_apart_by_their_command_lines(argv, name):
    assert dagster_name(argv.split()) == name


@pytest.mark.slow
def test_the_machine_has_had_what_this_process_had():
    machine, own = machine_seconds(), time.process_time()
    while time.process_time() - own < 0.5:
        pass
    assert machine_seconds() - machine > 0.4  # the kernel counts in hundredths
