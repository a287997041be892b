"""Secrets go to the servers of the settings alone, whatever address a run's config names."""

import pytest

from clickstream_assets.settings import settings
from clickstream_assets.stores.elasticsearch.client import elasticsearch_client
from clickstream_assets.stores.kafka.signing_in import client_options, require_sign_in
from clickstream_assets.stores.sign_in import SignInRefused
from clickstream_assets.stores.spark.channel import signed_in_address


@pytest.fixture(autouse=True)
def _own_servers(monkeypatch):
    for name, value in {
        "ELASTICSEARCH_URL": "https://user:s3cr3t@es.example:9200",
        "SPARK_REMOTE": "sc://spark.example:15002/;use_ssl=true;token=s3cr3t",
        "KAFKA_BOOTSTRAP_SERVERS": "kafka.example:9093",
        "KAFKA_PROTOCOL": "SASL_SSL",
        "KAFKA_USER": "user",
        "KAFKA_PASSWORD": "s3cr3t",
    }.items():
        monkeypatch.setenv(f"CLICKSTREAM_{name}", value)
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


@pytest.mark.parametrize(
    ("sign_in", "address"),
    [
        (elasticsearch_client, "http://127.0.0.1:1"),
        (signed_in_address, "sc://127.0.0.1:1/;use_ssl=false"),
        (require_sign_in, "127.0.0.1:1"),
        (client_options, "127.0.0.1:1"),
    ],
)
def test_no_other_address_is_signed_in_to(sign_in, address):
    with pytest.raises(SignInRefused, match="not one that a run names") as refused:
        sign_in(address)
    assert "s3cr3t" not in refused.value.message


def test_the_own_one_is(monkeypatch):
    configured = settings()
    assert client_options(configured.kafka_bootstrap_servers)["sasl_plain_password"] == "s3cr3t"
