"""What must agree: manifests, settings, the table of connections, the documentation, the image."""

import re
import shlex
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic.fields import FieldInfo

import clickstream_assets
from clickstream_assets.local.stack.spark_server import configuration, spark_home
from clickstream_assets.settings import Settings
from clickstream_assets_tests.k8s.manifests import (
    K8S,
    OVERLAYS,
    SECTIONS,
    TABLE,
    WORKLOADS,
    executor_pod,
    files,
    pod_of,
    settings_files,
    values,
)

ROOT = K8S.parent
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
ELSEWHERE = {"run_worker", "spark-executor"}
"""Components whose pods dagster-k8s and Spark make."""


def containers(overlay):
    for _, manifest in files(overlay):
        if manifest["kind"] in WORKLOADS:
            yield from pod_of(manifest)["spec"]["containers"]


def variables_in_files() -> set[str]:
    texts = [path.read_text() for path in K8S.rglob("*") if path.is_file() and path.name != "connections.yaml"]
    texts += [(ROOT / name).read_text() for name in ("Dockerfile", "compose.yaml")]
    return {name for text in texts for name in re.findall(r"\bCLICKSTREAM_[A-Z_]+\b", text)}


def test_every_variable_is_a_setting_and_every_setting_can_be_set():
    in_files = {f"{name}_file" for name in Settings.secret_names()}  # a Secret's variables do for these
    assert variables_in_files() <= {f"CLICKSTREAM_{name.upper()}" for name in Settings.model_fields}
    assert variables_in_files() >= {f"CLICKSTREAM_{name.upper()}" for name in Settings.model_fields.keys() - in_files}


def test_settings_that_overlays_share_are_the_defaults():
    fields: dict[str, FieldInfo] = Settings.model_fields
    for name, value in values(K8S / "base" / "settings.env").items():
        default = fields[name.removeprefix("CLICKSTREAM_").lower()].default
        assert value == str(default) or float(value) == default, name


def settings_of(overlay: str) -> dict[str, str]:
    return {name: value for path in settings_files(overlay) for name, value in values(path).items()}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_settings_of_an_overlay_are_valid(overlay, monkeypatch):
    for name, value in settings_of(overlay).items():
        monkeypatch.setenv(name, value)
    Settings()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_secret_is_in_a_config_map(overlay):
    found = settings_of(overlay) | values(K8S / "base" / "database.env")
    assert not [name for name in found if re.search("PASSWORD|SECRET|TOKEN|WEBHOOK|API_KEY", name)]
    assert not found.keys() & {f"CLICKSTREAM_{name.upper()}" for name in Settings.secret_names()}
    assert not [value for value in found.values() if "@" in value]


# Connections


def table(overlay: str) -> list[dict]:
    return [connection for section in SECTIONS[overlay] for connection in TABLE[section]]


def components(overlay: str) -> set[str]:
    labels = (pod_of(m)["metadata"]["labels"] for _, m in files(overlay) if m["kind"] in WORKLOADS)
    known = {found["app.kubernetes.io/component"] for found in labels}
    return known | {"run_worker"} | ({"spark-executor"} if "spark-connect" in known else set())


def chosen(selector: dict, known: set[str]) -> set[str]:
    """The components that a pod selector of ours picks."""
    if "matchLabels" in selector:
        ((key, value),) = selector["matchLabels"].items()
        assert key == "app.kubernetes.io/component"
        assert value in known
        return {value}
    if not selector:
        return known
    (rule,) = selector["matchExpressions"]
    assert rule["key"] == "app.kubernetes.io/component"
    assert set(rule["values"]) <= known
    return known & set(rule["values"]) if rule["operator"] == "In" else known - set(rule["values"])


def name_of(peer: dict, policy: str, known: set[str]) -> str:
    """A peer by the table's name for it."""
    labels = peer.get("namespaceSelector", {}).get("matchLabels", {})
    if "podSelector" in peer and labels != {"kubernetes.io/metadata.name": "kube-system"}:
        assert set(peer) == {"podSelector"}  # beside a namespaceSelector, pods of other namespaces would be meant
    if "ipBlock" in peer:  # only the policy's name says who it is
        return next(name for name in ("kubernetes-api", "webhook") if policy.startswith(f"to-{name}"))
    if labels == {"clickstream/entrance": "true"}:
        return "people"
    if labels == {"kubernetes.io/metadata.name": "kube-system"}:
        assert peer["podSelector"] == {"matchLabels": {"k8s-app": "kube-dns"}}
        return "dns"
    if labels:
        ((label, value),) = labels.items()
        assert value == "true"
        return label.removeprefix("clickstream/serves-")
    (component,) = chosen(peer["podSelector"], known)
    return component


