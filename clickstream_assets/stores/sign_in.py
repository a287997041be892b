"""What keeps us from signing in to a server, told at once and in one sentence.

Clients try again for a minute, and then say that a server could not be reached, whatever the reason. So before a
process opens its first connection, one of our own is made, with the same settings. Each sentence names the server, what
is wrong and which setting to look at; none has a secret in it.
"""

import socket
import ssl
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import click

from clickstream_assets.connection_settings import PREFIX

ANSWER_SECONDS = 4
_HELLO_SECONDS = 1
_GOOD_FOR_SECONDS = 60
_ALERT = b"\x15\x03"
"""How TLS begins to say no, to whoever does not speak it."""
_good_until: dict[object, float] = {}


class SignInRefused(click.ClickException):
    """A server does not let us in, or we do not believe it; one sentence. Trying again would not help."""


class ServerAddress(NamedTuple):
    """Where a server is, and how its settings are called."""

    title: str
    """For sentences: ``HBase Thrift``."""
    name: str
    """In the names of settings: ``HBASE``."""
    host: str
    port: int
    shown_certificate: bool = False
    """Whether we have one to show it."""

    def refused(self, words: str) -> SignInRefused:
        return SignInRefused(f"{self.title} at {self.host}:{self.port}: {words}.")

    def setting(self, suffix: str) -> str:
        return f"{PREFIX}{self.name}_{suffix}"


def require_own_address(title: str, name: str, address: str, own: str) -> None:
    """Raise :class:`SignInRefused` unless an address is that of the settings.

    A run's config may name another for a resource, and whoever launches runs is not to have secrets sent there.
    """
    if address != own:
        raise SignInRefused(
            f"{title}: only the server of {PREFIX}{name} is signed in to, and not one that a run names."
        )


class Certificates(NamedTuple):
    """PEM files: whom we believe, and who we are."""

    ca: Path | None
    cert: Path | None = None
    key: Path | None = None


def once_a_minute(question: object, ask: Callable[[], None]) -> None:
    """Ask, and raise what it raises, unless that went well within the last minute; quiet where nobody answers.

    A server that is away comes back, or its client tells.
    """
    if monotonic() < _good_until.get(question, 0):
        return
    try:
        ask()
    except OSError:
        return
    _good_until[question] = monotonic() + _GOOD_FOR_SECONDS


def tls_context(title: str, name: str, certificates: Certificates) -> ssl.SSLContext:
    """Verifies the server's certificate and host name. Raises :class:`SignInRefused` for files that cannot be used."""
    stamp = tuple(path and path.stat().st_mtime_ns for path in certificates if path is None or path.exists())
    return _context(title, name, certificates, stamp)


@cache
def _context(title: str, name: str, certificates: Certificates, _: object) -> ssl.SSLContext:
    def unusable(suffix: str, path: Path, error: OSError) -> SignInRefused:
        reason = "it holds no certificate in PEM" if isinstance(error, ssl.SSLError) else error.strerror
        return SignInRefused(f"{title}: {PREFIX}{name}_{suffix}={path} cannot be used: {reason}.")

    ca, cert, key = certificates
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:
        assert ca is not None
        raise unusable("CA", ca, error) from None
    if cert is not None:
        try:
            context.load_cert_chain(cert, key)
        except ssl.SSLError:
            words = f"{PREFIX}{name}_CERT={cert} and _KEY={key or cert} are no certificate with its private key in PEM"
            raise SignInRefused(f"{title}: {words}.") from None
        except OSError as error:
            raise unusable("CERT or _KEY", cert, error) from None
    return context


def connect(server: ServerAddress, context: ssl.SSLContext | None) -> socket.socket:
    """A connection, through TLS if there is a context. Raises :class:`SignInRefused`, or OSError if nobody answers."""
    plain = socket.create_connection((server.host, server.port), timeout=ANSWER_SECONDS)
    if context is None:
        return plain
    try:
        return context.wrap_socket(plain, server_hostname=server.host)
    except ssl.SSLCertVerificationError as error:
        plain.close()
        raise server.refused(_not_believed(server, error)) from None
    except OSError as error:
        plain.close()
        raise server.refused(why_no_tls(server, str(error))) from None


_EXPIRED, _NOT_YET_VALID, _WRONG_HOST = 10, 9, (62, 64)
"""OpenSSL's numbers of what is wrong with a certificate (X509_V_ERR_…, x509_vfy.h)."""


def _not_believed(server: ServerAddress, error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code == _EXPIRED:
        return "its certificate has expired: have it renewed there"
    if error.verify_code == _NOT_YET_VALID:
        return "its certificate is not valid yet: look at the clocks, there and here"
    if error.verify_code in _WRONG_HOST:
        return f"its certificate is not for {server.host}: use a name that it is for"
    return (
        f"its certificate is not signed by an authority that we believe ({error.verify_message}): set "
        f"{server.setting('CA')} to the PEM file of the one that signed it"
    )


def why_no_tls(server: ServerAddress, error: str) -> str:
    """What went wrong in TLS, by the words of OpenSSL."""
    upper = error.upper().replace(" ", "_")
    certificate = error == _HUNG_UP or ("ALERT" in upper and ("UNKNOWN_CA" in upper or "CERTIFICATE" in upper))
    # Java says of no certificate that it is a bad one
    if "CERTIFICATE_REQUIRED" in upper or (certificate and not server.shown_certificate):
        return f"it asks for a certificate of ours: set {server.setting('CERT')} and {server.setting('KEY')}"
    if certificate:
        return f"it does not believe our certificate, {server.setting('CERT')} ({error})"
    return f"it does not speak TLS there ({error}): correct the port, or the protocol of the settings"


def speaks_tls(server: ServerAddress) -> bool:
    """Whether TLS is spoken there, by whoever it is."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with closing(socket.create_connection((server.host, server.port), timeout=_HELLO_SECONDS)) as plain:
            context.wrap_socket(plain, server_hostname=server.host).close()
    except OSError:
        return False
    return True


def alert_after_handshake(server: ServerAddress, context: ssl.SSLContext) -> str:
    """What a server says of our certificate, in the words of OpenSSL; empty if nothing.

    In TLS 1.3 it says so when we believe to be connected already.
    """
    with closing(connect(server, context)) as connection:
        connection.settimeout(_HELLO_SECONDS)
        try:
            return "" if connection.recv(1) else _HUNG_UP
        except ssl.SSLError as error:
            return str(error)
        except OSError:
            pass
    return ""


_HUNG_UP = "it hangs up behind the handshake"


def is_alert(data: bytes) -> bool:
    """Whether bytes are how TLS says no."""
    return data.startswith(_ALERT)
