"""What each pod may and has: its security, token, rights, secrets, ports and image."""

import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from clickstream_assets.local.stack.spark_server import TOKEN_VARIABLE
from clickstream_assets.settings import Settings
from clickstream_assets_tests.k8s.check import RIGHTS
from clickstream_assets_tests.k8s.manifests import (
    K8S,
    OVERLAYS,
    SECTIONS,
    TABLE,
    WORKLOADS,
    Manifest,
    executor_pod,
    lapses,
    patched,
    pod_of,
    run_pod,
    settings_files,
    values,
)

ROOT = K8S.parent
DOCUMENTATION = (ROOT / "docs" / "deployment.md").read_text()
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
INSTANCE = yaml.safe_load((K8S / "base" / "dagster.yaml").read_text())
PAGE = "clickstream-page"
"""The analysts' page, which signs in by a Secret of its own."""
AUTHORITY = {"name": "postgres-authority", "optional": True}
COMPONENT = "app.kubernetes.io/component"
SPARK = dict(
    line.split(None, 1)
    for line in (K8S / "components" / "spark-connect" / "spark-defaults.conf").read_text().splitlines()
    if line and not line.startswith("#")
)


def of_kind(overlay: str, *kinds: str) -> list[Manifest]:
    return [manifest for manifest in patched(overlay) if manifest["kind"] in kinds]


def pods(overlay: str) -> dict[str, Manifest]:
    """The pod template of each workload by its name, those included that Dagster and Spark make."""
    found = {manifest["metadata"]["name"]: pod_of(manifest) for manifest in of_kind(overlay, *WORKLOADS)}
    found["run"] = run_pod()
    if "spark-connect" in found:
        found["executor"] = executor_pod()
    return found


def everywhere(place: Any, key: str) -> Iterator[Any]:
    """Each value that stands under a key, at any depth."""
    if isinstance(place, dict):
        for name, value in place.items():
            if name == key:
                yield value
            yield from everywhere(value, key)
    elif isinstance(place, list):
        for item in place:
            yield from everywhere(item, key)


# Security


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_restricted_and_writes_to_tmp_alone(overlay):
    assert {name: found for name, pod in pods(overlay).items() if (found := lapses(pod))} == {}


def test_a_lapse_of_each_kind_is_seen():
    def spoilt(**changes):
        pod = run_pod()
        pod["spec"]["containers"][0] |= changes
        return lapses(pod)

    context = run_pod()["spec"]["containers"][0]["securityContext"]
    assert spoilt(securityContext=context) == []
    assert spoilt(securityContext={**context, "readOnlyRootFilesystem": False})
    assert spoilt(securityContext={**context, "capabilities": {"drop": []}})
    assert spoilt(volumeMounts=[{"name": "home", "mountPath": "/opt/dagster/home"}])
    assert spoilt(volumeMounts=[{"name": "tmp", "mountPath": "/tmp", "readOnly": True}])
    assert spoilt(volumeMounts=[{"name": "elsewhere", "mountPath": "/tmp"}])
    for key in ("securityContext", "enableServiceLinks"):
        pod = run_pod()
        del pod["spec"][key]
        assert lapses(pod)
    beside = run_pod()
    beside["spec"]["initContainers"] = [{"name": "first"}]
    assert lapses(beside)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_restricts_pods_comes_behind_all_that_adds_some(overlay):
    kustomization = yaml.safe_load((K8S / "overlays" / overlay / "kustomization.yaml").read_text())
    assert kustomization["components"][-1] == "../../components/restricted"  # they are applied in this order


@pytest.mark.slow
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_who_asks_kubernetes_has_a_token(overlay):
    accounts = {account["metadata"]["name"]: account for account in of_kind(overlay, "ServiceAccount")}

    def has_token(spec: Manifest) -> bool:
        account = accounts.get(spec.get("serviceAccountName", "default"), {})
        return spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))

    asking = {name for name, pod in pods(overlay).items() if has_token(pod["spec"])}
    bound = {subject["name"] for binding in of_kind(overlay, "RoleBinding") for subject in binding["subjects"]}
    assert asking == bound == {"daemon", "webserver", "spark-connect"} & set(pods(overlay))
    for name in asking:
        assert pods(overlay)[name]["spec"]["serviceAccountName"] == name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_roles_say_what_the_check_says_and_hold_in_the_namespace_alone(overlay):
    assert not of_kind(overlay, "ClusterRole", "ClusterRoleBinding")
    roles: dict[str, dict[str, set[str]]] = {}
    for role in of_kind(overlay, "Role"):
        rights = roles[role["metadata"]["name"]] = {}
        for rule in role["rules"]:
            assert set(rule) == {"apiGroups", "resources", "verbs"}
            (group,) = rule["apiGroups"]
            for resource in rule["resources"]:
                name, _, part = resource.partition("/")
                full = "/".join(filter(None, [".".join(filter(None, [name, group])), part]))
                assert full not in rights
                rights[full] = set(rule["verbs"])
    given: dict[str, dict[str, set[str]]] = {}
    for binding in of_kind(overlay, "RoleBinding"):
        assert binding["roleRef"]["kind"] == "Role"
        (subject,) = binding["subjects"]
        assert subject["kind"] == "ServiceAccount"
        assert subject["name"] not in given
        given[subject["name"]] = roles.pop(binding["roleRef"]["name"])
    assert roles == {}
    assert given == {account: rights for account, rights in RIGHTS[overlay].items() if rights}
    there = {account["metadata"]["name"] for account in of_kind(overlay, "ServiceAccount")} | {"default"}
    assert there == set(RIGHTS[overlay])
    used = {pod["spec"].get("serviceAccountName", "default") for pod in pods(overlay).values()}
    assert used == there


