"""CPU seconds and memory, seen from outside."""

import os
import sys
import time

import pytest

from benchmarks.processes import OWN, ProcessWatch
from clickstream_assets.stack.processes import Launch, start

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
