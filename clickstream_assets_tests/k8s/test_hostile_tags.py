"""What a run's tags may choose of its pod: asked of dagster-k8s itself, with dagster.yaml as it stands."""

import json
import os
from unittest.mock import create_autospec, patch

import dagster_k8s.client
import dagster_k8s.launcher
import kubernetes
import pytest
import yaml
from dagster import DagsterInstance, DagsterRunStatus
from dagster._cli.job import _create_run
from dagster._core.test_utils import in_process_test_workspace
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from clickstream_assets_tests.k8s import tagged_jobs
from clickstream_assets_tests.k8s.manifests import K8S

pytestmark = pytest.mark.slow

TAG = "dagster-k8s/config"
LAUNCHER = yaml.safe_load((K8S / "base" / "dagster.yaml").read_text())["run_launcher"]
IMAGE = "clickstream-assets:0.1.0"
NAMES = {
    "DAGSTER_K8S_NAMESPACE": "clickstream",
    "DAGSTER_K8S_INSTANCE_CONFIG_MAP": "dagster-instance",
    "DAGSTER_K8S_SETTINGS_CONFIG_MAP": "clickstream-settings",
    "DAGSTER_K8S_DATABASE_CONFIG_MAP": "dagster-database",
}


class Launched:
    """Runs that are launched as the daemon does; Jobs come to a client without a cluster."""

    def __init__(self, instance, workspace, batch):
        self.instance, self._workspace, self._batch = instance, workspace, batch
        (self._location,) = workspace.code_locations
        (self._repository,) = self._location.get_repositories().values()

    def run(self, job="plain", **tags):
        """Its id. Raises what the launcher does."""
        found = self._repository.get_full_job(job)
        made = _create_run(self.instance, self._location, self._repository, found, {}, tags, None, None)
        self.instance.launch_run(made.run_id, self._workspace)
        return made.run_id

    @property
    def jobs(self):
        """The Jobs that were made."""
        return [call.kwargs["body"] for call in self._batch.create_namespaced_job.call_args_list]


@pytest.fixture
def launched(tmp_path):
    batch, core = (
        create_autospec(api, instance=True) for api in (kubernetes.client.BatchV1Api, kubernetes.client.CoreV1Api)
    )
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump({"run_launcher": LAUNCHER, "telemetry": {"enabled": False}}))
    origin = LoadableTargetOrigin(python_file=tagged_jobs.__file__)
    with (
        patch.dict(os.environ, NAMES),
        patch.object(dagster_k8s.launcher, "load_kubernetes_config"),
        patch.object(dagster_k8s.client.kubernetes.client, "BatchV1Api", return_value=batch),
        patch.object(dagster_k8s.client.kubernetes.client, "CoreV1Api", return_value=core),
        DagsterInstance.from_config(str(tmp_path)) as instance,
        in_process_test_workspace(instance, origin, container_image=IMAGE) as workspace,
    ):
        yield Launched(instance, workspace, batch)


