"""How Kafka's clients sign in, and whether the brokers let us in.

The exchange is the one that every client begins with: ApiVersions, SaslHandshake, SaslAuthenticate
(https://kafka.apache.org/protocol#sasl_handshake).
"""

import socket
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from kafka.cluster import collect_hosts
from kafka.errors import KafkaError, for_code
from kafka.net.sasl import get_sasl_mechanism
from kafka.protocol.metadata import ApiVersionsRequest, MetadataRequest
from kafka.protocol.parser import KafkaProtocol
from kafka.protocol.sasl import SaslAuthenticateRequest, SaslHandshakeRequest

from clickstream_assets.connection_settings import ConnectionSettings
from clickstream_assets.settings import settings
from clickstream_assets.stores.sign_in import (
    ANSWER_SECONDS,
    Certificates,
    ServerAddress,
    SignInRefused,
    connect,
    is_alert,
    once_a_minute,
    require_own_address,
    tls_context,
    why_no_tls,
)

_TITLE = "Kafka"
_NOT_ASKED_TO_SIGN_IN = 34
"""Kafka's error code ILLEGAL_SASL_STATE."""


def client_options(bootstrap_servers: str) -> dict[str, Any]:
    """kafka-python's options of security, by this process's settings: for each client that is made."""
    configured = settings()
    _require_own(bootstrap_servers, configured)
    protocol = configured.kafka_protocol
    options: dict[str, Any] = {"security_protocol": protocol}
    if protocol.endswith("SSL"):
        options["ssl_context"] = tls_context(_TITLE, "KAFKA", _certificates(configured))
    return options | _sasl_options(configured)


def _sasl_options(configured: ConnectionSettings) -> dict[str, str]:
    if not configured.kafka_protocol.startswith("SASL"):
        return {}
    return {
        "sasl_mechanism": configured.kafka_mechanism,
        "sasl_plain_username": configured.kafka_user,
        "sasl_plain_password": configured.secret("kafka_password"),
    }


def _require_own(bootstrap_servers: str, configured: ConnectionSettings) -> None:
    if configured.kafka_user:
        own = configured.kafka_bootstrap_servers
        require_own_address(_TITLE, "KAFKA_BOOTSTRAP_SERVERS", bootstrap_servers, own)


def _certificates(configured: ConnectionSettings) -> Certificates:
    return Certificates(configured.kafka_ca, configured.kafka_cert, configured.kafka_key)


def require_sign_in(bootstrap_servers: str) -> None:
    """Raise :class:`SignInRefused` if no broker lets us in and one says why; asked once a minute."""
    once_a_minute(("kafka", bootstrap_servers), lambda: sign_in_to_any(bootstrap_servers))


def sign_in_to_any(bootstrap_servers: str) -> None:
    """Sign in to the first broker that lets us. Raises :class:`SignInRefused`, or OSError if nobody answers."""
    configured = settings()
    _require_own(bootstrap_servers, configured)
    refusals: list[SignInRefused] = []
    unreachable: list[OSError] = []
    for host, port, _ in collect_hosts(bootstrap_servers, randomize=False):
        try:
            sign_in(ServerAddress(_TITLE, "KAFKA", host, port, configured.kafka_cert is not None), configured)
        except SignInRefused as refused:
            refusals.append(refused)
        except OSError as error:
            unreachable.append(error)
        else:
            return
    unreachable.sort(key=lambda error: isinstance(error, ConnectionRefusedError))  # what says least comes last
    for problem in (*refusals, *unreachable):
        raise problem


def sign_in(server: ServerAddress, configured: ConnectionSettings) -> None:
    """Sign in to a broker and leave. Raises :class:`SignInRefused`, or OSError if nobody answers."""
    protocol = configured.kafka_protocol
    tls = protocol.endswith("SSL")
    context = tls_context(_TITLE, "KAFKA", _certificates(configured)) if tls else None
    with closing(connect(server, context)) as connection:
        exchange = _Exchange(server, connection, tls=tls)
        exchange.ask(ApiVersionsRequest(version=0))
        if protocol.startswith("SASL"):
            _authenticate(exchange, server, configured)
        else:
            exchange.ask(
                MetadataRequest(version=1, topics=[]),
                f"it asks who we are: set {server.setting('PROTOCOL')} to SASL_{'SSL' if tls else 'PLAINTEXT'}, "
                f"{server.setting('USER')} and {server.setting('PASSWORD')}",
            )


def _authenticate(exchange: "_Exchange", server: ServerAddress, configured: ConnectionSettings) -> None:
    mechanism = configured.kafka_mechanism
    answer = exchange.ask(SaslHandshakeRequest(version=1, mechanism=mechanism))
    if answer.error_code == _NOT_ASKED_TO_SIGN_IN:
        raise server.refused(f"it takes no user there: correct {server.setting('PROTOCOL')}, or the port")
    if answer.error_code:
        offered = ", ".join(answer.mechanisms)
        raise server.refused(f"it does not take {mechanism}: set {server.setting('MECHANISM')} to one of {offered}")
    own = _sasl_options(configured)
    dialog = get_sasl_mechanism(mechanism)(host=server.host, security_protocol=configured.kafka_protocol, **own)
    wrong = f"it refuses user or password: correct {server.setting('USER')} and {server.setting('PASSWORD')}"
    while not dialog.is_done():
        answer = exchange.ask(SaslAuthenticateRequest(version=0, auth_bytes=dialog.auth_bytes()), wrong)
        if answer.error_code:
            raise server.refused(f"{wrong} ({for_code(answer.error_code).__name__})")
        try:
            dialog.receive(answer.auth_bytes)
        except (KafkaError, ValueError, AssertionError):
            raise server.refused(wrong) from None


class _Exchange:
    """Requests and answers on a socket."""

    def __init__(self, server: ServerAddress, connection: socket.socket, *, tls: bool) -> None:
        self._server, self._connection, self._tls = server, connection, tls
        self._protocol = KafkaProtocol(client_id="clickstream")

    def ask(self, request: Any, if_it_hangs_up: str = "") -> Any:
        self._protocol.send_request(request)
        answers: Sequence[tuple[int, Any]] = ()
        try:
            self._connection.sendall(self._protocol.send_bytes())
            while not answers:
                data = self._connection.recv(65_536)
                if not self._tls and is_alert(data):
                    raise self._server.refused(
                        f"it speaks TLS there: set {self._server.setting('PROTOCOL')} to SSL or SASL_SSL"
                    )
                if not data:
                    raise self._server.refused(
                        if_it_hangs_up or "it hangs up without an answer: is that a Kafka broker?"
                    )
                answers = self._protocol.receive_bytes(data)
        except TimeoutError:
            raise TimeoutError(f"{self._server.host}:{self._server.port}: no answer in {ANSWER_SECONDS} s") from None
        except KafkaError as error:
            words = f"it does not answer as a Kafka broker does ({error or type(error).__name__}): correct the address"
            raise self._server.refused(words) from None
        except OSError as error:
            words = why_no_tls(self._server, str(error)) if self._tls else if_it_hangs_up or f"it hangs up ({error})"
            raise self._server.refused(words) from None
        return answers[0][1]
