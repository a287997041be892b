"""Containers of the manifests, started as processes of this machine: their own commands and environment."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from clickstream_assets_tests.dagster_dev import kill_with_children
from clickstream_assets_tests.k8s.manifests import Manifest, pod_of


def container(manifests: list[Manifest], name: str) -> Manifest:
    """The container of the workload of that name."""
    (workload,) = (m for m in manifests if m["metadata"]["name"] == name and ("template" in m.get("spec", {})))
    return pod_of(workload)["spec"]["containers"][0]


def config_map(manifests: list[Manifest], name: str) -> dict[str, str]:
    """The data of a ConfigMap, by its name without kustomize's hash."""
    (found,) = (m for m in manifests if m["kind"] == "ConfigMap" and m["metadata"]["name"].startswith(name))
    return found["data"]


def environment(container: Manifest, manifests: list[Manifest], namespace: str) -> dict[str, str]:
    """The environment that a container would have, Secrets apart."""
    env: dict[str, str] = {}
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            env |= config_map(manifests, source["configMapRef"]["name"])
    for entry in container["env"]:
        if "value" in entry:
            env[entry["name"]] = entry["value"]
        elif "fieldRef" in entry["valueFrom"]:
            env[entry["name"]] = {"metadata.namespace": namespace}[entry["valueFrom"]["fieldRef"]["fieldPath"]]
    return env


def run(command: list[str], env: Mapping[str, str], replaced: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """What a short command of a container, some words of it replaced, comes to."""
    return subprocess.run(_line(command, replaced), env={**os.environ, **env}, capture_output=True, text=True)


@contextmanager
def running(
    command: list[str], env: Mapping[str, str], replaced: Mapping[str, str], ready: Callable[[], bool], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A container's command, some words of it replaced, from when it is ready until the block's end."""
    with log.open("w") as output:
        process = subprocess.Popen(
            _line(command, replaced), env={**os.environ, **env}, stdout=output, stderr=output, cwd=log.parent
        )
    try:
        deadline = time.monotonic() + 180
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command} does not start: {log.read_text()[-3000:]}")
            time.sleep(0.5)
        yield process
    finally:
        if process.poll() is None:
            kill_with_children(process.pid)
            process.wait()


def _line(command: list[str], replaced: Mapping[str, str]) -> list[str]:
    program, *arguments = (replaced.get(word, word) for word in command)
    return [str(Path(sys.executable).with_name(program)), *arguments]