def allowed(overlay: str, direction: str) -> set[tuple[str, str, int]]:
    """What the policies of an overlay let out, or in: from, to, port."""
    known, found = components(overlay), set()
    for _, policy in files(overlay):
        if policy["kind"] != "NetworkPolicy":
            continue
        spec, name = policy["spec"], policy["metadata"]["name"]
        for rule in spec.get(direction, []):
            assert direction.capitalize() in spec["policyTypes"]
            tcp = [{"port": port["port"]} for port in rule["ports"]]
            assert rule["ports"] == ([{"port": 53, "protocol": "UDP"}, *tcp[1:]] if name == "to-dns" else tcp)
            for own in chosen(spec["podSelector"], known):
                for peer in rule["to" if direction == "egress" else "from"]:
                    other = name_of(peer, name, known)
                    pair = (own, other) if direction == "egress" else (other, own)
                    found |= {(*pair, port["port"]) for port in rule["ports"]}
    return found


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_policies_let_out_what_the_table_says_and_nothing_else(overlay):
    wanted = {(c["from"], c["to"], c["port"]) for c in table(overlay) if c["from"] in components(overlay)}
    assert allowed(overlay, "egress") == wanted


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_policies_let_in_what_the_table_says_and_nothing_else(overlay):
    wanted = {(c["from"], c["to"], c["port"]) for c in table(overlay) if c["to"] in components(overlay)}
    assert allowed(overlay, "ingress") == wanted


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_table_has_no_line_twice(overlay):
    lines = [(c["from"], c["to"], c["port"]) for c in table(overlay)]
    assert len(lines) == len(set(lines))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_whatever_is_not_allowed_is_denied(overlay):
    policies = [m["spec"] for _, m in files(overlay) if m["kind"] == "NetworkPolicy"]
    assert {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} in policies


def address(setting: str, settings: dict[str, str]) -> tuple[str, int]:
    if setting == "CLICKSTREAM_HBASE_PORT":
        return settings["CLICKSTREAM_HBASE_HOST"], int(settings[setting])
    text = settings[setting]
    parts = urlsplit(text if "://" in text else f"//{text}")
    return parts.hostname, parts.port


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_settings_lead_where_the_table_says(overlay):
    settings, named = settings_of(overlay), set()
    for connection in table(overlay):
        if setting := connection.get("setting"):
            named.add(setting)
            if setting in settings:  # the webhook's address is in a Secret
                host, port = address(setting, settings)
                assert (host.split(".")[0].startswith(connection["to"]), port) == (True, connection["port"])
    addresses = {
        name for name in settings if re.search("SERVERS$|ZOOKEEPER$|REMOTE$|HBASE_PORT$|ELASTICSEARCH_URL$", name)
    }
    assert addresses <= named


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_services_lead_to_ports_that_containers_have(overlay):
    ports = {c["to"]: set() for c in table(overlay)}
    for _, manifest in files(overlay):
        if manifest["kind"] in WORKLOADS:
            pod = pod_of(manifest)
            for container in pod["spec"]["containers"]:
                found = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
                ports[pod["metadata"]["labels"]["app.kubernetes.io/component"]] = found
    for _, manifest in files(overlay):
        if manifest["kind"] == "Service":
            component = manifest["spec"]["selector"]["app.kubernetes.io/component"]
            assert {port["targetPort"] for port in manifest["spec"]["ports"]} <= set(ports[component])
    entered = {(c["to"], c["port"]) for c in table(overlay)}
    declared = {(component, port) for component, found in ports.items() if found for port in found.values()}
    assert declared <= entered


def test_the_documentation_shows_the_table():
    rows = re.findall(r"^\| (\S+) \| (\S+) \| (\d+) \| (.+) \|$", (ROOT / "docs" / "deployment.md").read_text(), re.M)
    where = {"base": "always", "demo": "demo", "production": "production", "spark-connect": "production"}
    merged: dict[tuple[str, str, str, str], None] = {}
    for section, connections in TABLE.items():
        for c in connections:
            merged[c["from"], c["to"], str(c["port"]), f"{c['why']} | {where[section]}"] = None
    assert rows == list(merged)


# Dagster's instance


