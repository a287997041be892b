"""Dagster on a real PostgreSQL, its processes started by the manifests' own command lines."""

import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import grpc
import pytest
import yaml
from dagster import AssetKey, DagsterEventType, DagsterInstance, DagsterRunStatus, RunsFilter
from grpc_health.v1 import health_pb2, health_pb2_grpc

from clickstream_assets.local.stack.ports import HOST, free_port
from clickstream_assets_tests.dagster_dev import LAUNCH, ask
from clickstream_assets_tests.k8s.as_processes import run, running
from clickstream_assets_tests.k8s.manifests import K8S, files, pod_of
from clickstream_assets_tests.postgres import Postgres, postgres

pytestmark = pytest.mark.slow


ASSETS = ("one_at_a_time", "at_will")
DOCUMENTATION = (K8S.parent / "docs" / "deployment.md").read_text()
KEYS = ["a", "b", "c"]


def container(name: str) -> dict:
    (found,) = (
        m
        for _, m in files("production")
        if m["kind"] in ("Deployment", "Job", "CronJob") and name == m["metadata"]["name"]
    )
    return pod_of(found)["spec"]["containers"][0]


@dataclass
class Deployment:
    database: Postgres
    env: dict[str, str]
    words: dict[str, str]
    """Words of the manifests' command lines, and what stands for them here."""
    web: int
    grpc: int

    def status(self, path: str, headers: dict[str, str]) -> int:
        try:
            request = urllib.request.Request(f"http://{HOST}:{self.web}{path}", headers=headers)
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def probe(self, name: str) -> bool:
        """Whether a probe of the webserver passes, as the kubelet counts it."""
        asked = container("webserver")[name]["httpGet"]
        headers = {header["name"]: header["value"] for header in asked["httpHeaders"]}
        return 200 <= self.status(asked["path"], headers) < 400

    def served(self) -> bool:
        probe = container("code-server")["readinessProbe"]["grpc"]
        with grpc.insecure_channel(f"{HOST}:{self.grpc}") as channel:
            asked = health_pb2.HealthCheckRequest(service=probe["service"])
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(asked, timeout=5)
            except grpc.RpcError:
                return False
            return answer.status == health_pb2.HealthCheckResponse.SERVING

    def launch(self, assets: list[str]) -> None:
        """Ask for a run of each partition, as the page does."""
        assert self.asked_to_launch(self.web, assets) == "LaunchBackfillSuccess"

    def asked_to_launch(self, port: int, assets: list[str]) -> str:
        """What the webserver on a port answers to that."""
        params = {"assetSelection": [{"path": [name]} for name in assets], "partitionNames": KEYS, "tags": []}
        return ask(f"http://{HOST}:{port}", LAUNCH, params=params)["launchPartitionBackfill"]["__typename"]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory):
    """PostgreSQL, code server, webserver and daemon. Runs are processes of the code server here."""
    folder = tmp_path_factory.mktemp("deployment")
    instance = yaml.safe_load((K8S / "base" / "dagster.yaml").read_text())
    del instance["run_launcher"]
    (folder / "dagster.yaml").write_text(yaml.safe_dump(instance))
    web, code = free_port(ports := set()), free_port(ports)
    servers = {"grpc_server": {"host": HOST, "port": code, "location_name": "counted"}}
    (folder / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [servers]}))
    words = {
        "0.0.0.0": HOST,
        "3000": str(web),
        "4000": str(code),
        "/opt/dagster/home/workspace.yaml": str(folder / "workspace.yaml"),
        "clickstream_assets.definitions": "clickstream_assets_tests.k8s.counted_assets",
    }
    with ExitStack() as stack:
        database = stack.enter_context(postgres(folder))
        root = str(Path(__file__).parents[2])
        search = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        env = {**database.environment, "DAGSTER_HOME": str(folder), "PYTHONPATH": search}
        migrated = run(container("migrate")["args"], env, words)
        assert migrated.returncode == 0, migrated.stderr
        made = Deployment(database, env, words, web, code)
        for name, ready in (
            ("code-server", made.served),
            ("webserver", lambda: made.probe("startupProbe")),
            ("daemon", lambda: True),
        ):
            stack.enter_context(running(container(name)["args"], env, words, ready, folder / f"{name}.log"))
        yield made


@pytest.fixture
def instance(deployment):
    with patch.dict(os.environ, deployment.env), DagsterInstance.get() as found:
        yield found


def wait_for(holds, seconds=120):
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(0.5)
    return found


def spans(instance, asset):
    """When each run of an asset began and ended, in order."""
    records = instance.get_run_records(RunsFilter(tags={"dagster/partition": KEYS}))
    return sorted(
        (record.start_time, record.end_time)
        for record in records
        if record.dagster_run.asset_selection == {AssetKey(asset)}
    )


def materialized(instance, asset):
    """The partition of each materialization of an asset, in the order of the log."""
    found = instance.fetch_materializations(AssetKey(asset), limit=100, ascending=True).records
    return [record.partition_key for record in found]


def stored(instance):
    """Runs with their status, and what their steps said."""
    return {
        run.run_id: (run.status, [entry.message for entry in instance.all_logs(run.run_id) if entry.step_key])
        for run in instance.get_runs()
    }


