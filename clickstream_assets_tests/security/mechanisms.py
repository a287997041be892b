"""Ways to sign in to each server, and what can be wrong with each: tried with our own clients on real servers.

A case is a change to the environment in which a way works. What is expected is the beginning of what a user is told.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import NamedTuple
from unittest.mock import patch

from clickstream_assets.settings import Settings, settings
from clickstream_assets.stores import sign_in
from clickstream_assets_tests.fakes.certificates import EXPIRED, GOOD, Certificates
from clickstream_assets_tests.fakes.tls_terminator import tls_terminator

CONNECTED = "connected"
REFUSED_IN_SECONDS = 15
"""No case takes longer: nobody tries again for a minute. On an idle machine each takes less than one."""
_NOT_BELIEVED = "its certificate is not signed by an authority that we believe"
_EXPIRED = "its certificate has expired"
_SPEAKS_TLS = "it speaks TLS there"
_NO_TLS = "it does not speak TLS there"
_WHO = "it asks for a certificate of ours"
_PREFIX = "CLICKSTREAM_"


class Case(NamedTuple):
    """One try."""

    server: str
    """``KAFKA``, ``HBASE``, ``ELASTICSEARCH`` or ``SPARK``."""
    mechanism: str
    name: str
    environment: Mapping[str, str]
    """Variables of connections without their prefix; those that are not named are not set."""
    expected: str


def outcome(case: Case) -> tuple[str, float]:
    """``connected``, or what a user is told; and the seconds that it took."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(_PREFIX)}
    own = {_PREFIX + name: value for name, value in case.environment.items()}
    with patch.dict(os.environ, others | own, clear=True):
        settings.cache_clear()
        sign_in._good_until.clear()
        begun = time.monotonic()
        try:
            _CONNECT[case.server](settings())
            told = CONNECTED
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what a user is told
            told = str(error)
        finally:
            settings.cache_clear()
            sign_in._good_until.clear()
    return told, time.monotonic() - begun


def _kafka(configured: Settings) -> None:
    from clickstream_assets.stores.kafka.topic_admin import topic_admin

    with topic_admin(configured.kafka_bootstrap_servers, bootstrap_timeout_ms=10_000) as admin:
        admin.list_topics()


def _hbase(configured: Settings) -> None:
    from clickstream_assets.stores.hbase.client import HBaseClient

    with HBaseClient(configured.hbase_host, configured.hbase_port, patience_seconds=5) as client:
        client.tables()


def _elasticsearch(configured: Settings) -> None:
    from clickstream_assets.stores.elasticsearch.client import elasticsearch_client

    with elasticsearch_client(configured.elasticsearch_url, request_timeout=10) as es:
        es.cluster.health()


def _spark(configured: Settings) -> None:
    from clickstream_assets.stores.spark import channel

    channel.sign_in(configured.spark_remote)


_CONNECT = {"KAFKA": _kafka, "HBASE": _hbase, "ELASTICSEARCH": _elasticsearch, "SPARK": _spark}


class KeyedElasticsearch(BaseHTTPRequestHandler):
    """A stub that answers whoever has the API key ``right``: the embedded Elasticsearch lacks a module for keys."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        known = self.headers["Authorization"] == "ApiKey right"
        body = b'{"status": "green"}' if known else b'{"error": "who are you?"}'
        self.send_response(200 if known else 401)
        self.send_header("X-Elastic-Product", "Elasticsearch")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def _keyed_elasticsearch() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), KeyedElasticsearch) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def connection_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Those of connections that are set, without their prefix."""
    names = {name.upper() for name in Settings.model_fields}
    bare = {name.removeprefix(_PREFIX): value for name, value in environment.items() if name.startswith(_PREFIX)}
    return {name: value for name, value in bare.items() if name in names and value}