def test_both_instances_queue_and_keep_alike():
    here = yaml.safe_load(Path(clickstream_assets.__file__).with_name("dagster.yaml").read_text())
    there = yaml.safe_load((K8S / "base" / "dagster.yaml").read_text())
    for section in ("run_coordinator", "concurrency", "sensors", "retention", "telemetry", "nux"):
        assert here[section] == there[section]
    in_compose = yaml.safe_load((ROOT / "compose-dagster.yaml").read_text())
    assert in_compose["sensors"] == here["sensors"]


# What is named is there


def programs() -> Iterator[tuple[str, ...]]:
    """Each command line of manifests and compose file that runs in our image."""
    for overlay in OVERLAYS:
        for container in containers(overlay):
            if container["image"] == "clickstream-assets":
                yield tuple([*container.get("command", []), *container.get("args", [])])
                for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                    if "exec" in container.get(probe, {}):
                        yield tuple(container[probe]["exec"]["command"])
    for service in yaml.safe_load((ROOT / "compose.yaml").read_text())["services"].values():
        if service["image"].startswith("clickstream-assets"):
            yield tuple(service["command"])
            if "healthcheck" in service:
                yield tuple(service["healthcheck"]["test"][1:])


def command(name: str) -> click.Command:
    if name == "dagster":
        from dagster._cli import create_dagster_cli

        return create_dagster_cli()
    if name == "dagster-daemon":
        from dagster._daemon.cli import create_dagster_daemon_cli

        return create_dagster_daemon_cli()
    if name == "dagster-webserver":
        from dagster_webserver.cli import dagster_webserver

        return dagster_webserver
    from clickstream_assets.cli.main import main

    return main


@pytest.mark.slow
@pytest.mark.parametrize("line", sorted(set(programs())), ids=shlex.join)
def test_commands_and_their_options_exist(line, tmp_path):
    program, *arguments = line
    if program in ("bash", "grep", "sleep", "python", "spark-submit"):
        return  # those of every Debian, Spark's, which are looked at below, and migrate's, which test_postgres runs
    workspace = tmp_path / "workspace.yaml"
    workspace.write_text((K8S / "base" / "workspace.yaml").read_text())
    arguments = [str(workspace) if argument.endswith("workspace.yaml") else argument for argument in arguments]
    at = command(program)
    while isinstance(at, click.Group):
        name, *arguments = arguments
        at = at.commands[name]
    at.make_context(program, arguments)


def test_the_probe_of_spark_asks_by_a_function_that_exists():
    probes = {line[-1] for line in programs() if line[0] == "python" and "spark" in line[-1]}
    assert probes == {"from clickstream_assets.local.stack.spark_server import ask; ask(15002)"}
    from clickstream_assets.local.stack.spark_server import ask

    with pytest.raises(Exception, match="UNAVAILABLE"):
        ask(9)


def test_sparks_classes_are_in_its_jars():
    jars = spark_home() / "jars"
    for pattern, name in (
        ("spark-connect_*.jar", "org/apache/spark/sql/connect/service/SparkConnectServer.class"),
        ("spark-kubernetes_*.jar", "org/apache/spark/scheduler/cluster/k8s/KubernetesExecutorBackend.class"),
    ):
        (jar,) = jars.glob(pattern)
        assert name in zipfile.ZipFile(jar).namelist()
    text = "".join(path.read_text() for path in (K8S / "components" / "spark-connect").iterdir())
    assert {"sql.connect.service.SparkConnectServer", "k8s.KubernetesExecutorBackend"} == {
        name.removeprefix("org.apache.spark.").removeprefix("scheduler.cluster.")
        for name in re.findall(r"org\.apache\.spark[\w.]+", text)
    }


def test_what_an_executor_is_started_with_is_known_to_spark():
    (jar,) = (spark_home() / "jars").glob("spark-kubernetes_*.jar")
    classes = {
        name: zipfile.ZipFile(jar).read(f"org/apache/spark/{name}.class")
        for name in (
            "scheduler/cluster/k8s/KubernetesExecutorBackend$",
            "deploy/k8s/Constants$",
        )
    }
    (script,) = (part for part in executor_pod()["spec"]["containers"][0]["command"] if "java" in part)
    backend, constants = classes.values()
    flags = re.findall(r"(--[\w-]+) ", script)
    assert len(flags) == 7
    assert [flag for flag in flags if flag.encode() not in backend] == []
    given = set(re.findall(r"SPARK_(?!HOME)[A-Z_]+", script))
    assert len(given) == 9
    assert [name for name in given if name.encode() not in constants] == []


