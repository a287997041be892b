"""TLS in front of a PostgreSQL that was built without it: the handshake of its protocol, then bytes to and fro."""

import contextlib
import datetime as dt
import socket
import socketserver
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from clickstream_assets.local.stack.ports import HOST

_SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"
_GSS_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x30"


class Authority(NamedTuple):
    """A certificate authority of one certificate."""

    certificate: Path
    server: Path
    """The server's certificate and its key, by that authority."""

    @classmethod
    def make(cls, folder: Path, host: str) -> "Authority":
        """In a folder; the server's certificate is for one host."""
        own, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        name = f"authority of {folder}"
        authority = _certificate(name, own, name, own, x509.BasicConstraints(ca=True, path_length=0))
        alternative = x509.SubjectAlternativeName([x509.DNSName(host)])
        server = _certificate(host, key, name, own, alternative)
        made = cls(folder / "ca.crt", folder / "server.pem")
        made.certificate.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        made.server.write_bytes(server.public_bytes(serialization.Encoding.PEM) + secret)
        return made


def _certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    named = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[-64:])]) for name in (subject, issuer)]
    builder = x509.CertificateBuilder(*reversed(named), key.public_key(), x509.random_serial_number())
    dated = builder.not_valid_before(now - dt.timedelta(hours=1)).not_valid_after(now + dt.timedelta(days=1))
    return dated.add_extension(extension, critical=False).sign(issuer_key, hashes.SHA256())


@contextmanager
def behind_tls(port: int, server: Path) -> Iterator[int]:
    """Its port: who asks for TLS gets it, by a certificate with its key; who does not speaks to ``port`` directly."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server)

    class Door(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            client: socket.socket = self.request
            with contextlib.suppress(OSError), socket.create_connection((HOST, port)) as database:
                while (first := client.recv(8, socket.MSG_WAITALL)) == _GSS_REQUEST:
                    client.sendall(b"N")
                if first == _SSL_REQUEST:
                    client.sendall(b"S")
                    client = context.wrap_socket(client, server_side=True)
                else:
                    database.sendall(first)
                back = Thread(target=_copy, args=(database, client), daemon=True)
                back.start()
                _copy(client, database)
                back.join()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads, allow_reuse_address = True, True

    with Server((HOST, 0), Door) as door:
        Thread(target=door.serve_forever, daemon=True).start()
        yield door.server_address[1]
        door.shutdown()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
