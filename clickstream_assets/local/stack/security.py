"""What servers and clients sign in with, new at each start, in a folder that its owner alone reads.

Spark always asks for a token. With ``--secure`` Kafka, HBase Thrift and Elasticsearch speak TLS, and Kafka and
Elasticsearch know one user. The certificates are of an authority that is thrown away as soon as it has issued them:
its key is written nowhere.
"""

import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from clickstream_assets.local.stack.errors import StackError
from clickstream_assets.local.stack.ports import HOST

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from trustme import LeafCert

USER = "clickstream"
TOKEN_FILE = "spark-token"  # noqa: S105 - a name


def security_folder(stack_home: Path) -> Path:
    """The folder of all that is secret."""
    return stack_home / "security"


def new_folder(folder: Path) -> None:
    """Make it anew: what was secret before is of no use any more."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)


def write_secret(path: Path, content: bytes | str) -> Path:
    """Write a file that its owner alone reads, at no moment anybody else; its path."""
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(opened, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return path


class Security:
    """Certificates, a user and passwords of one start. ``host`` is a further name that the servers are reached by."""

    def __init__(self, folder: Path, host: str = "") -> None:
        try:
            import trustme
        except ImportError as error:
            raise StackError("--secure takes more: pip install 'clickstream_assets[local]'.") from error
        self.folder = folder
        authority = trustme.CA(organization_name="throw-away authority of clickstream stack")
        names = dict.fromkeys(("localhost", HOST, host or HOST))
        self._server = authority.issue_cert(*names, common_name="localhost")
        # With an alternative name: Java believes no certificate that has an empty list of them
        client = authority.issue_cert(f"{USER}@localhost", common_name=USER)
        self._authority = authority.cert_pem.bytes()
        self.kafka_password, self.elasticsearch_password = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        self.ca = write_secret(folder / "ca.pem", self._authority)
        self.kafka_password_file = write_secret(folder / "kafka-password", self.kafka_password)
        self.elasticsearch_password_file = write_secret(folder / "elasticsearch-password", self.elasticsearch_password)
        self.client_certificate = write_secret(folder / "client.pem", _key_pem(client) + _certificate_pem(client))

    def write_key_and_certificate(self, folder: Path) -> tuple[Path, Path]:
        """Write the servers' key and certificate, PEM, to a server's folder; both files."""
        key, certificate = _key_pem(self._server), _certificate_pem(self._server)
        return write_secret(folder / "server.key", key), write_secret(folder / "server.crt", certificate)

    def write_pem_store(self, folder: Path) -> Path:
        """Write both to a server's folder as one file; the file."""
        return write_secret(folder / "server.pem", _key_pem(self._server) + _certificate_pem(self._server))

    def write_authority(self, folder: Path) -> Path:
        """Write the authority's certificate, PEM, to a server's folder; the file."""
        return write_secret(folder / "ca.pem", self._authority)

    def write_key_store(self, folder: Path) -> tuple[Path, str]:
        """Write the servers' key and certificate as PKCS12 to a server's folder; the file and its password."""
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

        password = secrets.token_urlsafe(24)
        (certificate,) = (x509.load_pem_x509_certificate(blob.bytes()) for blob in self._server.cert_chain_pems)
        store = pkcs12.serialize_key_and_certificates(
            b"server",
            _private_key(self._server),  # type: ignore[arg-type]
            certificate,
            None,
            BestAvailableEncryption(password.encode()),
        )
        return write_secret(folder / "server.p12", store), password


def _private_key(certificate: "LeafCert") -> "PrivateKeyTypes":
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return load_pem_private_key(certificate.private_key_pem.bytes(), password=None)


def _key_pem(certificate: "LeafCert") -> bytes:
    """The key, as PKCS8: Kafka reads no other."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return _private_key(certificate).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _certificate_pem(certificate: "LeafCert") -> bytes:
    return b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
