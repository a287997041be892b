import subprocess

import pytest

from clickstream_assets.local.stack import java_servers
from clickstream_assets.stores.java import java_home


@pytest.mark.slow
def test_java_reads_the_trust_store_made_of_pythons_certificates(tmp_path):
    store = tmp_path / "trust.p12"
    assert java_servers.write_trust_store(store)
    keytool = java_home() / "bin" / "keytool"
    listed = subprocess.run(
        [keytool, "-list", "-keystore", store, "-storetype", "PKCS12", "-storepass", ""],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    assert listed.count("trustedCertEntry") > 20


def test_a_bundle_named_by_the_environment_is_the_one_used(tmp_path, monkeypatch):
    certificates = list(java_servers.trusted_certificates())
    bundle = tmp_path / "company.pem"
    broken = b"-----BEGIN CERTIFICATE-----\nbm90IG9uZQ==\n-----END CERTIFICATE-----\n"
    bundle.write_bytes(certificates[0] + b"\n" + broken)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    assert list(java_servers.trusted_certificates()) == [certificates[0], broken.strip()]
    assert java_servers.write_trust_store(tmp_path / "trust.p12")  # the broken one is left out


def test_without_any_certificate_java_keeps_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(java_servers, "trusted_certificates", lambda: iter(()))
    assert not java_servers.write_trust_store(tmp_path / "trust.p12")
    assert not (tmp_path / "trust.p12").exists()


def test_proxies_are_spelled_javas_way(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "localhost,.example")
    assert java_servers.proxy_flags() == [
        "-Dhttps.proxyHost=proxy.example",
        "-Dhttps.proxyPort=3128",
        "-Dhttp.nonProxyHosts=localhost|*.example",
    ]


def test_variables_that_would_change_a_servers_flags_are_kept_from_it(monkeypatch):
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx10m")
    monkeypatch.setenv("SPARK_REMOTE", "sc://elsewhere")
    assert not {"JAVA_TOOL_OPTIONS", "SPARK_REMOTE"} & java_servers.server_environment().keys()
