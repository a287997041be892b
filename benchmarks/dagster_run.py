"""A run in a process of its own, as Dagster's daemon starts one: its memory, and what starting it costs."""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import psutil

import clickstream_assets
from benchmarks.pipeline import ingest_config
from clickstream_assets.assets.common import SENSOR_JOB
from clickstream_assets.events.hours import key_of_hour
from clickstream_assets.local.stack.errors import StackError
from clickstream_assets.local.stack.processes import tail
from clickstream_assets.local.stack.supervisor import Stack

_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class DagsterRun:
    """What a run's process took, from its start to its end."""

    seconds: float
    steps: Mapping[str, float]
    """Seconds of each step, checks included."""
    peak_mb: int
    """Resident memory."""

    @property
    def overhead_seconds(self) -> float:
        """Seconds that no step accounts for."""
        return self.seconds - sum(self.steps.values())


@contextmanager
def dagster_instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """The instance in a folder, which is set up as ``clickstream run`` does."""
    home.mkdir(exist_ok=True)
    shutil.copy(Path(clickstream_assets.__file__).with_name("dagster.yaml"), home)
    os.environ["DAGSTER_HOME"] = str(home)  # dagster.yaml asks for it
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


def run_all_assets(stack: Stack, home: Path, prefix: str, hour: int, until: Mapping[int, int]) -> DagsterRun:
    """Run the sensor's job over one hour, with all checks. Raises StackError with the end of its log if it fails."""
    with dagster_instance(home) as instance:
        tags = {f"dagster/asset_partition_range_{end}": key_of_hour(hour) for end in ("start", "end")}
        config = home / "run.json"  # JSON is YAML
        config.write_text(json.dumps(ingest_config(until)))
        command = [sys.executable, "-W", "ignore", "-m", "dagster", "job", "execute"]
        command += ["-m", "clickstream_assets.definitions", "-j", SENSOR_JOB]
        command += ["--tags", json.dumps(tags), "-c", str(config)]
        begun, peak = time.perf_counter(), 0
        child = stack.start_process(
            "dagster-run",
            command,
            env={"CLICKSTREAM_NAME_PREFIX": prefix, "DAGSTER_HOME": str(home)},
            must_live=False,
        )
        process = psutil.Process(child.pid)
        while child.poll() is None:
            try:
                peak = max(peak, process.memory_info().rss)
            except psutil.Error:  # it has just ended
                break
            time.sleep(_LOOK_SECONDS)
        code, seconds = child.wait(), time.perf_counter() - begun
        if code:
            raise StackError(f"A run of all assets ended with {code}. The end of its log:\n{tail(child.log)}")
        (run,) = instance.get_runs(limit=1)
        return DagsterRun(seconds, _steps(instance, run.run_id), peak >> 20)


def _steps(instance: dg.DagsterInstance, run_id: str) -> dict[str, float]:
    found = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_SUCCESS)
    events = [entry.dagster_event for entry in found if entry.dagster_event is not None]
    return {str(event.step_key): event.step_success_data.duration_ms / 1000 for event in events}
