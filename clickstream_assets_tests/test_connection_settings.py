"""Where servers are and how to sign in: what is accepted, and that no secret is shown."""

import click
import pytest
from pydantic import ValidationError

from clickstream_assets.connection_settings import SecretUnreadable
from clickstream_assets.settings import Settings, settings


@pytest.fixture(autouse=True)
def _afresh(monkeypatch):
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


@pytest.mark.parametrize(
    ("url", "address", "user", "password"),
    [
        ("http://elasticsearch:9200", "http://elasticsearch:9200", "", ""),
        ("https://user:p%40ss@elasticsearch:9200/path", "https://elasticsearch:9200/path", "user", "p@ss"),
        ("http://user:p/a@s://s@elasticsearch:9200", "http://elasticsearch:9200", "user", "p/a@s://s"),
        ("http://user@[::1]:9200", "http://[::1]:9200", "user", ""),
    ],
)
def test_user_and_password_are_taken_out_of_elasticsearchs_address(url, address, user, password):
    configured = Settings(elasticsearch_url=url)
    assert configured.elasticsearch_url == address
    assert configured.elasticsearch_user == user
    assert configured.secret("elasticsearch_password") == password
    assert not password or password not in repr(configured)


def test_what_is_set_apart_counts_before_what_stands_in_the_address():
    configured = Settings(elasticsearch_url="http://a:b@host:9200", elasticsearch_user="c", elasticsearch_password="d")
    assert (configured.elasticsearch_user, configured.secret("elasticsearch_password")) == ("c", "d")


@pytest.mark.parametrize(
    ("remote", "address", "token"),
    [
        ("sc://spark:15002", "sc://spark:15002", ""),
        ("sc://spark:15002/;use_ssl=true;token=a%40b", "sc://spark:15002/;use_ssl=true", "a@b"),
        ("sc://spark:15002/;TOKEN=x;user_id=u", "sc://spark:15002/;user_id=u", "x"),
        ("sc://spark:15002/; token = x ;user_id=u", "sc://spark:15002/;user_id=u", "x"),
    ],
)
def test_the_token_is_taken_out_of_sparks_address(remote, address, token):
    configured = Settings(spark_remote=remote)
    assert (configured.spark_remote, configured.secret("spark_token")) == (address, token)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ELASTICSEARCH_URL", "http://user:s3cr3t/s@:9200"),
        ("ELASTICSEARCH_URL", "user:s3cr3t@elasticsearch:9200"),
        ("ELASTICSEARCH_URL", "http://elasticsearch:s3cr3t"),
        ("SPARK_REMOTE", "sc://spark:s3cr3t"),
        ("SPARK_REMOTE", "http://spark:15002/;token=s3cr3t"),
        ("SPARK_REMOTE", "sc://user:s3cr3t@spark:15002"),
        ("SPARK_REMOTE", "sc://spark:15002/?token=s3cr3t"),
        ("ELASTICSEARCH_URL", "http://elasticsearch:9200/?api_key=s3cr3t"),
    ],
)
def test_an_address_that_cannot_be_read_is_an_error_without_what_stands_in_it(monkeypatch, variable, value):
    monkeypatch.setenv(f"CLICKSTREAM_{variable}", value)
    with pytest.raises(click.ClickException) as refused:
        settings()
    assert f"CLICKSTREAM_{variable}: not like " in refused.value.message
    assert "s3cr3t" not in refused.value.message


def test_a_wrong_number_is_shown_and_a_wrong_secret_is_not(monkeypatch):
    monkeypatch.setenv("CLICKSTREAM_HBASE_PORT", "70000")
    with pytest.raises(click.ClickException, match=r"CLICKSTREAM_HBASE_PORT=70000: .*less than or equal to 65535"):
        settings()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"kafka_user": "u"}, "KAFKA_PROTOCOL is PLAINTEXT and CLICKSTREAM_KAFKA_USER is set"),
        ({"kafka_protocol": "SASL_SSL"}, "KAFKA_PROTOCOL is SASL_SSL and CLICKSTREAM_KAFKA_USER is not set"),
        ({"kafka_ca": "ca.pem"}, "KAFKA_PROTOCOL is PLAINTEXT: set SSL"),
        ({"hbase_ca": "ca.pem"}, "HBASE_PROTOCOL is binary: set https or tls"),
        ({"elasticsearch_ca": "ca.pem"}, "begin CLICKSTREAM_ELASTICSEARCH_URL with https"),
    ],
)
def test_settings_that_would_go_unused_are_an_error(values, words):
    with pytest.raises(ValidationError, match=words):
        Settings(**values)


def test_a_secret_is_read_from_its_file_each_time(tmp_path):
    file = tmp_path / "password"
    file.write_text("first\n")
    configured = Settings(kafka_password="elsewhere", kafka_password_file=file)
    assert configured.secret("kafka_password") == "first"
    file.write_text("second")
    assert configured.secret("kafka_password") == "second"
    file.unlink()
    with pytest.raises(SecretUnreadable, match=r"CLICKSTREAM_KAFKA_PASSWORD_FILE=.*password cannot be read: No such"):
        configured.secret("kafka_password")


def test_every_secret_has_a_file_and_none_is_shown():
    names = Settings.secret_names()
    assert len(names) >= 5
    values = {name: f"s3cr3t-{name}" for name in names}
    configured = Settings(**values)
    assert {f"{name}_file" for name in names} <= set(Settings.model_fields)
    assert [configured.secret(name) for name in names] == list(values.values())
    for shown in (repr(configured), str(configured), str(configured.model_dump()), configured.model_dump_json()):
        assert "s3cr3t" not in shown


def test_brokers_with_a_password_in_their_address_are_an_error_without_it(monkeypatch):
    monkeypatch.setenv("CLICKSTREAM_KAFKA_BOOTSTRAP_SERVERS", "user:s3cr3t@kafka:9092")
    with pytest.raises(click.ClickException, match="CLICKSTREAM_KAFKA_BOOTSTRAP_SERVERS: host:port") as refused:
        settings()
    assert "s3cr3t" not in refused.value.message


def test_a_secret_of_several_lines_is_an_error_without_it(tmp_path):
    file = tmp_path / "key"
    file.write_text("s3cr3t-one\ns3cr3t-two\n")
    for configured in (Settings(elasticsearch_api_key_file=file), Settings(elasticsearch_api_key="s3cr3t\x00")):
        with pytest.raises(SecretUnreadable, match="more than one line") as refused:
            configured.secret("elasticsearch_api_key")
        assert "s3cr3t" not in refused.value.message
