"""Spark Connect's address for pyspark: the token is in it and in no setting, resource or environment."""

import os

import pytest

from clickstream_assets.settings import settings
from clickstream_assets.stores.sign_in import SignInRefused
from clickstream_assets.stores.spark import channel


@pytest.fixture
def signed_in(monkeypatch):
    """The address that is made of some settings; nobody is asked."""
    monkeypatch.setattr(channel, "once_a_minute", lambda question, ask: None)

    def address(remote, **variables):
        for name in ("SPARK_TOKEN", "SPARK_TOKEN_FILE", "SPARK_CA"):
            monkeypatch.delenv(f"CLICKSTREAM_{name}", raising=False)
        for name, value in (variables | {"SPARK_REMOTE": remote}).items():
            monkeypatch.setenv(f"CLICKSTREAM_{name}", value)
        monkeypatch.delenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", raising=False)
        settings.cache_clear()
        return channel.signed_in_address(remote)

    yield address
    monkeypatch.undo()
    settings.cache_clear()


@pytest.mark.parametrize(
    ("remote", "variables", "address"),
    [
        ("sc://localhost:15002", {}, "sc://localhost:15002/"),
        ("sc://spark:15002/;user_id=u", {}, "sc://spark:15002/;user_id=u"),
        ("sc://localhost:1", {"SPARK_TOKEN": "a b=;"}, "sc://localhost:1/;authorization=Bearer%20a%20b%3D%3B"),
        ("sc://spark:1/;use_ssl=false", {"SPARK_TOKEN": "t"}, "sc://spark:1/;authorization=Bearer%20t"),
        ("sc://spark:1/;use_ssl=true", {"SPARK_TOKEN": "t"}, "sc://spark:1/;use_ssl=true;token=t"),
        ("sc://spark:1", {"SPARK_TOKEN": "t", "SPARK_CA": "/ca.pem"}, "sc://spark:1/;use_ssl=true;token=t"),
    ],
)
def test_the_address_for_pyspark(signed_in, remote, variables, address):
    assert signed_in(remote, **variables) == address
    assert os.environ.get("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH") == variables.get("SPARK_CA")


def test_a_token_goes_over_no_wire_in_plain_text_unless_the_address_says_so(signed_in, monkeypatch):
    signed_in("sc://spark.example:15002", SPARK_TOKEN="s3cr3t")
    with pytest.raises(SignInRefused, match="would be sent in plain text") as refused:
        channel.sign_in("sc://spark.example:15002")
    assert "s3cr3t" not in refused.value.message
