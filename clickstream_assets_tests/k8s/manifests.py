"""The manifests of k8s/, as files and as kustomize renders them."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

K8S = Path(__file__).parents[2] / "k8s"
OVERLAYS = ("demo", "production")
WORKLOADS = ("Deployment", "StatefulSet", "Job", "CronJob")

Manifest = dict[str, Any]


def render(overlay: str, namespace: str) -> list[Manifest]:
    """The objects of an overlay as kustomize makes them, in a namespace of another name; the namespace first."""
    with tempfile.TemporaryDirectory() as folder:
        base = os.path.relpath(K8S / "overlays" / overlay, Path(folder).resolve())
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump({"namespace": namespace, "resources": [base]}))
        done = subprocess.run(["kustomize", "build", folder], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"kustomize refuses {overlay}: {done.stderr}")
    return sorted(yaml.safe_load_all(done.stdout), key=lambda manifest: manifest["kind"] != "Namespace")


@cache
def files(overlay: str) -> list[tuple[Path, Manifest]]:
    """The objects of an overlay as they stand in its files, those of its base and its components included."""
    return list(_files(K8S / "overlays" / overlay))


def _files(folder: Path) -> Iterator[tuple[Path, Manifest]]:
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    for name in [*kustomization.get("resources", []), *kustomization.get("components", [])]:
        path = (folder / name).resolve()
        if path.is_dir():
            yield from _files(path)
        else:
            yield from ((path, manifest) for manifest in yaml.safe_load_all(path.read_text()))


def settings_files(overlay: str) -> list[Path]:
    """The files of ``NAME=value`` lines that become ConfigMaps of an overlay; later ones win."""
    return [*sorted((K8S / "base").glob("*.env")), *sorted((K8S / "overlays" / overlay).glob("*.env"))]


def values(path: Path) -> dict[str, str]:
    """What such a file sets."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def pod_of(workload: Manifest) -> Manifest:
    """The template of a workload's pods, with the volumes that a StatefulSet's controller would add."""
    spec = workload["spec"]
    template = deepcopy((spec["jobTemplate"]["spec"] if workload["kind"] == "CronJob" else spec)["template"])
    for claim in spec.get("volumeClaimTemplates", []):
        name = claim["metadata"]["name"]
        template["spec"]["volumes"].append({"name": name, "persistentVolumeClaim": {"claimName": name}})
    return template
