"""Where the servers listen, and the variables by which other processes find them and sign in."""

import shlex
from typing import TYPE_CHECKING

from clickstream_assets.connection_settings import PREFIX, ConnectionSettings
from clickstream_assets.local.stack import ports
from clickstream_assets.local.stack.downloads import Downloads
from clickstream_assets.local.stack.security import USER, Security

if TYPE_CHECKING:
    from pathlib import Path

    from clickstream_assets.settings import Settings


def choose_ports(settings: "Settings") -> tuple[dict[str, int], set[int]]:
    """The public port of each server, and all ports chosen so far. Raises :class:`StackError` for a taken one."""
    chosen: set[int] = set()
    wanted = (
        ("kafka", "Kafka", settings.stack_kafka_port, "KAFKA"),
        ("hbase-thrift", "HBase Thrift", settings.stack_hbase_port, "HBASE"),
        ("elasticsearch", "Elasticsearch", settings.stack_elasticsearch_port, "ELASTICSEARCH"),
        ("spark", "Spark Connect", settings.stack_spark_port, "SPARK"),
    )
    found = {
        name: ports.choose(title, port, f"CLICKSTREAM_STACK_{variable}_PORT", chosen)
        for name, title, port, variable in wanted
    }
    return found, chosen


def environment(
    public: dict[str, int], zookeeper: int, downloads: Downloads, token_file: "Path", security: Security | None
) -> dict[str, str]:
    """The variables that point any process at the servers with these public ports.

    Every variable of a connection is among them, empty where it is not needed: none that was set for other servers, or
    for a start of these that was secured, is to stay.
    """
    host = ports.HOST
    found = {
        "KAFKA_BOOTSTRAP_SERVERS": f"{host}:{public['kafka']}",
        "HBASE_HOST": host,
        "HBASE_PORT": str(public["hbase-thrift"]),
        "HBASE_ZOOKEEPER": f"{host}:{zookeeper}",
        "HBASE_JARS": str(downloads.hbase),
        "ELASTICSEARCH_URL": f"http{'s' if security else ''}://{host}:{public['elasticsearch']}",
        "SPARK_REMOTE": f"sc://localhost:{public['spark']}",
        "SPARK_TOKEN_FILE": str(token_file),
        "GEOIP_DATABASE": str(downloads.geoip_database),
    }
    if security:
        found |= _signing_in(security)
    nothing = {name.upper(): "" for name in ConnectionSettings.model_fields}
    return {PREFIX + name: value for name, value in (nothing | found).items()}


def exports(variables: dict[str, str]) -> list[str]:
    """Lines for a shell that set variables."""
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


def mutual_environment(port: int, security: Security) -> dict[str, str]:
    """The variables by which Kafka is reached with a certificate in the place of a user and a password."""
    found = {
        "KAFKA_BOOTSTRAP_SERVERS": f"{ports.HOST}:{port}",
        "KAFKA_PROTOCOL": "SSL",
        "KAFKA_USER": "",
        "KAFKA_PASSWORD_FILE": "",
        "KAFKA_CA": str(security.ca),
        "KAFKA_CERT": str(security.client_certificate),
    }
    return {PREFIX + name: value for name, value in found.items()}


def _signing_in(security: Security) -> dict[str, str]:
    ca = str(security.ca)
    return {
        "KAFKA_PROTOCOL": "SASL_SSL",
        "KAFKA_MECHANISM": "SCRAM-SHA-512",
        "KAFKA_USER": USER,
        "KAFKA_PASSWORD_FILE": str(security.kafka_password_file),
        "KAFKA_CA": ca,
        "HBASE_PROTOCOL": "https",
        "HBASE_CA": ca,
        "ELASTICSEARCH_USER": USER,
        "ELASTICSEARCH_PASSWORD_FILE": str(security.elasticsearch_password_file),
        "ELASTICSEARCH_CA": ca,
    }