# Resources


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_container_asks_for_cpu_and_memory_and_has_a_limit_for_memory_alone(overlay):
    for name, pod in pods(overlay).items():
        for container in pod["spec"]["containers"]:
            if name == "executor":  # Spark's own settings say it
                assert "resources" not in container
                continue
            resources = container["resources"]
            assert set(resources["requests"]) == {"cpu", "memory"}, name
            assert set(resources["limits"]) == {"memory"}, name
            assert size(resources["requests"]["memory"]) <= size(resources["limits"]["memory"]), name


def size(quantity: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", quantity).groups()
    return int(number) * {"Mi": 1, "Gi": 1024}[unit]


def test_the_documentation_tells_what_is_asked_for():
    rows = re.findall(
        r"^\| ([^|]+?) \| [^|]+ \| (\d+m?), ([\d.]+) (MiB|GiB) \| [^|]+ \| [^|]+ \|$", DOCUMENTATION, re.M
    )
    told = {
        name.split(",")[0].split(" (")[0]: (cpu, float(n) * (1024 if unit == "GiB" else 1))
        for name, cpu, n, unit in rows
    }
    told["run"] = told.pop("a run")
    asked = {}
    for overlay in OVERLAYS:
        for name, pod in pods(overlay).items():
            if name != "executor":
                (container,) = pod["spec"]["containers"]
                wanted = container["resources"]["requests"]
                asked[name] = (wanted["cpu"], size(wanted["memory"]))
    memory = SPARK["spark.executor.memory"], SPARK["spark.executor.memoryOverhead"]
    assert memory == ("1g", "1536m")
    asked["spark-executor"] = (SPARK["spark.kubernetes.executor.request.cores"], 1024 + 1536)
    assert told == asked


def test_the_documentation_tells_what_the_demo_asks_for():
    copies = {m["metadata"]["name"]: m["spec"]["replicas"] for m in of_kind("demo", "Deployment", "StatefulSet")}
    copies["run"] = 2
    cores = memory = 0.0
    for name, count in copies.items():
        (container,) = pods("demo")[name]["spec"]["containers"]
        asked = container["resources"]["requests"]
        milli = asked["cpu"].endswith("m")
        cores += count * float(asked["cpu"].rstrip("m")) / (1000 if milli else 1)
        memory += count * size(asked["memory"]) / 1024
    assert f"With two runs at a time it asks for {memory:.1f} GiB of memory and {cores:.1f} cores." in DOCUMENTATION


def test_spark_of_the_demo_has_as_many_tasks_as_its_pod_asks_for_cores():
    (stack,) = pods("demo")["stack"]["spec"]["containers"]
    (master,) = (e["value"] for e in stack["env"] if e["name"] == "CLICKSTREAM_STACK_SPARK_MASTER")
    assert master == f"local[{stack['resources']['requests']['cpu']}]"
    assert COMPOSE["services"]["stack"]["environment"]["CLICKSTREAM_STACK_SPARK_MASTER"] == master


def test_runs_and_executors_are_kept_as_the_documentation_says():
    bounds = (SPARK[f"spark.dynamicAllocation.{name}Executors"] for name in ("min", "max"))
    assert f"| spark-executor | {' to '.join(bounds)}, as tasks wait |" in DOCUMENTATION
    assert SPARK["spark.dynamicAllocation.enabled"] == "true"
    assert (
        "A run's\npod is kept for an hour. Run monitoring ends runs whose pod is gone, every 15 seconds."
        in DOCUMENTATION
    )
    config = INSTANCE["run_launcher"]["config"]["run_k8s_config"]["job_spec_config"]
    assert config == {"ttl_seconds_after_finished": 3600}
    monitoring = INSTANCE["run_monitoring"]
    assert monitoring["enabled"] is True
    assert monitoring["poll_interval_seconds"] == 15
    assert monitoring["max_resume_run_attempts"] == 0  # the sensor asks for a new run
    assert "| 10 min (`start_timeout_seconds`)" in DOCUMENTATION
    assert monitoring["start_timeout_seconds"] == 600
    assert "| 6 h (`max_runtime_seconds`)" in DOCUMENTATION
    assert monitoring["max_runtime_seconds"] == 6 * 3600
    in_compose = yaml.safe_load((ROOT / "compose-dagster.yaml").read_text())["run_monitoring"]
    assert in_compose.items() <= monitoring.items()
    assert in_compose.keys() == {"enabled", "poll_interval_seconds", "max_runtime_seconds"}


def test_runs_are_made_in_the_namespace_of_who_launches_them():
    assert INSTANCE["run_launcher"]["config"]["job_namespace"] == {"env": "DAGSTER_K8S_NAMESPACE"}
    for name in ("daemon", "webserver"):
        env = {entry["name"]: entry for entry in pods("demo")[name]["spec"]["containers"][0]["env"]}
        assert env["DAGSTER_K8S_NAMESPACE"]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}


