"""``make k8s-check``: what a real Kubernetes API server says of k8s/.

Each overlay is applied, server-side and with strict fields, to a namespace of its own that enforces the *restricted*
Pod Security Standard; the pods of each workload, and of a run that dagster-k8s launches, are made. No controller is
waited for: an API server with nothing behind it will do. The namespaces are deleted at the end.
"""

import copy
import json
import os
import shutil
import ssl
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit
from uuid import uuid4

import kubernetes
import urllib3
import yaml
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException, incluster_config
from kubernetes.config.incluster_config import InClusterConfigLoader
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import ResourceNotFoundError

from clickstream_assets.local.stack.ports import HOST, free_port
from clickstream_assets_tests.k8s.as_processes import config_map, container, environment, run, running
from clickstream_assets_tests.k8s.manifests import OVERLAYS, WORKLOADS, Manifest, lapses, pod_of, render
from clickstream_assets_tests.postgres import PASSWORD, postgres
from clickstream_assets_tests.postgres_tls import Authority, behind_tls

NO_CLUSTER = """\
KUBECONFIG names no cluster that can be asked ({}). Any will do, for it is only asked and nothing has to run: set \
KUBECONFIG to the file of one where you may make namespaces; `kind create cluster` makes one where Docker is."""
NO_KUSTOMIZE = """\
kustomize 5 is not on the PATH: install it, as with
  go install sigs.k8s.io/kustomize/kustomize/v5@v5.7.1"""

LAUNCHING = {
    "jobs.batch": {"create", "list", "delete"},
    "jobs.batch/status": {"get"},
    "pods": {"list", "delete"},
    "pods/log": {"get"},
    "events": {"list"},
}
ENDING = {"jobs.batch": {"delete"}, "pods": {"list", "delete"}}
EXECUTORS = {"pods": {"create", "get", "list", "watch", "delete", "deletecollection"}}
EVERYWHERE = {
    "daemon": LAUNCHING,
    "webserver": ENDING,
    "webserver-read-only": {},
    "clickstream-page": {},
    "run": {},
    "default": {},
}
RIGHTS = {
    "demo": EVERYWHERE,
    "production": {**EVERYWHERE, "spark-connect": EXECUTORS},
}
"""What each service account may do in its namespace; all else must be refused."""

RESOURCES = (
    *("jobs.batch", "jobs.batch/status", "cronjobs.batch", "deployments.apps", "statefulsets.apps"),
    *("pods", "pods/log", "pods/exec", "events", "secrets", "configmaps", "services", "serviceaccounts"),
    *("persistentvolumeclaims", "roles.rbac.authorization.k8s.io", "rolebindings.rbac.authorization.k8s.io"),
)
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")


@dataclass
class Found:
    """What was seen."""

    applied: int = 0
    admitted: int = 0
    held: int = 0
    refused: list[str] = field(default_factory=list)

    def rule(self, holds: object, rule: str) -> None:
        """Count a rule that holds, or note that it does not."""
        if holds:
            self.held += 1
        else:
            self.refused.append(f"does not hold: {rule}")


class Cluster:
    """One namespace, asked as whoever KUBECONFIG names."""

    def __init__(self, client: kubernetes.client.ApiClient, namespace: str, found: Found) -> None:
        self.client, self.namespace, self.found = client, namespace, found
        self.core = kubernetes.client.CoreV1Api(client)
        self.batch = kubernetes.client.BatchV1Api(client)
        self._dynamic = DynamicClient(client)
        self.last_refusal = ""

    def apply(self, manifest: Manifest) -> None:
        """Server-side, an unknown or doubled field being an error; where there are controllers, nothing is started."""
        manifest = copy.deepcopy(manifest)
        if manifest["kind"] in ("Deployment", "StatefulSet"):
            manifest["spec"]["replicas"] = 0
        elif manifest["kind"] in ("Job", "CronJob"):
            manifest["spec"]["suspend"] = True
        resource = self._dynamic.resources.get(api_version=manifest["apiVersion"], kind=manifest["kind"])
        self._dynamic.server_side_apply(
            resource,
            body=manifest,
            namespace=manifest["metadata"].get("namespace"),
            field_manager="k8s-check",
            query_params=[("fieldValidation", "Strict")],
        )

    def make_pod(self, template: Manifest, what: str) -> bool:
        """Whether a pod of a template is admitted."""
        pod = {"apiVersion": "v1", "kind": "Pod", **copy.deepcopy(template)}
        pod["metadata"] = {"labels": template["metadata"].get("labels", {}), "generateName": f"{what}-"}
        pod["spec"]["schedulingGates"] = [{"name": "clickstream/check"}]  # it is not to run
        try:
            self.core.create_namespaced_pod(self.namespace, pod, field_validation="Strict")
        except ApiException as error:
            self.last_refusal = _words(error)
            return False
        return True

    def may(self, account: str, verb: str, resource: str, namespace: str) -> bool:
        """Whether the API server would let a service account of this namespace do something."""
        name, _, subresource = resource.partition("/")
        name, _, group = name.partition(".")
        user = f"system:serviceaccount:{self.namespace}:{account}"
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{self.namespace}", "system:authenticated"]
        asked = {"namespace": namespace, "verb": verb, "group": group, "resource": name, "subresource": subresource}
        review = {"spec": {"user": user, "groups": groups, "resourceAttributes": asked}}
        return self._review(review)

    def _review(self, review: Manifest) -> bool:
        api = kubernetes.client.AuthorizationV1Api(self.client)
        return bool(api.create_subject_access_review(review).status.allowed)

    def token(self, account: str) -> str:
        """A token of a service account, as its pods get one."""
        request = {"spec": {"expirationSeconds": 600}}
        return self.core.create_namespaced_service_account_token(account, self.namespace, request).status.token


