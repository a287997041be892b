"""Dagster's database has to prove who it is: the settings of production, in a real client, before a real PostgreSQL."""

import os
import re
from unittest.mock import patch

import pytest
import yaml
from dagster import DagsterInstance
from dagster_postgres.utils import DagsterPostgresException

from clickstream_assets_tests.k8s.manifests import K8S, OVERLAYS, values
from clickstream_assets_tests.postgres import postgres
from clickstream_assets_tests.postgres_tls import Authority, behind_tls

PRODUCTION = values(K8S / "overlays" / "production" / "database.env")


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    with postgres(tmp_path_factory.mktemp("database")) as running:
        yield running


@pytest.fixture
def authority(tmp_path):
    return Authority.make(tmp_path, "localhost")


def runs_of(home, database, port, authority, **changed):
    """What Dagster reads of the database at a port, by dagster.yaml as it stands."""
    (home / "dagster.yaml").write_text((K8S / "base" / "dagster.yaml").read_text())
    address = {"DAGSTER_PG_HOST": "localhost", "DAGSTER_PG_PORT": str(port), "DAGSTER_HOME": str(home)}
    own = {**PRODUCTION, "PGSSLROOTCERT": str(authority.certificate)}
    with (
        patch.dict(os.environ, {**database.environment, **address, **own, **changed}),
        DagsterInstance.get() as instance,
    ):
        return instance.get_runs()


@pytest.mark.slow
def test_the_database_that_the_authority_knows_is_read(tmp_path, database, authority):
    with behind_tls(database.port, authority.server) as port:
        assert runs_of(tmp_path, database, port, authority) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("another authority", "certificate verify failed"),
        ("another host's certificate", 'does not match host name "localhost"'),
        ("no TLS", "server does not support SSL"),
        ("no file of the authority", "root certificate file .* does not exist"),
    ],
)
def test_any_other_gets_no_password(tmp_path, database, authority, fault, says):
    host = "other" if fault == "another host's certificate" else "localhost"
    (tmp_path / "other").mkdir()
    other = Authority.make(tmp_path / "other", host)
    shown = other.server if fault.startswith("another") else authority.server
    trusted = other if host == "other" else authority
    changed = {"PGSSLROOTCERT": "/nowhere"} if fault == "no file of the authority" else {}
    with behind_tls(database.port, shown) as port, pytest.raises(DagsterPostgresException) as refused:
        runs_of(tmp_path, database, database.port if fault == "no TLS" else port, trusted, **changed)
    assert re.search(says, str(refused.value.__cause__))


def test_whoever_reads_the_database_in_production_verifies_it():
    assert PRODUCTION == {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/opt/dagster/postgres/ca.crt"}
    kustomization = yaml.safe_load((K8S / "overlays" / "production" / "kustomization.yaml").read_text())
    merged = {"name": "dagster-database", "behavior": "merge", "envs": ["database.env"]}
    assert merged in kustomization["configMapGenerator"]
    assert not [
        name for name in OVERLAYS if name != "production" and (K8S / "overlays" / name / "database.env").exists()
    ]