# Life and death


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_others_ask_is_asked_only_when_it_is_ready(overlay):
    for service in of_kind(overlay, "Service"):
        (container,) = pods(overlay)[service["metadata"]["name"]]["spec"]["containers"]
        assert {"startupProbe", "readinessProbe"} <= container.keys(), service["metadata"]["name"]
    alive = {name for name, pod in pods(overlay).items() if "livenessProbe" in pod["spec"]["containers"][0]}
    always = {"webserver", "webserver-read-only", "clickstream-page", "code-server", "daemon", "postgres"}
    assert alive == always | {"spark-connect"} & set(pods(overlay))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes_ask_the_webservers_by_a_name_that_they_have(overlay):
    asked = {}
    for name, pod in pods(overlay).items():
        probes = [*everywhere(pod["spec"]["containers"][0], "httpGet")]
        if probes:
            asked[name] = {header["value"] for p in probes for header in p["httpHeaders"] if header["name"] == "Host"}
            assert all("graphql" not in probe["path"] for probe in probes)  # which is not answered to a link
    assert asked == {name: {"localhost"} for name in ("webserver", "webserver-read-only", PAGE)}
    assert "localhost" in Settings().dagster_host_names & Settings().page_host_names


def test_who_looks_has_neither_a_right_nor_a_way_to_kubernetes():
    pod = pods("production")["webserver-read-only"]["spec"]
    assert "--read-only" in pod["containers"][0]["args"]
    assert pod["automountServiceAccountToken"] is False
    assert RIGHTS["production"][pod["serviceAccountName"]] == {}
    ways = {line["to"] for line in TABLE["base"] if line["from"] == "webserver-read-only"}
    assert ways == {"code-server", "postgres", "dns"}
    assert COMPOSE["services"]["webserver-read-only"]["ports"] == ["127.0.0.1:3002:3002"]
    assert COMPOSE["services"]["webserver-read-only"]["command"] == pod["containers"][0]["args"]


