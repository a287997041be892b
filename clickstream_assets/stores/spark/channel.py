"""How Spark Connect is signed in to, and whether it lets us in.

pyspark tries for minutes where a certificate is not believed. So Spark is asked here first, by bytes of its messages.
"""

import os
import uuid
from typing import Any
from urllib.parse import quote

from clickstream_assets.connection_settings import ConnectionSettings
from clickstream_assets.settings import settings
from clickstream_assets.stores.reachability import address_of
from clickstream_assets.stores.sign_in import (
    Certificates,
    ServerAddress,
    connect,
    once_a_minute,
    require_own_address,
    speaks_tls,
    tls_context,
)

_TITLE = "Spark Connect"
_PORT, _SECONDS = 15002, 5
_AUTHORITIES_VARIABLE = "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"
"""By which gRPC, and so pyspark, is told whom to believe."""
_SERVICE = "/spark.connect.SparkConnectService/"
_HERE = ("localhost", "127.0.0.1", "::1")


def signed_in_address(remote: str) -> str:
    """The address for pyspark, with the token in it: for its session, and to be kept nowhere.

    Raises :class:`SignInRefused` if Spark Connect does not let us in; asked once a minute.
    """
    configured = settings()
    # With a token or without: what Spark answers is unpickled by the run
    require_own_address(_TITLE, "SPARK_REMOTE", remote, configured.spark_remote)
    once_a_minute(("spark", remote), lambda: sign_in(remote))
    if configured.spark_ca is not None:
        os.environ[_AUTHORITIES_VARIABLE] = str(configured.spark_ca)
    address, *parameters = remote.split(";")
    tls = speaks_tls_to(remote, configured)
    parameters = [parameter for parameter in parameters if not parameter.lower().startswith("use_ssl=")]
    parameters += ["use_ssl=true"] if tls else []
    if token := configured.secret("spark_token"):
        # Told a token, pyspark speaks TLS to every host but localhost
        parameters.append(
            f"token={quote(token, safe='')}" if tls else f"authorization={quote(f'Bearer {token}', safe='')}"
        )
    return ";".join([address.rstrip("/") + "/", *filter(None, parameters)])


def speaks_tls_to(remote: str, configured: ConnectionSettings) -> bool:
    return _says(remote, "use_ssl=true") or configured.spark_ca is not None


def _says(remote: str, parameter: str) -> bool:
    """Whether an address has a parameter, like ``use_ssl=true``."""
    return parameter in remote.lower().split(";")[1:]


def sign_in(remote: str) -> None:
    """Ask for Spark's version. Raises :class:`SignInRefused`, or OSError if nobody answers."""
    import grpc

    configured = settings()
    server = ServerAddress(_TITLE, "SPARK", *address_of(remote, _PORT))
    tls, token = speaks_tls_to(remote, configured), configured.secret("spark_token")
    if token and not tls and server.host not in _HERE and not _says(remote, "use_ssl=false"):
        raise server.refused(
            f"the token would be sent in plain text: set {server.setting('CA')}, or add ;use_ssl=true to "
            f"{server.setting('REMOTE')}, or ;use_ssl=false where nobody listens on the way"
        )
    if tls:
        context = tls_context(_TITLE, "SPARK", Certificates(configured.spark_ca))
        context.set_alpn_protocols(["h2"])
        connect(server, context).close()
    else:
        connect(server, None).close()
    try:
        with _channel(server, configured, tls=tls) as channel:
            ask(channel, token, _SECONDS)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNAUTHENTICATED:
            how = "refuses the token: correct" if token else "asks for a token: set"
            raise server.refused(f"it {how} {server.setting('TOKEN')}") from None
        if not tls and speaks_tls(server):
            how = f"set {server.setting('CA')}, or add ;use_ssl=true to {server.setting('REMOTE')}"
            raise server.refused(f"it speaks TLS there: {how}") from None
        words = f"{server.host}:{server.port} does not speak Spark Connect, or is busy"
        raise ConnectionError(f"{words}: {error.code().name}, waited for {_SECONDS} s at most") from None


def _channel(server: ServerAddress, configured: ConnectionSettings, *, tls: bool) -> Any:
    import grpc

    options = [("grpc.enable_http_proxy", 0)]
    address = f"{server.host}:{server.port}"
    if not tls:
        return grpc.insecure_channel(address, options=options)
    roots = configured.spark_ca.read_bytes() if configured.spark_ca else None
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(roots), options=options)


def ask(channel: Any, token: str, timeout: float) -> None:
    """Ask for Spark's version in a session of its own; raise what gRPC raises if there is no answer.

    By the bytes of the messages: pyspark's client, pandas and pyarrow would cost a caller 150 MB.
    """
    session = _field(1, str(uuid.uuid4()).encode()) + _field(2, _field(1, b"clickstream"))
    shown = (("authorization", f"Bearer {token}"),) if token else ()
    for call, request in (("AnalyzePlan", session + _field(10, b"")), ("ReleaseSession", session)):
        channel.unary_unary(_SERVICE + call)(request, timeout=timeout, metadata=shown)


def _field(number: int, value: bytes) -> bytes:
    """A length-delimited protobuf field, of fewer than 128 bytes."""
    return bytes([number << 3 | 2, len(value)]) + value