class _Ways:
    """Cases around one way that works."""

    def __init__(self, server: str, mechanism: str, works: Mapping[str, str]) -> None:
        self.server, self.mechanism = server, mechanism
        self.works = {name: value for name, value in works.items() if name.startswith(server)}

    def case(self, name: str, expected: str, **changes: str) -> Case:
        environment = self.works | changes
        return Case(self.server, self.mechanism, name, {k: v for k, v in environment.items() if v}, expected)

    def right(self) -> Case:
        return self.case("right", CONNECTED)


@contextmanager
def secured_cases(
    environment: Mapping[str, str], mutual: Mapping[str, str], certificates: Certificates, folder: Path
) -> Iterator[list[Case]]:
    """Those of servers that were started with ``--secure``."""
    works, ca = connection_variables(environment), str(certificates.ca)
    wrong = folder / "wrong-password"
    wrong.write_text("wrong")
    scram = _Ways("KAFKA", "SASL_SSL, SCRAM-SHA-512", works)
    ours = _Ways("KAFKA", "SSL, certificate of ours", connection_variables(environment | dict(mutual)))
    https = _Ways("ELASTICSEARCH", "https, user", works)
    thrift = _Ways("HBASE", "https", works)
    with ExitStack() as stack:
        expired = str(stack.enter_context(tls_terminator(1, certificates.server[EXPIRED])))
        keyed = _Ways("ELASTICSEARCH", "API key (a stub)", {"ELASTICSEARCH_API_KEY": "right"})
        keyed.works["ELASTICSEARCH_URL"] = f"http://127.0.0.1:{stack.enter_context(_keyed_elasticsearch())}"
        password = "it refuses user or password: correct CLICKSTREAM_{}_USER and CLICKSTREAM_{}_PASSWORD"
        plain = {"KAFKA_PROTOCOL": "PLAINTEXT", "KAFKA_CA": "", "KAFKA_CERT": "", "KAFKA_USER": ""}
        here = f"127.0.0.1:{expired}"
        no_password = {"KAFKA_PASSWORD_FILE": ""}
        yield [
            scram.right(),
            scram.case("wrong password", password.format("KAFKA", "KAFKA"), KAFKA_PASSWORD_FILE=str(wrong)),
            scram.case("wrong CA", _NOT_BELIEVED, KAFKA_CA=ca),
            scram.case("expired", _EXPIRED, KAFKA_CA=ca, KAFKA_BOOTSTRAP_SERVERS=here),
            scram.case("plaintext", f"{_SPEAKS_TLS}: set CLICKSTREAM_KAFKA_PROTOCOL", **plain, **no_password),
            ours.right(),
            ours.case("no certificate", f"{_WHO}: set CLICKSTREAM_KAFKA_CERT", KAFKA_CERT=""),
            ours.case(
                "wrong certificate", "it does not believe our certificate", KAFKA_CERT=str(certificates.unknown_client)
            ),
            ours.case("wrong CA", _NOT_BELIEVED, KAFKA_CA=ca),
            ours.case("expired", _EXPIRED, KAFKA_CA=ca, KAFKA_BOOTSTRAP_SERVERS=here),
            ours.case("plaintext", f"{_SPEAKS_TLS}: set CLICKSTREAM_KAFKA_PROTOCOL", **plain),
            https.right(),
            https.case(
                "wrong password",
                password.format("ELASTICSEARCH", "ELASTICSEARCH"),
                ELASTICSEARCH_PASSWORD_FILE=str(wrong),
            ),
            https.case("no user", "it asks who we are", ELASTICSEARCH_USER="", ELASTICSEARCH_PASSWORD_FILE=""),
            https.case("wrong CA", _NOT_BELIEVED, ELASTICSEARCH_CA=ca),
            https.case("expired", _EXPIRED, ELASTICSEARCH_CA=ca, ELASTICSEARCH_URL=f"https://{here}"),
            https.case(
                "plaintext",
                _SPEAKS_TLS,
                ELASTICSEARCH_CA="",
                ELASTICSEARCH_URL=works["ELASTICSEARCH_URL"].replace("https:", "http:"),
            ),
            keyed.right(),
            keyed.case(
                "wrong key",
                "it refuses the API key: correct CLICKSTREAM_ELASTICSEARCH_API_KEY",
                ELASTICSEARCH_API_KEY="wrong",
            ),
            thrift.right(),
            thrift.case("wrong CA", _NOT_BELIEVED, HBASE_CA=ca),
            thrift.case("expired", _EXPIRED, HBASE_CA=ca, HBASE_PORT=expired),
            thrift.case("plaintext", _SPEAKS_TLS, HBASE_PROTOCOL="", HBASE_CA=""),
        ]