def test_the_analysts_page_links_to_the_webserver_that_only_looks():
    here = COMPOSE["services"]["clickstream-page"]["environment"]["CLICKSTREAM_PAGE_DAGSTER_URL"]
    assert COMPOSE["services"]["webserver-read-only"]["ports"] == [f"127.0.0.1:{urlsplit(here).port}:3002"]
    there = values(K8S / "overlays" / "production" / "settings.env")
    assert there["CLICKSTREAM_PAGE_DAGSTER_URL"] not in ("", there["CLICKSTREAM_DAGSTER_URL"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_analysts_page_reads_by_a_user_of_its_own_and_has_no_way_to_dagster(overlay):
    pod = pods(overlay)["clickstream-page"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert RIGHTS[overlay][pod["serviceAccountName"]] == {}
    assert {name for name, _, _ in secrets_in(pod)} == {"clickstream-page"}
    assert variables(pod["containers"][0], overlay).isdisjoint({"DAGSTER_HOME", "DAGSTER_PG_PASSWORD"})
    lines = [line for section in SECTIONS[overlay] for line in TABLE[section] if line["from"] == "clickstream-page"]
    assert {line["port"] for line in lines} == {9200, 9090, 53}
    assert COMPOSE["services"]["clickstream-page"]["ports"] == ["127.0.0.1:3001:3001"]
    assert COMPOSE["services"]["clickstream-page"]["command"] == pod["containers"][0]["args"]


def test_a_daemon_whose_heartbeats_are_old_is_dead():
    assert "heartbeats may be 5 min old" in DOCUMENTATION
    (daemon,) = pods("production")["daemon"]["spec"]["containers"]
    assert {"name": "DAGSTER_DAEMON_HEARTBEAT_TOLERANCE", "value": "300"} in daemon["env"]


def test_a_nightly_job_that_hangs_ends_and_none_runs_twice_at_a_time():
    jobs = {job["metadata"]["name"]: job["spec"] for job in of_kind("production", "CronJob")}
    assert set(jobs) == {"backup", "purge"}
    for job in jobs.values():
        assert job["concurrencyPolicy"] == "Forbid"
        assert job["jobTemplate"]["spec"]["activeDeadlineSeconds"] == 3600
    backup, purge = (pods("production")[name]["spec"]["containers"][0] for name in ("backup", "purge"))
    assert purge["env"] == [{"name": "KEEP_DAYS", "value": "30"}, *backup["env"]]
    assert purge["envFrom"] == backup["envFrom"]
    assert "`KEEP_DAYS` old, 30 unless" in DOCUMENTATION
    assert "The volume of 80 GiB is for this pace" in DOCUMENTATION
    assert "[volume of 80 GiB]" in DOCUMENTATION
    (database,) = (m for m in of_kind("production", "StatefulSet") if m["metadata"]["name"] == "postgres")
    assert [*everywhere(database["spec"]["volumeClaimTemplates"], "storage")] == ["80Gi"]
    assert "volume `backup` of 30 GiB has room" in DOCUMENTATION.replace("\n", " ")
    (dumps,) = of_kind("production", "PersistentVolumeClaim")
    assert (dumps["metadata"]["name"], *everywhere(dumps, "storage")) == ("backup", "30Gi")


def test_vacuum_needs_no_room_in_the_containers_shared_memory():
    (purge,) = pods("production")["purge"]["spec"]["containers"]
    assert re.findall(r"VACUUM (\(.*?\))", purge["args"][0]) == 3 * ["(ANALYZE, PARALLEL 0)"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_writes_to_a_volume_is_in_the_group_that_it_is_given_to(overlay):
    groups = {}
    for name, pod in pods(overlay).items():
        if any("persistentVolumeClaim" in volume for volume in pod["spec"].get("volumes", [])):
            own = groups[name] = pod["spec"]["securityContext"]
            assert own.get("runAsGroup", 10001) == own["fsGroup"], name  # the image's own group
    assert set(groups) == {"postgres", "stack"} & set(pods(overlay)) | {"backup"} & set(pods(overlay))
    assert {name for name, own in groups.items() if own["fsGroup"] == 999} == set(groups) - {"stack"}
    (postgres,) = pods(overlay)["postgres"]["spec"]["containers"]
    (data,) = (entry["value"] for entry in postgres["env"] if entry["name"] == "PGDATA")
    (mount,) = (mount["mountPath"] for mount in postgres["volumeMounts"] if mount["name"] == "data")
    assert data.startswith(f"{mount}/")  # initdb takes no folder that is a volume's root: it may hold lost+found


# What selects whom


def matches(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return selector.items() <= labels.items()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_whatever_selects_pods_selects_those_of_one_workload(overlay):
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(overlay).items()}
    for manifest in of_kind(overlay, "PodDisruptionBudget", "Service", "Deployment", "StatefulSet"):
        selector = manifest["spec"]["selector"]
        if manifest["kind"] != "Service":
            assert set(selector) == {"matchLabels"}
            selector = selector["matchLabels"]
        chosen = [name for name, found in labels.items() if matches(selector, found)]
        assert chosen == [manifest["metadata"]["name"]], (manifest["kind"], chosen)
    for name, pod in pods(overlay).items():
        for spread in pod["spec"].get("topologySpreadConstraints", []):
            selector = spread["labelSelector"]["matchLabels"]
            assert [other for other, found in labels.items() if matches(selector, found)] == [name]


def test_what_runs_more_than_once_has_a_budget_and_is_spread():
    kustomization = yaml.safe_load((K8S / "overlays" / "production" / "kustomization.yaml").read_text())
    several = {entry["name"] for entry in kustomization["replicas"] if entry["count"] > 1}
    assert several == {budget["metadata"]["name"] for budget in of_kind("production", "PodDisruptionBudget")}
    for budget in of_kind("production", "PodDisruptionBudget"):
        assert budget["spec"]["maxUnavailable"] == 1
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    spread = {name for name, pod in pods("production").items() if "topologySpreadConstraints" in pod["spec"]}
    assert spread == several | {"executor"}
    alone = [m for m in of_kind("production", "Deployment", "StatefulSet") if m["metadata"]["name"] not in several]
    assert {manifest["spec"]["replicas"] for manifest in alone} == {0, 1}


def test_what_must_not_run_twice_ends_before_the_next_begins():
    ends_first = {m["metadata"]["name"] for m in of_kind("production", "Deployment") if "strategy" in m["spec"]}
    assert ends_first == {"daemon", "spark-connect"}
    for manifest in of_kind("production", "Deployment"):
        assert manifest["spec"].get("strategy", {"type": "Recreate"}) == {"type": "Recreate"}


# Settings, secrets


def generated(overlay: str) -> dict[str, set[str]]:
    """Names and keys of the ConfigMaps that kustomize makes."""
    found: dict[str, set[str]] = {}
    folders = [K8S / "base", K8S / "overlays" / overlay]
    if overlay == "production":
        folders.append(K8S / "components" / "spark-connect")
    for folder in folders:
        for maker in yaml.safe_load((folder / "kustomization.yaml").read_text()).get("configMapGenerator", []):
            keys = found.setdefault(maker["name"], set())
            keys |= set(maker.get("files", []))
            for name in maker.get("envs", []):
                assert folder / name in settings_files(overlay)
                keys |= set(values(folder / name))
    return found


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_config_maps_that_pods_name_are_made_with_the_keys_that_they_name(overlay):
    made, found = generated(overlay), pods(overlay)
    for source in everywhere(found, "configMapRef"):
        assert source["name"] in made
    for reference in everywhere(found, "configMapKeyRef"):
        assert reference["key"] in made[reference["name"]]
    for pod in found.values():
        volumes = {v["name"]: v["configMap"]["name"] for v in pod["spec"].get("volumes", []) if "configMap" in v}
        assert set(volumes.values()) <= {*made, AUTHORITY["name"]}
        for mount in everywhere(pod, "volumeMounts"):
            for each in mount:
                if each["name"] in volumes and "subPath" in each:
                    assert each["subPath"] in made[volumes[each["name"]]]
                    assert each["mountPath"].endswith(f"/{each['subPath']}")
    if "spark-conf" in made:
        named = re.findall(r"/opt/spark/conf/(\S+)", "\n".join(SPARK.values()))
        assert set(named) | {"spark-defaults.conf", "log4j2.properties"} == made["spark-conf"]


def variables(container: Manifest, overlay: str) -> set[str]:
    """Names in a container's environment."""
    own = {entry["name"] for entry in container.get("env", [])}
    maps = [source["configMapRef"]["name"] for source in container.get("envFrom", []) if "configMapRef" in source]
    return own.union(*(generated(overlay)[name] for name in maps))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_whoever_reads_the_instance_has_the_variables_that_it_names(overlay):
    storage = set(everywhere(INSTANCE["storage"], "env"))
    assert storage == set(values(K8S / "base" / "database.env")) | {"DAGSTER_PG_PASSWORD"}
    launcher = {name for name in everywhere(INSTANCE["run_launcher"], "env") if isinstance(name, str)}
    readers = {
        name: pod["spec"]["containers"][0]
        for name, pod in pods(overlay).items()
        if any(volume.get("configMap", {}).get("name") == "dagster-instance" for volume in pod["spec"]["volumes"])
    }
    assert set(readers) == {"daemon", "webserver", "webserver-read-only", "migrate", "shell"}
    for name, container in readers.items():
        assert storage <= variables(container, overlay), name
    for name in ("daemon", "webserver"):  # who launches and ends runs
        assert launcher <= variables(readers[name], overlay), name
        named = {e["name"]: e["value"] for e in readers[name]["env"] if e["name"].endswith("_CONFIG_MAP")}
        assert set(named.values()) == {"dagster-instance", "clickstream-settings", "dagster-database"}
        given = [named[source["env"]] for source in INSTANCE["run_launcher"]["config"]["env_config_maps"]]
        assert given == ["clickstream-settings", "dagster-database"]
    assert storage <= variables(pods(overlay)["code-server"]["spec"]["containers"][0], overlay)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_whoever_reads_the_database_has_its_authority_where_the_settings_say(overlay):
    there = PurePosixPath(values(K8S / "overlays" / "production" / "database.env")["PGSSLROOTCERT"])
    asking = {line["from"] for section in SECTIONS[overlay] for line in TABLE[section] if line["to"] == "postgres"}
    for name, pod in pods(overlay).items():
        if pod["metadata"]["labels"]["app.kubernetes.io/component"] in asking:
            volumes = {volume["name"]: volume.get("configMap") for volume in pod["spec"]["volumes"]}
            mounts = {mount["mountPath"]: mount["name"] for mount in pod["spec"]["containers"][0]["volumeMounts"]}
            assert volumes[mounts[str(there.parent)]] == AUTHORITY, name
            if name != "run":  # which has it by its launcher
                assert "dagster-database" in {ref["name"] for ref in everywhere(pod, "configMapRef")}, name
    words = f"kubectl -n clickstream create configmap {AUTHORITY['name']} --from-file={there.name}"
    assert words in DOCUMENTATION


def test_the_database_in_production_shows_its_certificate():
    (database,) = pods("production")["postgres"]["spec"]["containers"]
    named = dict(argument.split("=") for argument in database["args"] if argument != "-c")
    assert named["ssl"] == "on"
    (mount,) = (mount["mountPath"] for mount in database["volumeMounts"] if mount["name"] == "certificate")
    shown = {PurePosixPath(named[f"ssl_{part}_file"]) for part in ("cert", "key")}
    assert shown == {PurePosixPath(mount, file) for file in ("tls.crt", "tls.key")}  # as a Secret of this type has them
    assert "create secret tls postgres-certificate --cert=tls.crt --key=tls.key" in DOCUMENTATION
    (volume,) = everywhere(pods("production")["postgres"]["spec"]["volumes"], "secret")
    assert volume == {"secretName": "postgres-certificate", "defaultMode": 0o440}
    assert "args" not in pods("demo")["postgres"]["spec"]["containers"][0]


@pytest.mark.slow
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_whoever_asks_a_server_has_its_address(overlay):
    found = {
        pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod["spec"]["containers"][0]
        for name, pod in pods(overlay).items()
        if name != "shell"
    }
    found["shell"] = pods(overlay)["shell"]["spec"]["containers"][0]
    for section in SECTIONS[overlay]:
        for line in TABLE[section]:
            if "setting" not in line or line["from"] == "spark-executor":  # executors are told by what they are to do
                continue
            for name in {"run_worker": ("run_worker", "shell")}.get(line["from"], (line["from"],)):
                known = variables(found[name], overlay)
                if name == "run_worker":  # by the launcher, see above
                    known |= generated(overlay)["clickstream-settings"]
                assert line["setting"] in known, name


CONNECTING = {"code-server", "run", "setup", "shell", "executor", PAGE}
"""Pods that open connections to Kafka, HBase or Elasticsearch."""


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_whoever_connects_has_secrets_and_certificates_and_nobody_else(overlay):
    asking = {line["from"] for section in SECTIONS[overlay] for line in TABLE[section] if "setting" in line}
    of_ours = {name for name, pod in pods(overlay).items() if pod["metadata"]["labels"][COMPONENT] in asking}
    assert CONNECTING & set(pods(overlay)) == of_ours - {"traffic"}  # which knows the demo's Kafka alone
    secrets, certificates = [{"name": "clickstream-connections", "optional": True}], "clickstream-certificates"
    for name, pod in pods(overlay).items():
        (container,) = pod["spec"]["containers"]
        assert [*everywhere(pod, "secretRef")] == (secrets if name in CONNECTING - {PAGE} else []), name
        volumes = {volume["name"]: volume["secret"] for volume in pod["spec"].get("volumes", []) if "secret" in volume}
        mounts = {mount["name"]: mount for mount in container["volumeMounts"] if mount["name"] in volumes}
        if name == "postgres":
            continue
        assert [*volumes.values()] == ([{"secretName": certificates, "optional": True}] if name in CONNECTING else [])
        for mount in mounts.values():
            assert (mount["mountPath"], mount["readOnly"]) == ("/etc/clickstream/certificates", True)
        if name in CONNECTING - {"run", "executor", PAGE}:  # by the launcher, and see below; a Secret's variables win
            assert [*container["envFrom"][0]] == ["configMapRef"]
            assert [*container["envFrom"][-1]] == ["secretRef"]
    assert "/etc/clickstream/certificates" in (K8S / "overlays" / "production" / "settings.env").read_text()


def keys_of(name: str, overlay: str) -> dict[str, set[str]]:
    """Which keys of a Secret each pod names."""
    found = {
        pod: {r["key"] for r in everywhere(made, "secretKeyRef") if r["name"] == name}
        for pod, made in pods(overlay).items()
    }
    return {pod: keys for pod, keys in found.items() if keys}


def test_the_webhook_and_sparks_token_are_where_they_are_needed_alone():
    for overlay, spark in (("demo", "stack"), ("production", "spark-connect")):
        assert keys_of("clickstream-secrets", overlay) == {"code-server": {"alert-webhook"}}
        assert keys_of("clickstream-connections", overlay) == {spark: {"CLICKSTREAM_SPARK_TOKEN"}}
    env = {entry["name"]: entry for entry in pods("production")["spark-connect"]["spec"]["containers"][0]["env"]}
    assert "secretKeyRef" in env[TOKEN_VARIABLE]["valueFrom"]


def test_executors_have_the_settings_of_spark_connect_and_no_secret_is_in_its_arguments(tmp_path):
    (spark,) = pods("production")["spark-connect"]["spec"]["containers"]
    assert spark["envFrom"] == [{"configMapRef": {"name": "clickstream-settings"}}]
    submit = tmp_path / "spark-submit"
    submit.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    submit.chmod(0o755)
    settings = {"CLICKSTREAM_KAFKA_USER": "a user, with a space", "CLICKSTREAM_KAFKA_CA": ""}
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", TOKEN_VARIABLE: "planted", **settings}
    done = subprocess.run([*spark["command"], *spark["args"]], env=env, capture_output=True, text=True, check=True)
    given = done.stdout.splitlines()
    handed_on = given[: -len(spark["args"])]
    assert sorted(handed_on) == sorted(f"--conf=spark.executorEnv.{name}={value}" for name, value in settings.items())
    assert given[len(handed_on) :] == spark["args"]


def secrets_in(place: Any) -> set[tuple[str, str, bool]]:
    """Secret, key, and whether it may be missing."""
    return {(ref["name"], ref["key"], ref.get("optional", False)) for ref in everywhere(place, "secretKeyRef")}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_secrets_that_pods_name_are_those_of_the_documentation(overlay):
    used = secrets_in(pods(overlay))
    # The launcher has this key in itself
    used.add((INSTANCE["run_launcher"]["config"]["postgres_password_secret"], "postgresql-password", False))
    told: dict[str, set[str]] = {}
    for name, literals in re.findall(r"create secret generic (\S+)((?: \\?\s*--from-literal=\S+)+)", DOCUMENTATION):
        told.setdefault(name, set()).update(re.findall(r"--from-literal=([\w-]+)=", literals))
    variables = {f"CLICKSTREAM_{name.upper()}" for name in Settings.secret_names()} - {"CLICKSTREAM_ALERT_WEBHOOK"}
    assert told.pop("clickstream-connections") <= variables
    assert [name for name in variables if name not in DOCUMENTATION] == []
    named = {name: {key for other, key, _ in used if other == name} for name, _, _ in used}
    assert named.pop("clickstream-connections") <= variables
    assert named == told
    needed = {(name, key) for name, key, optional in used if not optional}
    demo = {("clickstream-connections", "CLICKSTREAM_SPARK_TOKEN")} if overlay == "demo" else set()
    assert needed == {("clickstream-postgres", "postgresql-password")} | demo


# Ports


def numbers(container: Manifest) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in container.get("ports", [])}


def spoken_of(container: Manifest) -> Iterator[int]:
    """Ports that a container's command, probes and environment name."""
    ports, line = numbers(container), [*container.get("command", []), *container.get("args", [])]
    if "-p" in line:
        yield int(line[line.index("-p") + 1])
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = container.get(probe, {})
        yield from (check["port"] for check in everywhere(asked, "grpc"))
        yield from (ports[check["port"]] for check in everywhere(asked, "httpGet"))
        yield from map(int, re.findall(r"ask\((\d+)\)", " ".join(asked.get("exec", {}).get("command", []))))
    for entry in container.get("env", []):
        if server := re.fullmatch("CLICKSTREAM_STACK_([A-Z]+)_PORT", entry["name"]):
            assert int(entry["value"]) == ports[server[1].lower()]
            yield int(entry["value"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_commands_probes_and_policies_speak_of_the_ports_that_containers_have(overlay):
    listening = {}
    for name, pod in pods(overlay).items():
        (container,) = pod["spec"]["containers"]
        listening[name] = set(numbers(container).values())
        assert set(spoken_of(container)) <= listening[name], name
    entered = {(line["to"], line["port"]) for section in SECTIONS[overlay] for line in TABLE[section]}
    assert {(to, port) for to, port in entered if to in listening} == {
        (name, port) for name, ports in listening.items() for port in ports
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_services_have_the_ports_of_their_pods_and_those_that_others_ask_them_on(overlay):
    services = {service["metadata"]["name"]: service["spec"] for service in of_kind(overlay, "Service")}
    for name, service in services.items():
        ports = numbers(pods(overlay)[name]["spec"]["containers"][0])
        for port in service["ports"]:
            assert port["targetPort"] == port["name"]
            assert port["port"] == (80 if name.startswith("webserver") or name == PAGE else ports[port["name"]])
    (server,) = everywhere(yaml.safe_load((K8S / "base" / "workspace.yaml").read_text()), "grpc_server")
    assert server["port"] in {port["port"] for port in services[server["host"]]["ports"]}
    database = values(K8S / "base" / "database.env")
    assert int(database["DAGSTER_PG_PORT"]) in {p["port"] for p in services[database["DAGSTER_PG_HOST"]]["ports"]}


def test_sparks_ports_are_those_of_its_pods_and_policies():
    (spark,) = pods("production")["spark-connect"]["spec"]["containers"]
    assert numbers(spark) == {
        "grpc": int(SPARK["spark.connect.grpc.binding.port"]),
        "driver": int(SPARK["spark.driver.port"]),
        "blocks": int(SPARK["spark.driver.blockManager.port"]),
    }
    lines = {(line["from"], line["to"]): set() for line in TABLE["spark-connect"]}
    for line in TABLE["spark-connect"]:
        lines[line["from"], line["to"]].add(line["port"])
    blocks = int(SPARK["spark.blockManager.port"])
    assert lines["spark-connect", "spark-executor"] == lines["spark-executor", "spark-executor"] == {blocks}
    assert lines["spark-executor", "spark-connect"] == {
        int(SPARK["spark.driver.port"]),
        int(SPARK["spark.driver.blockManager.port"]),
    }


def test_spark_is_told_what_only_its_pod_knows():
    (spark,) = pods("production")["spark-connect"]["spec"]["containers"]
    told = dict(arg.removeprefix("--conf=").split("=") for arg in spark["args"] if arg.startswith("--conf="))
    assert told == {
        "spark.kubernetes.namespace": "$(NAMESPACE)",
        "spark.kubernetes.driver.pod.name": "$(POD_NAME)",  # the owner of the executors, that they end with it
        "spark.kubernetes.container.image": "$(EXECUTOR_IMAGE)",
        "spark.driver.host": "$(POD_IP)",
    }
    fields = {e["name"]: e["valueFrom"]["fieldRef"] for e in spark["env"] if "fieldRef" in e.get("valueFrom", {})}
    sources = {name: field["fieldPath"] for name, field in fields.items()}
    assert sources == {"NAMESPACE": "metadata.namespace", "POD_NAME": "metadata.name", "POD_IP": "status.podIP"}
    assert SPARK["spark.master"] == "k8s://https://kubernetes.default.svc"
    (executor,) = executor_pod()["spec"]["containers"]
    assert executor["name"] == SPARK["spark.kubernetes.executor.podTemplateContainerName"]


def test_spark_reads_the_token_of_its_pod_anew():
    assert not [name for name in SPARK if "oauthToken" in name]  # what is named is read once, and ends within the hour


def test_ports_of_the_compose_file_are_those_of_the_manifests():
    found = pods("demo")
    for name in ("code-server", "webserver"):
        line, here = COMPOSE["services"][name]["command"], found[name]["spec"]["containers"][0]["args"]
        assert line == here
    test = COMPOSE["services"]["code-server"]["healthcheck"]["test"]
    assert [test[test.index("-p") + 1]] == [
        str(port) for port in numbers(found["code-server"]["spec"]["containers"][0]).values()
    ]
    for name in ("code-server", "webserver", "webserver-read-only", "daemon"):
        service = COMPOSE["services"][name]
        home = service["environment"]["DAGSTER_HOME"]
        targets = {f"{home}/dagster.yaml", f"{home}/workspace.yaml"}
        assert {config["target"] for config in service["configs"]} == targets
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
    (published,) = COMPOSE["services"]["webserver"]["ports"]
    assert published == "127.0.0.1:3000:3000"
    environment = COMPOSE["services"]["traffic"]["environment"]
    here = {name: value for name, value in environment.items() if name.startswith("CLICKSTREAM_")}
    there = values(K8S / "overlays" / "demo" / "settings.env")
    assert here.items() <= there.items()
    assert there.keys() - here.keys() == {"CLICKSTREAM_HBASE_PORT"}  # the default


# Images


@pytest.mark.slow
def test_images_have_one_name_and_the_version_of_the_package():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    tags = {"production": version, "demo": f"{version}-demo"}
    for overlay, tag in tags.items():
        images = yaml.safe_load((K8S / "overlays" / overlay / "kustomization.yaml").read_text())["images"]
        assert images == [{"name": "clickstream-assets", "newTag": tag}]
        used = set(everywhere({name: pod for name, pod in pods(overlay).items() if name != "run"}, "image"))
        assert used == {"clickstream-assets", COMPOSE["services"]["postgres"]["image"]}
        for name, variable in (("code-server", "DAGSTER_CURRENT_IMAGE"), ("spark-connect", "EXECUTOR_IMAGE")):
            if name in pods(overlay):
                (container,) = pods(overlay)[name]["spec"]["containers"]
                assert {"name": variable, "value": "clickstream-assets"} in container["env"]
    ours = {service["image"] for name, service in COMPOSE["services"].items() if name != "postgres"}
    assert ours == {f"clickstream-assets:{tags['demo']}"}
    for text in (DOCUMENTATION, (ROOT / "Dockerfile").read_text()):
        assert set(re.findall(r"--tag clickstream-assets:(\S+)", text)) == set(tags.values())
    (replaced,) = yaml.safe_load((K8S / "base" / "references.yaml").read_text())["images"]
    assert replaced == {"kind": "Deployment", "path": "spec/template/spec/containers/env/value"}
    assert "job_image" not in INSTANCE["run_launcher"]["config"]


def test_the_database_is_of_the_version_that_the_tests_and_the_documentation_speak_of():
    (major,) = re.findall(r"^postgres:(\d+)\.\d+-bookworm@sha256:", COMPOSE["services"]["postgres"]["image"])
    assert set(re.findall(r"PostgreSQL (\d+)", DOCUMENTATION)) == {major}