def test_spark_reckons_as_the_embedded_one_does(tmp_path):
    from clickstream_assets.local.stack.ports import Door
    from clickstream_assets.local.stack.server import Folders

    lines = (K8S / "components" / "spark-connect" / "spark-defaults.conf").read_text().splitlines()
    there = dict(line.split(None, 1) for line in lines if line and not line.startswith("#"))
    here = configuration(Folders.of(tmp_path, "spark"), 15002, Path("/opt/spark/python"), Door())
    own = {"spark.sql.warehouse.dir", "spark.driver.bindAddress", "spark.app.name"}
    for name in (here.keys() & there.keys()) - own:
        assert here[name] == there[name], name
    missing = {
        "spark.connect.grpc.binding.address",
        "spark.driver.host",
        "spark.local.dir",
    }  # by default, by argument, /tmp
    assert here.keys() - there.keys() == missing


def test_the_image_is_made_of_what_is_there():
    from clickstream_assets.local.stack.java_servers import server_environment
    from clickstream_assets.local.stack.products import GEOIP_FILE, PRODUCTS

    dockerfile = (ROOT / "Dockerfile").read_text()
    ignored = (ROOT / ".dockerignore").read_text().split()
    for sources in re.findall(r"^COPY (?!--)(.+) \S+$", dockerfile, re.M):
        for source in sources.split():
            assert (ROOT / source).exists()
            assert f"!{source}" in ignored
    folders = set(re.findall(r"/opt/clickstream/([\w.-]+)", dockerfile))
    assert folders == {product.folder for product in PRODUCTS}
    assert GEOIP_FILE in dockerfile
    stages = re.findall(r"^FROM (\S+)(?: AS (\w+))?$", dockerfile, re.M)
    made = {name for _, name in stages}
    assert set(re.findall(r"--from=(\w+)", dockerfile)) <= made
    assert {source for source, _ in stages} - made == {"${PYTHON_IMAGE}", "scratch"}
    assert "--no-cache --constraint requirements.lock " in dockerfile
    (database,) = re.findall(r"^COPY --from=geoip \S+ (\S+)$", dockerfile, re.M)
    assert re.findall(r"CLICKSTREAM_GEOIP_DATABASE=(\S+)", dockerfile) == [database]
    assert "SPARK_HOME=/opt/venv/lib/python3.11/site-packages/pyspark " in dockerfile
    assert f" MALLOC_ARENA_MAX={server_environment()['MALLOC_ARENA_MAX']}\n" in dockerfile  # as the embedded servers


def test_images_of_others_are_named_by_digest():
    (python,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", (ROOT / "Dockerfile").read_text(), re.M)
    files = (ROOT / "compose.yaml", *K8S.rglob("*.yaml"))
    images = {image for file in files for image in re.findall(r"^\s+image: (\S+)$", file.read_text(), re.M)}
    (postgres,) = (image for image in images if not image.startswith("clickstream-assets"))
    for name, image in (("python:3.11-slim-bookworm", python), (r"postgres:16\.\d+-bookworm", postgres)):
        assert re.fullmatch(name + "@sha256:[0-9a-f]{64}", image)


def test_the_image_is_built_with_a_locked_backend():
    dockerfile = (ROOT / "Dockerfile").read_text()
    (wanted,) = map(Requirement, tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"])
    (words,) = re.findall(r" printf '%s\\n' (.+) > build-constraints.txt ", dockerfile)
    locked = dict(word.split("==") for word in words.split())
    assert locked.keys() == {"setuptools", "wheel"}
    assert wanted.name == "setuptools"
    assert locked["setuptools"] in wanted.specifier
    assert " --build-constraint build-constraints.txt " in dockerfile


def test_every_locked_package_has_hashes_and_covers_what_is_asked_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    wanted = {Requirement(text) for texts in (project["dependencies"], *extras) for text in texts}
    packages = re.findall(r"^(\S+)==([^\s;]+)[^\n]*((?:\n +--hash=sha256:[0-9a-f]{64}(?: \\)?)*)", LOCK, re.M)
    assert all(hashes for _, _, hashes in packages)
    locked = {name: version for name, version, _ in packages}
    for requirement in wanted:
        if requirement.name != project["name"]:
            assert locked[canonicalize_name(requirement.name)] in requirement.specifier


def test_the_image_runs_each_role_as_the_same_user():
    assert re.findall(r"^USER (.+)$", (ROOT / "Dockerfile").read_text(), re.M) == ["10001:10001"]
    groups = re.findall(r"fsGroup: (\d+)", "".join(path.read_text() for path in K8S.rglob("*.yaml")))
    assert set(groups) == {"10001", "999"}  # ours and that of PostgreSQL's image
