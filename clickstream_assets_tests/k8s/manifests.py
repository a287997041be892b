"""The manifests of k8s/, as files and as kustomize renders them."""

import os
import re
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
TABLE = yaml.safe_load((K8S / "connections.yaml").read_text())
SECTIONS = {"demo": ("base", "demo"), "production": ("base", "production", "spark-connect")}
"""The sections of the table of connections that hold for an overlay."""

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


def patched(overlay: str) -> list[Manifest]:
    """The objects of an overlay with the patches of its components, as kustomize applies them: merged, or added."""
    made = [deepcopy(manifest) for _, manifest in files(overlay)]
    for component in yaml.safe_load((K8S / "overlays" / overlay / "kustomization.yaml").read_text())["components"]:
        folder = K8S / "overlays" / overlay / component
        for entry in yaml.safe_load((folder / "kustomization.yaml").read_text()).get("patches", []):
            patch = yaml.safe_load(entry["patch"])
            for manifest in made:
                target, name = entry["target"], manifest["metadata"]["name"]
                if re.fullmatch(target["kind"], manifest["kind"]) and re.fullmatch(target.get("name", ".*"), name):
                    _apply(patch, manifest)
    return made


def _apply(patch: Any, manifest: Manifest) -> None:
    if isinstance(patch, dict):
        _merge({"spec": patch["spec"]}, manifest)
        return
    for step in patch:
        assert step["op"] == "add"
        *parents, last = (int(key) if key.isdigit() else key for key in step["path"].strip("/").split("/"))
        place: Any = manifest
        for key in parents:
            place = place[key]
        if last == "-":
            place.append(deepcopy(step["value"]))
        else:
            place[last] = deepcopy(step["value"])


def _merge(patch: Manifest, into: Manifest) -> None:
    for key, value in patch.items():
        if isinstance(value, dict):
            _merge(value, into.setdefault(key, {}))
        else:
            into[key] = value


def run_pod() -> Manifest:
    """The template of a run's pods, of what dagster.yaml tells the launcher."""
    config = yaml.safe_load((K8S / "base" / "dagster.yaml").read_text())["run_launcher"]["config"]
    made = _camel(config["run_k8s_config"])
    container = {"resources": config["resources"], "image": "clickstream-assets", **made["containerConfig"]}
    labels = {"app.kubernetes.io/component": "run_worker", **config["labels"]}
    return {
        "metadata": {"labels": labels, **made["podTemplateSpecMetadata"]},
        "spec": {
            "serviceAccountName": config["service_account_name"],
            "containers": [container],
            **made["podSpecConfig"],
        },
    }


def _camel(snake: Any) -> Any:
    """The launcher's spelling of a manifest's keys to that of Kubernetes."""
    if isinstance(snake, list):
        return [_camel(item) for item in snake]
    if not isinstance(snake, dict):
        return snake
    return {re.sub("_([a-z0-9])", lambda found: found[1].upper(), key): _camel(value) for key, value in snake.items()}


def executor_pod() -> Manifest:
    """The template of Spark's executors; Spark adds image and resources."""
    return yaml.safe_load((K8S / "components" / "spark-connect" / "executor.yaml").read_text())


def lapses(template: Manifest) -> list[str]:
    """What a pod lacks of the *restricted* standard, of a root file system that cannot be written, and of a /tmp."""
    spec, found = template["spec"], []
    own = spec.get("securityContext", {})
    if own.get("runAsNonRoot") is not True or own.get("seccompProfile") != {"type": "RuntimeDefault"}:
        found.append(f"securityContext of the pod: {own}")
    if spec.get("enableServiceLinks") is not False:
        found.append("enableServiceLinks")
    empty = {volume["name"] for volume in spec.get("volumes", []) if "emptyDir" in volume}
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        name, context = container.get("name", "the run"), container.get("securityContext", {})
        wanted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        if context != wanted:
            found.append(f"securityContext of {name}: {context}")
        mounts = {mount["mountPath"]: mount for mount in container.get("volumeMounts", [])}
        if mounts.get("/tmp", {}).get("name") not in empty or mounts["/tmp"].get("readOnly"):
            found.append(f"no /tmp of its own that {name} may write to")
    return found
