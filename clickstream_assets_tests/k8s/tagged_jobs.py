"""Jobs that ask for something of their pods by tags in their code."""

from dagster import Definitions, job, op


@op
def nothing() -> None: ...


@job
def plain() -> None:
    nothing()


@job(tags={"dagster-k8s/config": {"container_config": {"image": "evil.example/miner"}}})
def with_an_image() -> None:
    nothing()


@job(tags={"dagster-k8s/config": {"container_config": {"resources": {"requests": {"memory": "3Gi"}}}}})
def large() -> None:
    nothing()


defs = Definitions(jobs=[plain, with_an_image, large])
