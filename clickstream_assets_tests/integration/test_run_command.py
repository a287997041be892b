"""``clickstream run`` as a newcomer runs it: servers, Dagster's daemon and sensor, reconciliation, and an end."""

import json
import os
import subprocess
import sys

import psutil


def test_run_with_exit_reconciles_and_leaves_nothing_running(tmp_path):
    ports = ("STACK_KAFKA", "STACK_HBASE", "STACK_ELASTICSEARCH", "STACK_SPARK", "DAGSTER")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CLICKSTREAM_")}
    environment |= {f"CLICKSTREAM_{name}_PORT": "0" for name in ports} | {"CLICKSTREAM_HOME": str(tmp_path / "home")}
    record = tmp_path / "sent.jsonl"
    command = [sys.executable, "-m", "clickstream_assets.cli", "run", "--events", "300", "--exit", "--record", record]
    done = subprocess.run(
        list(map(str, command)), env=environment, capture_output=True, text=True, timeout=420, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The books balance" in done.stdout
    assert len([json.loads(line) for line in record.read_text().splitlines()]) == 300
    left = [p.pid for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(p.info["cmdline"] or [])]
    assert left == []
