"""``dagster dev`` in a folder of its own: webserver, daemon and runs in processes of theirs, asked as the UI asks."""

import contextlib
import json
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import psutil

import clickstream_assets
from clickstream_assets.local.stack.ports import free_port
from clickstream_assets.partitions import hours_in

LAUNCH = """mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } } }"""
RUNS = """{ runsOrError { ... on Runs { results { runId status assetSelection { path } tags { key value } } } } }"""


def kill_with_children(pid: int) -> None:
    """End a process and all that it started, at once."""
    everything = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for process in everything:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(everything, timeout=20)


def ask(url: str, query: str, **variables: object) -> dict:
    """What the GraphQL of the webserver at ``url`` answers. Raises AssertionError with its errors, if any."""
    request = urllib.request.Request(
        f"{url}/graphql",
        json.dumps({"query": query, "variables": variables}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        found = json.load(answer)
    assert "errors" not in found, found
    return found["data"]


class Run(NamedTuple):
    """What the webserver says of a run."""

    status: str
    assets: set[str]
    tags: dict[str, str]
    """With ``run_id`` beside them."""


class DagsterDev:
    """Runs until :meth:`stop`."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self.home = home
        package = Path(clickstream_assets.__file__).parent
        shutil.copy(package / "dagster.yaml", home)
        self.port = free_port(set())
        command = [sys.executable, "-m", "dagster", "dev", "-w", str(package.with_name("workspace.yaml"))]
        with (home / "log").open("w") as log:
            self.process = subprocess.Popen(
                [*command, "-h", "localhost", "-p", str(self.port)],
                env={**environment, "DAGSTER_HOME": str(home)},
                stdout=log,
                stderr=log,
            )

    def stop(self) -> None:
        """End all of it at once: nobody reads what it has not written yet."""
        kill_with_children(self.process.pid)

    def ask(self, query: str, **variables: object) -> dict:
        return ask(f"http://localhost:{self.port}", query, **variables)

    def wait(self, holds: Callable[[], object], seconds: float = 150) -> object:
        """What ``holds`` gives once that is true; it may ask before the webserver is up."""
        deadline = time.monotonic() + seconds
        while not (found := self._quietly(holds)):
            assert time.monotonic() < deadline, "nothing came of it"
            assert self.process.poll() is None
            time.sleep(1)
        return found

    @staticmethod
    def _quietly(holds: Callable[[], object]) -> object:
        try:
            return holds()
        except OSError:  # not up yet
            return None

    def backfill(self, assets: list[str], keys: list[str]) -> str:
        """Launch a backfill as the UI does; its id."""
        params = {"assetSelection": [{"path": [name]} for name in assets], "partitionNames": keys, "tags": []}
        return self.ask(LAUNCH, params=params)["launchPartitionBackfill"]["backfillId"]

    def runs(self) -> list[Run]:
        """All runs so far, oldest first; raises AssertionError if one has failed."""
        runs = [
            Run(
                run["status"],
                {key["path"][0] for key in run["assetSelection"] or ()},
                {tag["key"]: tag["value"] for tag in run["tags"]} | {"run_id": run["runId"]},
            )
            for run in self.ask(RUNS)["runsOrError"]["results"][::-1]
        ]
        assert not [run for run in runs if run.status in ("FAILURE", "CANCELED")], runs
        return runs

    def is_idle(self) -> bool:
        """Whether no run waits or is under way. The next look may see a new one: sensors go on asking for runs."""
        return all(run.status == "SUCCESS" for run in self.runs())

    def followed(self, first: int, last: int, before: int) -> bool:
        """Whether the sensor has had hours ``first`` to ``last`` done as stale, by a run after the first ``before``."""
        return self.is_idle() and any(
            run.tags.get("clickstream/why") == "stale hours" and {first, last} <= {*hours_in(run.tags)}
            for run in self.runs()[before:]
        )
