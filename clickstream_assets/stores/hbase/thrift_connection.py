"""A connection to HBase's Thrift server by this process's settings: in plain text, through TLS, or over https."""

import ssl
from contextlib import closing
from functools import partial
from http.client import HTTPException
from typing import Any

import happybase  # importing it makes the module Hbase_thrift

import Hbase_thrift as thrift  # isort: skip
from thriftpy2.http import THttpClient
from thriftpy2.protocol.cybin import ProtocolError  # type: ignore[attr-defined]
from thriftpy2.thrift import TClient, TException
from thriftpy2.transport import TCyBufferedTransport, TSSLSocket

from clickstream_assets.settings import settings
from clickstream_assets.stores.sign_in import (
    ANSWER_SECONDS,
    Certificates,
    ServerAddress,
    SignInRefused,
    alert_after_handshake,
    connect,
    once_a_minute,
    speaks_tls,
    tls_context,
    why_no_tls,
)

LOST = (OSError, TException, HTTPException, ProtocolError)
"""What a call raises when the server was lost or says what makes no sense; also Thrift's own IOError, the server's "I
could not"."""
_TITLE = "HBase Thrift"
_BUFFER_BYTES = 1 << 20

# At the library's 4 KiB each answer would come in hundreds of pieces, and each would wait for its turn among threads.
happybase.connection.THRIFT_TRANSPORTS["large"] = partial(TCyBufferedTransport, buf_size=_BUFFER_BYTES)


class ThriftConnection(happybase.Connection):
    """happybase's connection, by the protocol that is set. ``timeout_ms`` is waited for each answer."""

    def __init__(self, host: str, port: int, timeout_ms: int) -> None:
        super().__init__(host, port, timeout=timeout_ms, transport="large")

    def _refresh_thrift_client(self) -> None:
        protocol = settings().hbase_protocol
        if protocol == "binary":
            super()._refresh_thrift_client()
            return
        context = _context()
        if protocol == "tls":
            socket: Any = TSSLSocket(self.host, self.port, socket_timeout=self.timeout, ssl_context=context)
        else:
            address = f"https://{self.host}:{self.port}/"
            socket = THttpClient(address, self.timeout, ssl_context_factory=lambda: context, keep_alive=True)
        self.transport = self._transport_class(socket)
        self.client = TClient(thrift.Hbase, self._protocol_class(self.transport, decode_response=False))


def _context() -> ssl.SSLContext:
    configured = settings()
    certificates = Certificates(configured.hbase_ca, configured.hbase_cert, configured.hbase_key)
    return tls_context(_TITLE, "HBASE", certificates)


def require_sign_in(host: str, port: int) -> None:
    """Raise :class:`SignInRefused` if the Thrift server does not let us in; asked once a minute."""
    once_a_minute(("hbase", host, port), lambda: sign_in(host, port))


def sign_in(host: str, port: int) -> None:
    """Ask one question. Raises :class:`SignInRefused`, or OSError if nobody answers."""
    server = ServerAddress(_TITLE, "HBASE", host, port, settings().hbase_cert is not None)
    tls = settings().hbase_protocol != "binary"
    connect(server, _context() if tls else None).close()
    try:
        with closing(ThriftConnection(server.host, server.port, ANSWER_SECONDS * 1000)) as connection:
            connection.client.isTableEnabled(b"hbase:meta")
    except thrift.IOError:
        return  # it answers, and lets us ask
    except LOST as error:
        raise _refusal(server, str(error), tls=tls) from error


def _refusal(server: ServerAddress, error: str, *, tls: bool) -> Exception:
    if not tls and speaks_tls(server):
        return server.refused(f"it speaks TLS there: set {server.setting('PROTOCOL')} to tls, or to https")
    if tls:
        if alert := alert_after_handshake(server, _context()):
            return server.refused(why_no_tls(server, alert))
        return SignInRefused(
            f"{server.title} at {server.host}:{server.port} does not answer by the protocol "
            f"{settings().hbase_protocol} ({error}): correct {server.setting('PROTOCOL')}."
        )
    return ConnectionError(error)