HOSTILE = {
    "image": {"container_config": {"image": "evil.example/miner"}},
    "command": {"container_config": {"command": ["sh", "-c", "env"]}},
    "arguments": {"container_config": {"args": ["sh", "-c", "env"]}},
    "a Secret as environment": {"container_config": {"env_from": [{"secret_ref": {"name": "clickstream-secrets"}}]}},
    "the same, spelled otherwise": {"container_config": {"envFrom": [{"secretRef": {"name": "clickstream-secrets"}}]}},
    "a variable": {"container_config": {"env": [{"name": "CLICKSTREAM_ELASTICSEARCH_URL", "value": "http://evil"}]}},
    "a variable of a Secret": {
        "container_config": {
            "env": [{"name": "X", "value_from": {"secret_key_ref": {"name": "clickstream-secrets", "key": "k"}}}]
        }
    },
    "security of the container": {"container_config": {"security_context": {"privileged": True}}},
    "a mount": {"container_config": {"volume_mounts": [{"name": "home", "mount_path": "/etc"}]}},
    "a hook": {"container_config": {"lifecycle": {"post_start": {"exec": {"command": ["sh"]}}}}},
    "a volume of the host": {"pod_spec_config": {"volumes": [{"name": "h", "host_path": {"path": "/"}}]}},
    "a volume of a Secret": {"pod_spec_config": {"volumes": [{"name": "s", "secret": {"secret_name": "s"}}]}},
    "a service account": {"pod_spec_config": {"service_account_name": "daemon"}},
    "the same by its old name": {"pod_spec_config": {"serviceAccount": "daemon"}},
    "a token": {"pod_spec_config": {"automount_service_account_token": True}},
    "a second container": {"pod_spec_config": {"containers": [{"name": "x", "image": "evil.example/miner"}]}},
    "a first container": {"pod_spec_config": {"init_containers": [{"name": "x", "image": "evil.example/miner"}]}},
    "the host's network": {"pod_spec_config": {"host_network": True}},
    "a node": {"pod_spec_config": {"node_name": "master"}},
    "labels, which policies go by": {
        "pod_template_spec_metadata": {"labels": {"app.kubernetes.io/component": "spark-connect"}}
    },
    "a namespace": {"job_metadata": {"namespace": "kube-system"}},
    "the Job": {"job_config": {"spec": {"template": {"spec": {"host_pid": True}}}}},
    "how often": {"job_spec_config": {"backoff_limit": 1000}},
    "something among what is allowed": {
        "container_config": {"resources": {"limits": {"memory": "3Gi"}}, "image": "evil.example/miner"}
    },
    "instead of what dagster.yaml says": {
        "merge_behavior": "SHALLOW",
        "container_config": {"security_context": {}},
    },
}


@pytest.mark.parametrize("asked", HOSTILE.values(), ids=HOSTILE)
def test_a_run_whose_tags_choose_its_pod_is_refused_before_it_has_a_job(launched, asked):
    with pytest.raises(Exception, match="violated the allowed list"):
        launched.run(**{TAG: json.dumps(asked)})
    assert launched.jobs == []
    (run,) = launched.instance.get_runs()
    assert run.status == DagsterRunStatus.FAILURE
    said = [entry.message for entry in launched.instance.all_logs(run.run_id)]
    assert any("violated the allowed list" in message for message in said)  # on the run's page


def test_a_job_whose_code_chooses_its_pod_is_refused_too(launched):
    with pytest.raises(Exception, match=r"violated the allowed list: container_config\.image"):
        launched.run("with_an_image")
    assert launched.jobs == []


def test_a_run_without_such_tags_has_the_pod_of_dagster_yaml(launched):
    launched.run(note="mine")
    (job,) = launched.jobs
    pod = job.spec.template.spec
    (container,) = pod.containers
    assert (pod.service_account_name, pod.automount_service_account_token) == ("run", False)
    assert container.image == IMAGE
    assert container.args[:3] == ["dagster", "api", "execute_run"]
    assert container.resources.to_dict()["requests"] == LAUNCHER["config"]["resources"]["requests"]
    sources = [source.config_map_ref or source.secret_ref for source in container.env_from]
    assert [source.name for source in sources] == [
        "clickstream-settings",
        "dagster-database",
        "clickstream-connections",
    ]
    assert sources[-1].optional  # and the last wins


@pytest.mark.parametrize("how", ["tag", "old tag", "job"])
def test_a_run_may_ask_for_more_memory(launched, how):
    wanted = {"requests": {"memory": "3Gi"}}
    if how == "tag":
        launched.run(**{TAG: json.dumps({"container_config": {"resources": wanted}})})
    elif how == "old tag":
        launched.run(**{"dagster-k8s/resource_requirements": json.dumps(wanted)})
    else:
        launched.run("large")
    (job,) = launched.jobs
    (container,) = job.spec.template.spec.containers
    assert container.resources.to_dict()["requests"]["memory"] == "3Gi"
    assert container.security_context.read_only_root_filesystem is True
