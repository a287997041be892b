import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from clickstream_assets.local.stack import elasticsearch_server as elasticsearch
from clickstream_assets.local.stack import hbase_server as hbase
from clickstream_assets.local.stack.addresses import environment, exports, mutual_environment
from clickstream_assets.local.stack.downloads import Downloads
from clickstream_assets.local.stack.kafka_server import SecureListeners
from clickstream_assets.local.stack.ports import Door
from clickstream_assets.local.stack.security import Security, new_folder
from clickstream_assets.settings import Settings

PORTS = {"kafka": 1, "hbase-thrift": 2, "elasticsearch": 3, "spark": 4}
HERE = Downloads(*map(Path, ("kafka", "hbase", "elasticsearch", "geoip")))


@pytest.fixture
def security(tmp_path):
    new_folder(tmp_path / "security")
    return Security(tmp_path / "security", "stack.example")


@pytest.fixture
def conf(tmp_path):
    (tmp_path / "conf").mkdir()
    return tmp_path / "conf"


def test_each_start_has_passwords_of_its_own_in_files_of_their_owner(security, tmp_path):
    before = security.kafka_password_file.read_text()
    stale = security.folder / "stale"
    stale.touch()
    new_folder(security.folder)
    after = Security(security.folder)
    assert after.kafka_password_file.read_text() == after.kafka_password != before
    assert len(after.elasticsearch_password) >= 24
    assert not stale.exists()
    assert stat.S_IMODE(security.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in security.folder.iterdir()} == {0o600}


def test_the_certificate_is_for_this_machine_and_for_the_name_that_others_use(security, conf):
    key, certificate = security.write_key_and_certificate(conf)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    names = x509.load_pem_x509_certificate(certificate.read_bytes()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["localhost", "stack.example"]
    assert [str(address) for address in names.value.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_nobody_can_have_another_certificate_issued(security):
    """The authority's own key is in no file."""
    assert [path.name for path in security.folder.iterdir() if b"PRIVATE KEY" in path.read_bytes()] == ["client.pem"]


def test_java_gets_keys_in_forms_that_it_reads(security, conf):
    assert security.write_pem_store(conf).read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")  # PKCS8
    store, password = security.write_key_store(conf)
    assert pkcs12.load_pkcs12(store.read_bytes(), password.encode()).key is not None


def test_kafka_asks_everybody_but_itself(security, conf):
    properties = SecureListeners(security, internal=5, mutual=6).properties(conf, 1, 9, Door.named("stack.example"))
    assert properties["listeners"] == (
        "SASL_SSL://0.0.0.0:1,MUTUAL://0.0.0.0:6,INTERNAL://127.0.0.1:5,CONTROLLER://127.0.0.1:9"
    )
    assert properties["advertised.listeners"] == (
        "SASL_SSL://stack.example:1,MUTUAL://stack.example:6,INTERNAL://127.0.0.1:5"
    )
    assert properties["inter.broker.listener.name"] == "INTERNAL"
    assert properties["listener.name.mutual.ssl.client.auth"] == "required"
    assert security.kafka_password not in str(properties)


def test_elasticsearch_knows_its_user_by_a_digest_alone(security, conf):
    settings = elasticsearch.secured(security, conf)
    assert settings["xpack.security.enabled"] == settings["xpack.security.http.ssl.enabled"] == "true"
    assert (conf / "users").read_text().startswith("clickstream:{PBKDF2}10000$")
    assert security.elasticsearch_password not in (conf / "users").read_text() + str(settings)


def test_hbase_thrift_encrypts_over_http_alone(security, conf):
    site = hbase.secured(security, conf)
    assert site["hbase.regionserver.thrift.http"] == site["hbase.thrift.ssl.enabled"] == "true"


def _settings(monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Settings()


def test_the_variables_of_a_secured_stack_are_settings_that_sign_in(security, monkeypatch, tmp_path):
    token_file = tmp_path / "token"
    token_file.write_text("a token")
    shown = environment(PORTS, 7, HERE, token_file, security)
    found = _settings(monkeypatch, shown)
    assert (found.kafka_protocol, found.hbase_protocol) == ("SASL_SSL", "https")
    assert found.elasticsearch_url == "https://127.0.0.1:3"
    assert found.spark_remote == "sc://localhost:4"  # by this name alone does pyspark show a token
    assert [found.secret(name) for name in ("kafka_password", "elasticsearch_password", "spark_token")] == [
        security.kafka_password,
        security.elasticsearch_password,
        "a token",
    ]
    assert not {security.kafka_password, security.elasticsearch_password, "a token"} & set(shown.values())


def test_the_variables_of_a_stack_undo_those_of_a_secured_one_before(security, monkeypatch, tmp_path):
    secured = environment(PORTS, 7, HERE, tmp_path / "token", security)
    plain = environment(PORTS, 7, HERE, tmp_path / "token", None)
    monkeypatch.setenv("CLICKSTREAM_KAFKA_PASSWORD", "of another server")
    found = _settings(monkeypatch, secured | plain)
    assert (found.kafka_protocol, found.kafka_user, found.kafka_ca) == ("PLAINTEXT", "", None)
    assert found.secret("kafka_password") == found.secret("elasticsearch_password") == ""
    assert (found.hbase_protocol, found.elasticsearch_url) == ("binary", "http://127.0.0.1:3")


def test_kafkas_other_port_takes_a_certificate_and_no_user(security, monkeypatch, tmp_path):
    secured = environment(PORTS, 7, HERE, tmp_path / "token", security)
    found = _settings(monkeypatch, secured | mutual_environment(6, security))
    assert (found.kafka_protocol, found.kafka_user, found.kafka_bootstrap_servers) == ("SSL", "", "127.0.0.1:6")
    assert found.kafka_cert == security.client_certificate


def test_lines_for_a_shell_are_quoted():
    assert exports({"A": "", "B": "it's", "C": "1"}) == ["export A=''", "export B='it'\"'\"'s'", "export C=1"]
