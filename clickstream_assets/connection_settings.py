"""Where the servers are and how to sign in to them: the part of the settings that holds secrets.

A secret is never part of an address, of a Dagster resource or of what is sent to Spark: each process reads its own, by
:meth:`ConnectionSettings.secret`, when it opens a connection. So a new one in a file is taken without a restart.
"""

import re
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import unquote, urlsplit

import click
from platformdirs import user_cache_path
from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "CLICKSTREAM_"
NO_SECRET = SecretStr("")
_CA = "PEM file of the authorities that {}'s certificate must be signed by; empty: the system's"
_CERT = "PEM file of our certificate for {}, where it asks for one"
_KEY = "PEM file of its private key; empty: in the file of the certificate"
_IN_FILE = "file with this secret; it wins over the variable, and is read at each connection"


def _file(words: str) -> Any:
    return Field(None, description=words)


class ConnectionSettings(BaseSettings):
    """Addresses, protocols, certificates and secrets of Kafka, HBase, Elasticsearch and Spark."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, hide_input_in_errors=True)

    kafka_bootstrap_servers: str = Field("localhost:9092", description="Kafka brokers, host:port, comma-separated")
    kafka_protocol: Literal["PLAINTEXT", "SSL", "SASL_SSL", "SASL_PLAINTEXT"] = Field(
        "PLAINTEXT", description="Kafka's security.protocol"
    )
    kafka_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = Field(
        "SCRAM-SHA-512", description="SASL mechanism"
    )
    kafka_user: str = Field("", description="user name at Kafka")
    kafka_password: SecretStr = Field(NO_SECRET, description="password at Kafka")
    kafka_password_file: Path | None = _file(_IN_FILE)
    kafka_ca: Path | None = _file(_CA.format("Kafka"))
    kafka_cert: Path | None = _file(_CERT.format("Kafka"))
    kafka_key: Path | None = _file(_KEY)

    hbase_host: str = Field("localhost", description="host of the HBase Thrift server")
    hbase_port: int = Field(9090, ge=1, le=65535, description="port of the HBase Thrift server")
    hbase_protocol: Literal["binary", "tls", "https"] = Field(
        "binary",
        description="Thrift's binary protocol in plain text; the same through TLS; or Thrift over https, which is the "
        "Thrift server's own way to encrypt",
    )
    hbase_ca: Path | None = _file(_CA.format("HBase Thrift"))
    hbase_cert: Path | None = _file(_CERT.format("HBase Thrift"))
    hbase_key: Path | None = _file(_KEY)
    hbase_zookeeper: str = Field(
        "",
        pattern=r"^([^\s,:]+:\d+(,[^\s,:]+:\d+)*)?$",
        description="HBase's ZooKeeper, host:port, comma-separated; where it is set, missing tables are made pre-split",
    )
    hbase_jars: Path = Field(
        user_cache_path("clickstream") / "hbase-2.6.4",
        description="folder with the jars of HBase's client, and with hbase-site.xml if it takes more than ZooKeeper's "
        "address; for making tables only",
    )

    elasticsearch_url: str = Field(
        "http://localhost:9200",
        description="Elasticsearch's address; user and password in it are taken out and used, but better set apart",
    )
    elasticsearch_user: str = Field("", description="user name at Elasticsearch")
    elasticsearch_password: SecretStr = Field(NO_SECRET, description="password at Elasticsearch")
    elasticsearch_password_file: Path | None = _file(_IN_FILE)
    elasticsearch_api_key: SecretStr = Field(NO_SECRET, description="API key at Elasticsearch, instead of a password")
    elasticsearch_api_key_file: Path | None = _file(_IN_FILE)
    elasticsearch_ca: Path | None = _file(_CA.format("Elasticsearch"))
    elasticsearch_cert: Path | None = _file(_CERT.format("Elasticsearch"))
    elasticsearch_key: Path | None = _file(_KEY)

    spark_remote: str = Field(
        "sc://localhost:15002",
        description="Spark Connect's address; a token in it is taken out and used, but better set apart",
    )
    spark_token: SecretStr = Field(NO_SECRET, description="token that Spark Connect asks for")
    spark_token_file: Path | None = _file(_IN_FILE)
    spark_ca: Path | None = _file(
        "PEM file of the certificate authorities that Spark Connect is believed by; if set, TLS is spoken"
    )

    @model_validator(mode="before")
    @classmethod
    def _secrets_out_of_addresses(cls, values: dict[str, Any]) -> dict[str, Any]:
        values = dict(values)
        if isinstance(url := values.get("elasticsearch_url"), str):
            address, user, password = user_and_password_apart(url)
            values["elasticsearch_url"] = address
            if user:
                values.setdefault("elasticsearch_user", user)
                values.setdefault("elasticsearch_password", password)
        if isinstance(remote := values.get("spark_remote"), str):
            values["spark_remote"], token = token_apart(remote)
            if token:
                values.setdefault("spark_token", token)
        return values

    @field_validator("elasticsearch_url", "spark_remote")
    @classmethod
    def _is_an_address(cls, value: str, info: ValidationInfo) -> str:
        schemes, example = _ADDRESSES[str(info.field_name)]
        try:
            parts = urlsplit(value)
            good = parts.scheme.lower() in schemes and parts.hostname and parts.port != 0
            good = good and not (parts.query or parts.fragment or "@" in parts.netloc)
        except ValueError:
            good = False
        if not good:
            raise ValueError(f"not like {example}: host and port cannot be told")
        return value

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _without_a_user(cls, value: str) -> str:
        if "@" in value:
            raise ValueError("host:port, comma-separated, with CLICKSTREAM_KAFKA_USER and …_PASSWORD beside it")
        return value

    @model_validator(mode="after")
    def _kafka_signs_in_as_said(self) -> Self:
        sasl = self.kafka_protocol.startswith("SASL")
        if sasl != bool(self.kafka_user):
            raise ValueError(
                f"CLICKSTREAM_KAFKA_PROTOCOL is {self.kafka_protocol} and CLICKSTREAM_KAFKA_USER is "
                f"{'' if self.kafka_user else 'not '}set: SASL_SSL goes with a user, and a user with SASL_SSL"
            )
        if self.kafka_protocol == "PLAINTEXT" and (self.kafka_ca or self.kafka_cert):
            raise ValueError(
                "CLICKSTREAM_KAFKA_CA or _CERT is set and CLICKSTREAM_KAFKA_PROTOCOL is PLAINTEXT: set SSL"
            )
        if self.elasticsearch_url.lower().startswith("http:") and (self.elasticsearch_ca or self.elasticsearch_cert):
            raise ValueError(
                "CLICKSTREAM_ELASTICSEARCH_CA or _CERT is set: begin CLICKSTREAM_ELASTICSEARCH_URL with https"
            )
        if self.hbase_protocol == "binary" and (self.hbase_ca or self.hbase_cert):
            raise ValueError(
                "CLICKSTREAM_HBASE_CA or _CERT is set and CLICKSTREAM_HBASE_PROTOCOL is binary: set https or tls"
            )
        return self

    def secret(self, name: str) -> str:
        """A secret by the name of its setting, from its file if that is set; empty if neither is.

        Raises :class:`SecretUnreadable`, without what the file holds.
        """
        file: Path | None = getattr(self, f"{name}_file", None)
        if file is None:
            value: SecretStr = getattr(self, name)
            return _of_one_line(value.get_secret_value(), f"{PREFIX}{name.upper()}")
        try:
            return _of_one_line(file.read_text(encoding="utf-8").rstrip("\r\n"), f"{PREFIX}{name.upper()}_FILE={file}")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise SecretUnreadable(f"{PREFIX}{name.upper()}_FILE={file} cannot be read: {reason}.") from None

    @classmethod
    def secret_names(cls) -> tuple[str, ...]:
        """Settings whose values are secret."""
        return tuple(name for name, field in cls.model_fields.items() if field.annotation is SecretStr)

    @classmethod
    def shows_value(cls, name: str) -> bool:
        """Whether the value of a setting may be shown where it is wrong: there may be a secret in a wrong address."""
        return name not in (*_ADDRESSES, "kafka_bootstrap_servers") and name not in cls.secret_names()


_ADDRESSES = {
    "elasticsearch_url": (
        ("http", "https"),
        "https://host:9200, with CLICKSTREAM_ELASTICSEARCH_USER and CLICKSTREAM_ELASTICSEARCH_PASSWORD beside it",
    ),
    "spark_remote": (("sc",), "sc://host:15002"),
}
"""Schemes, and what an address looks like."""


def _of_one_line(secret: str, where: str) -> str:
    """A secret; raises :class:`SecretUnreadable` for control characters: clients would quote it in their errors."""
    if not secret.isprintable():
        raise SecretUnreadable(f"{where} holds more than one line of text.")
    return secret


class SecretUnreadable(click.ClickException):
    """The file of a secret cannot be read; says which and why."""


def user_and_password_apart(url: str) -> tuple[str, str, str]:
    """An http address without its user info, and user and password."""
    match = re.match(r"^(\w+://)?(.*)@([^@]*)$", url, re.DOTALL)
    if match is None:
        return url, "", ""
    user, _, password = match[2].partition(":")
    return (match[1] or "") + match[3], unquote(user), unquote(password)


def token_apart(remote: str) -> tuple[str, str]:
    """Spark Connect's address without its token, and the token."""
    address, *parameters = remote.split(";")
    parameters = [parameter.strip() for parameter in parameters]
    is_token = re.compile(r"token\s*=", re.IGNORECASE)
    tokens = [text.partition("=")[2].strip() for text in parameters if is_token.match(text)]
    rest = [text for text in parameters if text and not is_token.match(text)]
    return ";".join([address, *rest]), unquote(tokens[-1]) if tokens else ""