def check(overlay: str, client: kubernetes.client.ApiClient, found: Found) -> None:
    """Apply an overlay to a new namespace and look at all of it."""
    namespace = f"clickstream-check-{overlay}-{uuid4().hex[:8]}"
    manifests = render(overlay, namespace)
    cluster = Cluster(client, namespace, found)
    with ExitStack() as stack:
        for manifest in manifests:
            what = f"{overlay}: {manifest['kind']} {manifest['metadata']['name']}"
            if _taken(cluster, manifest, what) and manifest["kind"] == "Namespace":
                stack.callback(cluster.core.delete_namespace, namespace)
        for manifest in manifests:
            if manifest["kind"] in WORKLOADS:
                what = f"{overlay}: a pod of {manifest['kind']} {manifest['metadata']['name']}"
                _admit(cluster, pod_of(manifest), manifest["metadata"]["name"], what)
        for name, executor in _executors(manifests):
            _admit(cluster, executor, "executor", f"{overlay}: the pod template of {name}")
        the_namespace_is_strict(cluster, manifests)
        accounts = {m["metadata"]["name"] for m in manifests if m["kind"] == "ServiceAccount"} | {"default"}
        rights_are_the_least(cluster, {name: rights for name, rights in RIGHTS[overlay].items() if name in accounts})
        a_run_is_a_job(cluster, manifests)


def _taken(cluster: Cluster, manifest: Manifest, what: str) -> bool:
    try:
        cluster.apply(manifest)
    except ApiException as error:
        cluster.found.refused.append(f"{what}: {_words(error)}")
        return False
    except ResourceNotFoundError:
        words = f"this API server knows no {manifest['kind']} of {manifest['apiVersion']}"
        cluster.found.refused.append(f"{what}: {words}")
        return False
    cluster.found.applied += 1
    return True


def _admit(cluster: Cluster, template: Manifest, name: str, what: str) -> None:
    cluster.found.rule(not lapses(template), f"{what} lacks nothing: {lapses(template)}")
    if cluster.make_pod(template, name):
        cluster.found.admitted += 1
    else:
        cluster.found.refused.append(f"{what}: {cluster.last_refusal}")


