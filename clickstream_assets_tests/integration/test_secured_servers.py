"""The servers of ``clickstream stack up --secure``, by clients that know nothing of this project."""

import contextlib
import os
import shutil
import ssl
import stat
import tempfile
from pathlib import Path

import happybase
import psutil
import pytest
from elastic_transport import TlsError
from elasticsearch import AuthenticationException, Elasticsearch
from happybase.connection import Hbase
from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaTimeoutError
from pyspark.errors.exceptions.connect import SparkConnectGrpcException
from pyspark.sql.connect.session import SparkSession
from thriftpy2.http import THttpClient
from thriftpy2.protocol import TBinaryProtocol
from thriftpy2.protocol.cybin.cybin import ProtocolError
from thriftpy2.thrift import TClient
from thriftpy2.transport import TBufferedTransport, TSSLSocket

from clickstream_assets.local.stack import background
from clickstream_assets.settings import Settings
from clickstream_assets_tests.fakes.certificates import GOOD, Certificates
from clickstream_assets_tests.fakes.tls_terminator import tls_terminator

SERVERS_OF_NOBODY = {"kafka", "hbase", "hbase-thrift", "elasticsearch"}
NOBODY = 65534


@pytest.fixture(scope="module")
def home():
    """A folder that is reached through others that everybody may pass, unlike pytest's."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o711)
    yield folder / "home"
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def started(home):
    """The settings that the secured stack was started by, and those that point at it."""
    ports = {f"stack_{name}_port": 0 for name in ("kafka", "hbase", "elasticsearch", "spark")}
    own = Settings(home=home, **ports)
    try:
        environment = background.up(own, secure=True)
        with pytest.MonkeyPatch.context() as patch:  # only while they are read: other servers are started beside these
            for name, value in environment.items():
                patch.setenv(name, value)
            secured = Settings()
        yield own, secured
    finally:
        background.down(own)


@pytest.fixture(scope="module")
def secured(started):
    return started[1]


@pytest.fixture(autouse=True)
def no_token_of_the_process(monkeypatch):
    """pyspark would show it where a test shows none, and by TLS."""
    monkeypatch.delenv("SPARK_CONNECT_AUTHENTICATE_TOKEN", raising=False)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


def _topics(**options):
    options = {"bootstrap_timeout_ms": 3_000} | options
    with contextlib.closing(KafkaAdminClient(**options)) as client:
        return client.list_topics()


def _scram(secured, **others):
    return {
        "bootstrap_servers": secured.kafka_bootstrap_servers,
        "security_protocol": secured.kafka_protocol,
        "sasl_mechanism": secured.kafka_mechanism,
        "sasl_plain_username": secured.kafka_user,
        "sasl_plain_password": secured.secret("kafka_password"),
        "ssl_cafile": str(secured.kafka_ca),
    } | others


def test_kafka_takes_its_user_by_password(secured):
    assert _topics(**_scram(secured)) == []
    KafkaProducer(**_scram(secured)).close()


def test_kafka_takes_nobody_else(secured, certificates):
    for wrong in (
        _scram(secured, sasl_plain_password="wrong"),
        _scram(secured, ssl_cafile=str(certificates.ca)),
        {"bootstrap_servers": secured.kafka_bootstrap_servers},
        {"bootstrap_servers": secured.kafka_bootstrap_servers, "security_protocol": "SSL"},
    ):
        with pytest.raises(KafkaTimeoutError, match="Unable to bootstrap"):
            _topics(**wrong)


def test_kafka_takes_a_certificate_at_its_other_port(secured, home, certificates):
    lines = (home / "stack" / "security" / "kafka-mutual.env").read_text().splitlines()
    shown = dict(line.removeprefix("export CLICKSTREAM_").split("=", 1) for line in lines)
    at = {"bootstrap_servers": shown["KAFKA_BOOTSTRAP_SERVERS"], "security_protocol": "SSL"}
    at["ssl_cafile"] = shown["KAFKA_CA"]
    assert _topics(**at, ssl_certfile=shown["KAFKA_CERT"]) == []
    for certificate in (None, str(certificates.client)):
        with pytest.raises(KafkaTimeoutError, match="Unable to bootstrap"):
            _topics(**at, ssl_certfile=certificate)


def test_elasticsearch_takes_its_user_by_password_and_nobody_else(secured, certificates):
    user, ca = (secured.elasticsearch_user, secured.secret("elasticsearch_password")), str(secured.elasticsearch_ca)
    assert Elasticsearch(secured.elasticsearch_url, basic_auth=user, ca_certs=ca).cluster.health()["status"] == "green"
    for wrong in ((user[0], "wrong"), None):
        with pytest.raises(AuthenticationException):
            Elasticsearch(secured.elasticsearch_url, basic_auth=wrong, ca_certs=ca).cluster.health()
    with pytest.raises(TlsError):
        Elasticsearch(secured.elasticsearch_url, basic_auth=user, ca_certs=str(certificates.ca)).cluster.health()


def _tables(transport):
    client = TClient(Hbase, TBinaryProtocol(transport, decode_response=False))
    transport.open()
    with contextlib.closing(transport):
        return client.getTableNames()


def _https(secured, ca):
    context = ssl.create_default_context(cafile=str(ca))
    address = f"https://{secured.hbase_host}:{secured.hbase_port}/"
    return TBufferedTransport(THttpClient(address, ssl_context_factory=lambda: context, keep_alive=True))


def test_hbase_thrift_speaks_https_and_nothing_else(secured, certificates):
    assert _tables(_https(secured, secured.hbase_ca)) == []
    with pytest.raises(ssl.SSLCertVerificationError):
        _tables(_https(secured, certificates.ca))
    with pytest.raises(ProtocolError, match="No protocol version header"):
        happybase.Connection(secured.hbase_host, secured.hbase_port, timeout=5_000).tables()


def _rows(remote):
    session = SparkSession(remote)
    try:
        return session.range(3).count()
    finally:
        session.client.close()


def _bearer(address, token):
    """As a header: pyspark shows its own ``token`` through TLS alone, but for the host ``localhost``."""
    return f"{address}/;authorization=Bearer%20{token}"


def test_spark_takes_its_token_by_every_name_of_this_machine(secured):
    address, token = secured.spark_remote, secured.secret("spark_token")
    assert _rows(f"{address}/;token={token}") == 3
    assert _rows(_bearer(address.replace("localhost", "127.0.0.1"), token)) == 3


def test_spark_runs_nothing_for_others(secured):
    address = secured.spark_remote.replace("localhost", "127.0.0.1")
    for wrong in (address, _bearer(address, "wrong")):
        with pytest.raises(SparkConnectGrpcException, match="UNAUTHENTICATED"):
            _rows(wrong)


def test_spark_takes_its_token_through_a_terminator_of_tls(secured, certificates, monkeypatch):
    monkeypatch.setenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", str(certificates.ca))
    behind = int(secured.spark_remote.rpartition(":")[2])
    with tls_terminator(behind, certificates.server[GOOD], protocols=["h2"]) as port:
        assert _rows(f"sc://127.0.0.1:{port}/;use_ssl=true;token={secured.secret('spark_token')}") == 3


def test_hbases_binary_protocol_goes_through_a_terminator_of_tls(servers, certificates):
    context = ssl.create_default_context(cafile=str(certificates.ca))
    context.load_cert_chain(certificates.client)
    with tls_terminator(servers.hbase_port, certificates.server[GOOD], client_ca=certificates.ca) as port:
        socket = TSSLSocket("127.0.0.1", port, socket_timeout=10_000, ssl_context=context)
        assert isinstance(_tables(TBufferedTransport(socket)), list)


def test_no_list_of_processes_shows_a_secret(started, home):
    secrets = [path.read_text().strip() for path in (home / "stack" / "security").iterdir()]
    for row in background.status(started[0]):
        line = " ".join(psutil.Process(row.pid).cmdline())
        assert not [secret for secret in secrets if secret in line], row.server


def test_what_the_servers_write_is_their_owners_alone(secured, home):
    """Root's ``nobody`` may pass what lies above its folders. Inside of its own HBase opens some files to all."""
    folders = {folder for name in ("data", "conf", "tmp") for folder in (home / "stack" / name).iterdir()}
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}
    ways = {home, home / "stack", *(home / "stack" / name for name in ("data", "conf", "tmp"))}
    assert {stat.S_IMODE(way.stat().st_mode) for way in ways} == {0o710 if os.geteuid() == 0 else 0o700}
    others = {path for path in (home / "stack").rglob("*") if "programs" not in path.parts}
    inside = {path for folder in folders for path in (folder, *folder.rglob("*"))}
    assert {path for path in others - inside - ways if path.exists() and path.stat().st_mode & 0o077} == set()


@pytest.mark.skipif(os.geteuid() != 0, reason="for root alone")
def test_servers_of_root_run_as_nobody_without_a_capability(started):
    pids = {row.server: row.pid for row in background.status(started[0])}
    assert pids.keys() >= SERVERS_OF_NOBODY
    for name in SERVERS_OF_NOBODY:
        status = Path(f"/proc/{pids[name]}/status").read_text()
        fields = dict(line.split(":\t") for line in status.splitlines())
        assert set(fields["Uid"].split()) == {str(NOBODY)}, name
        assert {fields[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Amb")} == {"0" * 16}, name
