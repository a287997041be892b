"""``clickstream webserver`` as a process, over an instance in which ``kept_asset`` was materialized."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from dagster import AssetKey, DagsterInstance, materialize

from clickstream_assets.local.stack.ports import HOST, free_port
from clickstream_assets_tests.dagster_dev import kill_with_children
from clickstream_assets_tests.webserver.kept_asset import kept

WIPE = 'mutation { wipeAssets(assetPartitionRanges: [{assetKey: {path: ["kept"]}}]) { __typename } }'
MODULE = "clickstream_assets_tests.webserver.kept_asset"
_RUN = f"""{{mode: "default", selector: {{repositoryLocationName: "{MODULE}", repositoryName: "__repository__",
  jobName: "__ASSET_JOB"}}}}"""
LAUNCH = f"mutation {{ launchRun(executionParams: {_RUN}) {{ __typename }} }}"
LAUNCH_SEVERAL = f"""mutation {{ launchMultipleRuns(executionParamsList: [{_RUN}]) {{
  ... on LaunchMultipleRunsResult {{ launchMultipleRunsResult {{ __typename }} }} }} }}"""
_ROOT = Path(__file__).parents[2]


class Answer(NamedTuple):
    status: int
    text: str
    headers: Mapping[str, str]

    def of(self, mutation: str) -> str:
        """The type that GraphQL answers a mutation with."""
        return json.loads(self.text)["data"][mutation]["__typename"]


class Served(NamedTuple):
    url: str
    home: Path

    def ask(self, path: str, body: str | None = None, **headers: str) -> Answer:
        """GET, or POST of a body; ``Content_Type`` stands for Content-Type."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, body and body.encode(), named)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return Answer(answer.status, answer.read().decode(), answer.headers)
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read().decode(), error.headers)

    def graphql(self, query: str, **headers: str) -> Answer:
        return self.ask("/graphql", json.dumps({"query": query}), **{"Content_Type": "application/json", **headers})

    def untouched(self) -> bool:
        """Whether the asset is materialized still, and no run came to the one that did it."""
        with DagsterInstance.from_config(str(self.home)) as instance:
            return instance.get_latest_materialization_event(AssetKey("kept")) is not None and (
                len(instance.get_runs()) == 1
            )


@contextmanager
def served(home: Path, *options: str, prefix: str = "", **settings: str) -> Iterator[Served]:
    """Until the block's end; ``prefix`` is what paths begin with by its options.

    Raises RuntimeError with its log if it does not start.
    """
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\nnux: {enabled: false}\n")
    with DagsterInstance.from_config(str(home)) as instance:
        assert materialize([kept], instance=instance).success
    port = free_port(set())
    command = [sys.executable, "-W", "ignore", "-m", "clickstream_assets.cli.main", "webserver"]
    environment = {**os.environ, **settings, "DAGSTER_HOME": str(home), "PYTHONPATH": str(_ROOT)}
    with (home / "webserver.log").open("w") as log:
        process = subprocess.Popen(
            [*command, "-p", str(port), "-m", MODULE, *options], env=environment, stdout=log, stderr=log
        )
    try:
        made = Served(f"http://{HOST}:{port}{prefix}", home)
        deadline = time.monotonic() + 120
        while not _is_up(made):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((home / "webserver.log").read_text())
            time.sleep(0.3)
        yield made
    finally:
        if process.poll() is None:
            kill_with_children(process.pid)
        process.wait()


def _is_up(made: Served) -> bool:
    try:
        return made.ask("/server_info").status == 200
    except OSError:
        return False
