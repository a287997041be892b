"""``clickstream run`` with live demo traffic as a newcomer starts it, in a home of its own on free ports."""

import datetime as dt
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from clickstream_assets.local.stack.processes import die_with_parent
from clickstream_assets_tests.dagster_dev import ask, kill_with_children

_PORTS = ("STACK_KAFKA", "STACK_HBASE", "STACK_ELASTICSEARCH", "STACK_SPARK", "DAGSTER", "PAGE")
_UP_SECONDS = 300
_STOP_SECONDS = 60

RUNS = "{ runsOrError { ... on Runs { results { status } } } }"
STATES = """{ assetNodes { assetKey { path }
  assetPartitionStatuses { ... on TimePartitionStatuses { ranges { status startKey endKey } } }
  assetChecksOrError { ... on AssetChecks { checks { name
    executionForLatestMaterialization { status }
    partitionStatuses { ... on AssetCheckTimePartitionStatuses { ranges { status startKey endKey } } } } } } } }"""


class Demo:
    """Started on entering, ended on leaving, as by its terminal."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._log = home / "run.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.begun = dt.datetime.now(dt.UTC)
        """When it was started."""
        self.url = ""
        """Of Dagster's webserver, known once it is up."""
        self.page_url = ""
        """Of the analysts' page."""

    def __enter__(self) -> Self:
        self.home.mkdir(parents=True, exist_ok=True)
        # Whoever runs the tests has variables of theirs; a newcomer has none. Where downloads are does not matter.
        keep = {n: v for n, v in os.environ.items() if not n.startswith("CLICKSTREAM_") or n == "CLICKSTREAM_CACHE"}
        own = {f"CLICKSTREAM_{name}_PORT": "0" for name in _PORTS} | {"CLICKSTREAM_HOME": str(self.home)}
        self.begun = dt.datetime.now(dt.UTC)
        command = [sys.executable, "-m", "clickstream_assets.cli.main", "run"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, env=keep | own, stdout=log, stderr=log, preexec_fn=die_with_parent()
            )
        try:
            self.url = self._wait_for(r"(?<=Dagster is up on )http://localhost:\d+")
            self.page_url = self._wait_for(r"(?<=page is up on )http://localhost:\d+")
            self._wait_for("demo clicks are flowing")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End it as Ctrl-C does, and what is left if that takes too long."""
        assert self._process
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                kill_with_children(self._process.pid)

    def ask(self, query: str) -> dict[str, Any]:
        """What the webserver's GraphQL answers. Raises AssertionError if the run has ended meanwhile."""
        self._look()
        return ask(self.url, query)

    def at_rest(self) -> bool:
        """Whether runs have ended and none waits or is under way."""
        statuses = [run["status"] for run in self.ask(RUNS)["runsOrError"]["results"]]
        assert "FAILURE" not in statuses, f"a run failed: {statuses}"
        return {*statuses} == {"SUCCESS"}

    def _wait_for(self, pattern: str) -> str:
        deadline = time.monotonic() + _UP_SECONDS
        while not (hit := re.search(pattern, self._log.read_text())):
            self._look()
            assert time.monotonic() < deadline, f"no {pattern!r} within {_UP_SECONDS} s:\n{self._log.read_text()}"
            time.sleep(0.5)
        return hit[0]

    def _look(self) -> None:
        assert self._process
        assert self._process.poll() is None, f"clickstream run has ended:\n{self._log.read_text()}"