def _executors(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Pod templates in ConfigMaps, with the image that Spark would add."""
    for manifest in manifests:
        if manifest["kind"] == "ConfigMap" and "executor.yaml" in manifest["data"]:
            executor = yaml.safe_load(manifest["data"]["executor.yaml"])
            executor["spec"]["containers"][0]["image"] = "clickstream-assets"
            yield manifest["metadata"]["name"], executor


def the_namespace_is_strict(cluster: Cluster, manifests: list[Manifest]) -> None:
    """What would make a pod powerful is refused, and so is a field that does not exist."""
    webserver = next(m for m in manifests if m["kind"] == "Deployment" and m["metadata"]["name"] == "webserver")

    def spoilt(*path: str | int, value: object) -> Manifest:
        template = copy.deepcopy(pod_of(webserver))
        *parents, last = path
        place = template["spec"]
        for key in parents:
            place = place[key]
        place[last] = value
        return template

    own = ("containers", 0, "securityContext")
    for path, value in (
        (("hostNetwork",), True),
        (("securityContext",), {}),
        (own, {"privileged": True}),
        ((*own, "runAsUser"), 0),
        ((*own, "allowPrivilegeEscalation"), True),
        ((*own, "capabilities"), {}),
        (("volumes", 0), {"name": "home", "hostPath": {"path": "/"}}),
    ):
        words = f"a pod with {'.'.join(map(str, path))}={value} is refused"
        refused = not cluster.make_pod(spoilt(*path, value=value), "bad")
        by_policy = "PodSecurity" in cluster.last_refusal or "cluster policy" in cluster.last_refusal
        cluster.found.rule(refused and by_policy, f"{words} ({cluster.last_refusal})")
    misspelt = not cluster.make_pod(spoilt("hostNetwrok", value=False), "bad")
    cluster.found.rule(misspelt and "unknown field" in cluster.last_refusal, "a misspelt field is refused")


def rights_are_the_least(cluster: Cluster, rights: dict[str, dict[str, set[str]]]) -> None:
    """Each service account may do what it is for, and nothing else; in another namespace nothing at all."""
    for account, allowed in rights.items():
        for resource in RESOURCES:
            for verb in VERBS:
                wanted = verb in allowed.get(resource, ())
                words = f"{account} {'may' if wanted else 'may not'} {verb} {resource}"
                cluster.found.rule(cluster.may(account, verb, resource, cluster.namespace) == wanted, words)
                if wanted:
                    elsewhere = cluster.may(account, verb, resource, "default")
                    cluster.found.rule(not elsewhere, f"{account} may not {verb} {resource} in another namespace")


def a_run_is_a_job(cluster: Cluster, manifests: list[Manifest]) -> None:
    """A run of ours, launched as the daemon launches it, with its rights and its dagster.yaml, and ended."""
    from dagster import DagsterInstance
    from dagster._cli.job import _create_run
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import GrpcServerTarget

    found, namespace = cluster.found, cluster.namespace
    daemon, code_server = container(manifests, "daemon"), container(manifests, "code-server")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="k8s-check-")))
        database = stack.enter_context(postgres(folder))
        home = folder / "home"
        home.mkdir()
        (home / "dagster.yaml").write_text(config_map(manifests, "dagster-instance")["dagster.yaml"])
        authority = Authority.make(folder, "localhost")  # production lets nobody read a database without
        door = stack.enter_context(behind_tls(database.port, authority.server))
        address = {"DAGSTER_PG_HOST": "localhost", "DAGSTER_PG_PORT": str(door)}
        known = {"PGSSLROOTCERT": str(authority.certificate)}
        own = {"DAGSTER_HOME": str(home), **database.environment, **address, **known}
        stack.enter_context(patch.dict(os.environ, {**environment(daemon, manifests, namespace), **own}))
        stack.enter_context(_as_in_a_pod(cluster, "daemon", folder))
        port = free_port(set())
        words, env = {"0.0.0.0": HOST, "4000": str(port)}, {**environment(code_server, manifests, namespace), **own}
        health = ["dagster", "api", "grpc-health-check", "-p", "4000"]
        up = partial(_succeeds, health, env, words)
        stack.enter_context(running(code_server["args"], env, words, up, folder / "code-server.log"))
        instance = stack.enter_context(DagsterInstance.get())
        target = GrpcServerTarget(host=HOST, port=port, socket=None, location_name="clickstream_assets")
        process = stack.enter_context(WorkspaceProcessContext(instance, target))
        workspace = process.create_request_context()
        location = workspace.get_code_location("clickstream_assets")
        (repository,) = location.get_repositories().values()
        job = repository.get_full_job("clickstream_checks")
        hostile = {"dagster-k8s/config": json.dumps({"pod_spec_config": {"service_account_name": "daemon"}})}
        refused = _create_run(instance, location, repository, job, {}, hostile, None, None)
        with suppress(Exception):  # dagster-k8s raises nothing narrower
            instance.launch_run(refused.run_id, workspace)
        jobs = {made.metadata.name for made in cluster.batch.list_namespaced_job(namespace).items}
        found.rule(f"dagster-run-{refused.run_id}" not in jobs, "a run with a hostile tag has no Job")
        launched = _create_run(instance, location, repository, job, {}, None, None, None)
        instance.launch_run(launched.run_id, workspace)

        made = cluster.batch.read_namespaced_job(f"dagster-run-{launched.run_id}", namespace)
        plain = cluster.client.sanitize_for_serialization(made)
        template = plain["spec"]["template"]
        (made_of,) = template["spec"]["containers"]
        _admit(cluster, template, "run", "a pod of a run's Job")
        found.rule(made_of["image"] == code_server["image"], "a run has the code server's image")
        config = yaml.safe_load((home / "dagster.yaml").read_text())["run_launcher"]["config"]
        found.rule(made_of["resources"] == config["resources"], "a run has the resources of dagster.yaml")
        names = {source["configMapRef"]["name"] for source in made_of["envFrom"] if "configMapRef" in source}
        there = {item.metadata.name for item in cluster.core.list_namespaced_config_map(namespace).items}
        found.rule(len(names) == 2 and names <= there, f"a run's ConfigMaps {names} exist")
        env = {entry["name"] for entry in made_of["env"]}
        needed = {"DAGSTER_HOME", "DAGSTER_PG_PASSWORD"}
        found.rule(env >= needed, f"a run has {needed - env} in its environment")
        last = {"secretRef": {"name": "clickstream-connections", "optional": True}}
        found.rule(made_of["envFrom"][-1] == last, "a run has the secrets of its connections, and may do without")
        found.rule(PASSWORD not in json.dumps(plain), "no password is written into a run's Job")
        found.rule(template["spec"].get("automountServiceAccountToken") is False, "a run has no token")
        found.rule(template["spec"]["serviceAccountName"] == "run", "a run has the service account without rights")
        found.rule(made_of["args"][:3] == ["dagster", "api", "execute_run"], "a run's Job executes the run")
        health = instance.run_launcher.check_run_worker_health(instance.get_run_by_id(launched.run_id))
        found.rule("could not be found" not in str(health.msg), f"the daemon sees how the Job is: {health}")

        stack.enter_context(_as_in_a_pod(cluster, "webserver", folder))
        webserver = stack.enter_context(DagsterInstance.from_ref(instance.get_ref()))
        ended = webserver.run_coordinator.cancel_run(launched.run_id)
        found.rule(ended and _is_going(cluster, made.metadata.name), "terminating a run deletes its Job")


def _is_going(cluster: Cluster, job: str) -> bool:
    try:
        return cluster.batch.read_namespaced_job(job, cluster.namespace).metadata.deletion_timestamp is not None
    except ApiException as error:
        return error.status == 404


@contextmanager
def _as_in_a_pod(cluster: Cluster, account: str, folder: Path) -> Iterator[None]:
    """Let ``load_incluster_config`` find what a pod of the service account has."""
    at = urlsplit(cluster.client.configuration.host)
    token, authority = folder / f"{account}.token", folder / f"{account}.crt"
    token.write_text(cluster.token(account))
    known = cluster.client.configuration.ssl_ca_cert
    port = at.port or 443
    authority.write_text(Path(known).read_text() if known else ssl.get_server_certificate((at.hostname, port)))
    load = InClusterConfigLoader._set_config

    def as_strict_as_kubeconfig(loader: InClusterConfigLoader, configuration: kubernetes.client.Configuration) -> None:
        load(loader, configuration)
        configuration.verify_ssl = cluster.client.configuration.verify_ssl

    with (
        patch.object(incluster_config, "SERVICE_TOKEN_FILENAME", str(token)),
        patch.object(incluster_config, "SERVICE_CERT_FILENAME", str(authority)),
        patch.object(InClusterConfigLoader, "_set_config", as_strict_as_kubeconfig),
        patch.dict(os.environ, {"KUBERNETES_SERVICE_HOST": at.hostname, "KUBERNETES_SERVICE_PORT": str(port)}),
    ):
        yield


def _succeeds(*command: Any) -> bool:
    return run(*command).returncode == 0


def _words(error: ApiException) -> str:
    try:
        return json.loads(error.body)["message"]
    except (TypeError, ValueError, KeyError):
        return str(error)


def connect(file: str) -> kubernetes.client.ApiClient:
    """A client for the cluster that a kubeconfig names. Raises SystemExit in a sentence if it is none, or away."""
    try:
        if not file:
            raise ConfigException("it is not set")
        client = kubernetes.config.new_client_from_config(file)
        asked = {"spec": {"resourceAttributes": {"verb": "create", "resource": "namespaces"}}}
        review = kubernetes.client.AuthorizationV1Api(client).create_self_subject_access_review(asked)
        if not review.status.allowed:
            raise ConfigException("you may not make namespaces there")
    except ApiException as error:
        raise SystemExit(NO_CLUSTER.format(f"{error.status} {error.reason}")) from None
    # A file that is no kubeconfig fails in whatever way the client happens to stumble over it.
    except (ConfigException, urllib3.exceptions.HTTPError, OSError, yaml.YAMLError) as error:
        raise SystemExit(NO_CLUSTER.format(" ".join(str(error).split()))) from None
    except (AttributeError, KeyError, TypeError, ValueError):
        raise SystemExit(NO_CLUSTER.format(f"{file!r} is no kubeconfig")) from None
    return client


def main() -> int:
    """Check every overlay; print what was seen. The exit code."""
    if not shutil.which("kustomize"):
        raise SystemExit(NO_KUSTOMIZE)
    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # KUBECONFIG says how strict to be
    client = connect(os.environ.get("KUBECONFIG", ""))  # not the file in the home folder: nobody may mean that one
    found = Found()
    for overlay in OVERLAYS:
        check(overlay, client, found)
    for words in found.refused:
        print(words, file=sys.stderr)
    print(
        f"objects applied: {found.applied}, pods admitted: {found.admitted}, rules held: {found.held}, "
        f"refused: {len(found.refused)}"
    )
    return 1 if found.refused else 0


if __name__ == "__main__":
    sys.exit(main())