@contextmanager
def terminated_cases(environment: Mapping[str, str], certificates: Certificates, folder: Path) -> Iterator[list[Case]]:
    """Those of servers in plain text, some of them behind a TLS terminator, and of Spark's token."""
    works, ca = connection_variables(environment), str(certificates.ca)
    wrong = folder / "wrong-token"
    wrong.write_text("wrong")
    port, spark = int(works["HBASE_PORT"]), int(works["SPARK_REMOTE"].rpartition(":")[2])
    with ExitStack() as stack:

        def behind(target: int, kind: str = GOOD, **options: object) -> str:
            opened = tls_terminator(target, certificates.server[kind], **options)  # type: ignore[arg-type]
            return str(stack.enter_context(opened))

        tls = _Ways("HBASE", "tls (a terminator)", works)
        tls.works |= {"HBASE_PROTOCOL": "tls", "HBASE_CA": ca, "HBASE_PORT": behind(port)}
        mutual = _Ways("HBASE", "tls, certificate of ours", tls.works)
        mutual.works |= {"HBASE_CERT": str(certificates.client)}
        mutual.works["HBASE_PORT"] = behind(port, client_ca=certificates.ca)
        token = _Ways("SPARK", "token", works)
        over_tls = _Ways("SPARK", "token, TLS (a terminator)", works)
        h2 = {"protocols": ["h2"]}
        over_tls.works |= {"SPARK_CA": ca, "SPARK_REMOTE": f"sc://localhost:{behind(spark, **h2)}"}
        expired = behind(spark, EXPIRED, **h2)
        other = str(certificates.other_ca)
        refused = "it refuses the token: correct CLICKSTREAM_SPARK_TOKEN"
        kafka = {"KAFKA_BOOTSTRAP_SERVERS": works["KAFKA_BOOTSTRAP_SERVERS"], "KAFKA_PROTOCOL": "SSL", "KAFKA_CA": ca}
        yield [
            tls.right(),
            tls.case("wrong CA", _NOT_BELIEVED, HBASE_CA=other),
            tls.case("expired", _EXPIRED, HBASE_PORT=behind(port, EXPIRED)),
            tls.case("plaintext", _SPEAKS_TLS, HBASE_PROTOCOL="", HBASE_CA=""),
            tls.case("TLS to plain text", _NO_TLS, HBASE_PORT=str(port)),
            mutual.right(),
            mutual.case("no certificate", f"{_WHO}: set CLICKSTREAM_HBASE_CERT", HBASE_CERT=""),
            mutual.case(
                "wrong certificate", "it does not believe our cert", HBASE_CERT=str(certificates.unknown_client)
            ),
            token.right(),
            token.case("wrong token", refused, SPARK_TOKEN_FILE=str(wrong)),
            token.case("no token", "it asks for a token: set CLICKSTREAM_SPARK_TOKEN", SPARK_TOKEN_FILE=""),
            token.case("plain text", "the token would be sent in plain text", SPARK_REMOTE="sc://spark.example:15002"),
            over_tls.right(),
            over_tls.case("wrong token", refused, SPARK_TOKEN_FILE=str(wrong)),
            over_tls.case("wrong CA", _NOT_BELIEVED, SPARK_CA=other),
            over_tls.case("expired", _EXPIRED, SPARK_REMOTE=f"sc://localhost:{expired}"),
            over_tls.case("plaintext", _SPEAKS_TLS, SPARK_CA=""),
            _Ways("KAFKA", "SSL", kafka).case("TLS to plain text", _NO_TLS),
        ]
