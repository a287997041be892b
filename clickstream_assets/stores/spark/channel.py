"""How Spark Connect is signed in to, and whether it lets us in.

pyspark's client takes token and certificate authorities from environment variables of its process. It tries for
minutes where a certificate is not believed, so it is asked here first, by the bytes of Spark Connect's messages.
"""

import os
import uuid
from typing import Any

from clickstream_assets.connection_settings import ConnectionSettings
from clickstream_assets.settings import settings
from clickstream_assets.stores.reachability import address_of
from clickstream_assets.stores.sign_in import (
    Certificates,
    ServerAddress,
    connect,
    once_a_minute,
    speaks_tls,
    tls_context,
)

_TITLE = "Spark Connect"
_PORT, _SECONDS = 15002, 5
TOKEN_VARIABLE = "SPARK_CONNECT_AUTHENTICATE_TOKEN"  # noqa: S105 - a name
_AUTHORITIES_VARIABLE = "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"
_SERVICE = "/spark.connect.SparkConnectService/"


def require_sign_in(remote: str) -> str:
    """Set what pyspark reads, and return the address for it.

    Raises :class:`SignInRefused` if Spark Connect does not let us in; asked once a minute.
    """
    configured = settings()
    if configured.spark_ca is not None:
        os.environ[_AUTHORITIES_VARIABLE] = str(configured.spark_ca)
    if token := configured.secret("spark_token"):
        os.environ[TOKEN_VARIABLE] = token
    once_a_minute(("spark", remote), lambda: sign_in(remote))
    return with_tls(remote) if speaks_tls_to(remote, configured) else remote


def with_tls(remote: str) -> str:
    """Spark Connect's address with the parameter that asks for TLS."""
    if "use_ssl=" in remote:
        return remote
    return f"{remote.rstrip('/')}{';' if '/;' in remote else '/;'}use_ssl=true"


def speaks_tls_to(remote: str, configured: ConnectionSettings) -> bool:
    return "use_ssl=true" in remote.lower() or configured.spark_ca is not None


def sign_in(remote: str) -> None:
    """Ask for Spark's version. Raises :class:`SignInRefused`, or OSError if nobody answers."""
    import grpc

    configured = settings()
    server = ServerAddress(_TITLE, "SPARK", *address_of(remote, _PORT))
    tls, token = speaks_tls_to(remote, configured), configured.secret("spark_token")
    if token and not tls and server.host != "localhost":
        raise server.refused(
            f"a token is sent through TLS, or to localhost, alone: set {server.setting('CA')}, or add ;use_ssl=true to "
            f"{server.setting('REMOTE')}"
        )
    if tls:
        context = tls_context(_TITLE, "SPARK", Certificates(configured.spark_ca))
        context.set_alpn_protocols(["h2"])
        connect(server, context).close()
    else:
        connect(server, None).close()
    try:
        with _channel(server, configured, token, tls=tls) as channel:
            ask(channel, _SECONDS)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNAUTHENTICATED:
            how = "refuses the token: correct" if token else "asks for a token: set"
            raise server.refused(f"it {how} {server.setting('TOKEN')}") from None
        if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            if not tls and speaks_tls(server):
                how = f"set {server.setting('CA')}, or add ;use_ssl=true to {server.setting('REMOTE')}"
                raise server.refused(f"it speaks TLS there: {how}") from None
            words = f"{server.host}:{server.port} does not speak Spark Connect, or is busy"
            raise ConnectionError(f"{words}: no answer in {_SECONDS} s") from None


def _channel(server: ServerAddress, configured: ConnectionSettings, token: str, *, tls: bool) -> Any:
    import grpc

    options = [("grpc.enable_http_proxy", 0)]
    address = f"{server.host}:{server.port}"
    if not tls and not token:
        return grpc.insecure_channel(address, options=options)
    roots = configured.spark_ca.read_bytes() if configured.spark_ca else None
    credentials = grpc.ssl_channel_credentials(roots) if tls else grpc.local_channel_credentials()
    if token:
        credentials = grpc.composite_channel_credentials(credentials, grpc.access_token_call_credentials(token))
    return grpc.secure_channel(address, credentials, options=options)


def ask(channel: Any, timeout: float) -> None:
    """Ask for Spark's version in a session of its own; raise what gRPC raises if there is no answer.

    By the bytes of the messages: pyspark's client, pandas and pyarrow would cost a caller 150 MB.
    """
    session = _field(1, str(uuid.uuid4()).encode()) + _field(2, _field(1, b"clickstream"))
    channel.unary_unary(_SERVICE + "AnalyzePlan")(session + _field(10, b""), timeout=timeout)
    channel.unary_unary(_SERVICE + "ReleaseSession")(session, timeout=timeout)


def _field(number: int, value: bytes) -> bytes:
    """A length-delimited protobuf field, of fewer than 128 bytes."""
    return bytes([number << 3 | 2, len(value)]) + value