def test_who_launches_nothing_reads_the_instance_as_it_stands(deployment, tmp_path):
    (tmp_path / "dagster.yaml").write_text((K8S / "base" / "dagster.yaml").read_text())
    assert not [name for name in os.environ if name.startswith("DAGSTER_K8S")]
    env = {**deployment.env, "DAGSTER_HOME": str(tmp_path)}
    migrated = run(container("migrate")["args"], env, deployment.words)
    assert migrated.returncode == 0, migrated.stderr
    with patch.dict(os.environ, env), DagsterInstance.get() as instance:  # as `clickstream explain` does in the shell
        assert instance.get_run_records() == []


def test_probes_hold_while_all_is_well(deployment):
    assert all(deployment.probe(name) for name in ("startupProbe", "livenessProbe", "readinessProbe"))
    assert deployment.served()
    command = container("daemon")["livenessProbe"]["exec"]["command"]
    wait_for(lambda: run(command, deployment.env, {}).returncode == 0)


def test_runs_side_by_side_are_all_stored_and_a_pool_lets_one_in(deployment, instance):
    for name in ASSETS:
        deployment.launch([name])
    finished = wait_for(
        lambda: len(runs := instance.get_runs()) == 6 and all(run.is_finished for run in runs) and runs, seconds=240
    )
    assert {run.status for run in finished} == {DagsterRunStatus.SUCCESS}
    for each in finished:
        kinds = [entry.dagster_event_type for entry in instance.all_logs(each.run_id) if entry.is_dagster_event]
        for kind in (DagsterEventType.RUN_START, DagsterEventType.ASSET_MATERIALIZATION, DagsterEventType.RUN_SUCCESS):
            assert kinds.count(kind) == 1
    alone, beside = spans(instance, "one_at_a_time"), spans(instance, "at_will")
    assert len(alone) == len(beside) == 3
    assert all(before[1] <= after[0] for before, after in pairwise(alone))
    assert any(before[1] > after[0] for before, after in pairwise(beside))
    for name in ASSETS:
        assert sorted(materialized(instance, name)) == KEYS


def test_the_nightly_dump_brings_everything_back(deployment, instance, tmp_path):
    script = container("backup")["args"][0].replace("/backup", str(tmp_path))
    (left_over := tmp_path / "dagster-2026-01-01T0217.dump.part").touch()
    os.utime(left_over, (0, 0))
    for number in range(8):
        (tmp_path / f"dagster-2026-01-0{number + 1}T0217.dump").touch()
        os.utime(tmp_path / f"dagster-2026-01-0{number + 1}T0217.dump", (number, number))
    command = [*container("backup")["command"], script]
    subprocess.run(command, env={**os.environ, **deployment.database.tool_environment}, check=True)
    kept = sorted(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime)
    assert len(kept) == 7
    assert [path.name for path in kept if path.suffix != ".dump"] == []
    deployment.database.tool("createdb", "restored")
    deployment.database.tool("psql", "--dbname=restored", "-c", "CREATE TABLE runs ()", "-c", "CREATE TABLE newer ()")
    (written,) = re.findall(r'"value": (".*/backup/dagster-….dump")', DOCUMENTATION)
    restore = json.loads(written).replace("/backup/dagster-….dump", str(kept[-1]))
    environment = {**os.environ, **deployment.database.tool_environment, "PGDATABASE": "restored"}
    subprocess.run([*container("backup")["command"], restore], env=environment, check=True)
    tables = ["psql", "-At", "-c", "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"]
    there, here = (deployment.database.tool(*tables, f"--dbname={name}").split() for name in ("restored", "dagster"))
    assert there == here
    with patch.dict(os.environ, {**deployment.env, "DAGSTER_PG_DB": "restored"}), DagsterInstance.get() as restored:
        assert stored(restored) == stored(instance)


def test_who_looks_sees_the_runs_and_launches_none(deployment, instance, tmp_path):
    looks = container("webserver-read-only")
    port, runs = free_port(set()), len(instance.get_runs())
    words = {**deployment.words, "3002": str(port)}
    (named,) = looks["startupProbe"]["httpGet"]["httpHeaders"]

    def is_up() -> bool:
        try:
            request = urllib.request.Request(f"http://{HOST}:{port}/", headers={named["name"]: named["value"]})
            return urllib.request.urlopen(request, timeout=20).status == 200
        except OSError:
            return False

    with running(looks["args"], deployment.env, words, is_up, tmp_path / "log"):
        seen = ask(f"http://{HOST}:{port}", "{ runsOrError { ... on Runs { results { status } } } }")
        assert len(seen["runsOrError"]["results"]) == runs > 0
        assert deployment.asked_to_launch(port, ["at_will"]) == "UnauthorizedError"
    assert len(instance.get_runs()) == runs


def test_without_its_database_the_page_is_alive_but_not_ready_and_both_come_back(deployment, instance):
    runs, written = len(instance.get_runs()), len(materialized(instance, "at_will"))
    deployment.database.stop()
    try:
        assert deployment.probe("livenessProbe")
        assert not deployment.probe("readinessProbe")
    finally:
        deployment.database.start()
    wait_for(lambda: deployment.probe("readinessProbe"))
    deployment.launch(["at_will"])
    wait_for(lambda: len(found := instance.get_runs()) == runs + 3 and all(run.is_finished for run in found), 240)
    assert len(materialized(instance, "at_will")) == written + 3
