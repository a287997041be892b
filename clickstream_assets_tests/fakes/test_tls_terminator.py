import contextlib
import socket
import ssl
import threading

import pytest

from clickstream_assets_tests.fakes.certificates import EXPIRED, GOOD, OTHER_AUTHORITY, WRONG_HOST, Certificates
from clickstream_assets_tests.fakes.tls_terminator import HOST, tls_terminator


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def echo():
    """The port of a server that says again what it is told, in plain text."""
    with socket.create_server((HOST, 0)) as listener:

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        def answer(connection):
            with connection:
                while data := connection.recv(1024):
                    connection.sendall(data)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def _say(port, ca, certificate=None):
    context = ssl.create_default_context(cafile=str(ca))
    context.set_alpn_protocols(["h2"])
    if certificate:
        context.load_cert_chain(certificate)
    with (
        socket.create_connection((HOST, port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(b"hello")
        return connection.recv(1024), connection.selected_alpn_protocol()


def test_what_is_said_through_tls_is_answered_by_the_server_behind(echo, certificates):
    with tls_terminator(echo, certificates.server[GOOD], protocols=["h2"]) as port:
        assert _say(port, certificates.ca) == (b"hello", "h2")


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (OTHER_AUTHORITY, "unable to get local issuer certificate"),
        (EXPIRED, "certificate has expired"),
        (WRONG_HOST, "Hostname mismatch"),
    ],
)
def test_each_kind_of_certificate_is_wrong_in_its_own_way(echo, certificates, kind, why):
    with (
        tls_terminator(echo, certificates.server[kind]) as port,
        pytest.raises(ssl.SSLCertVerificationError, match=why),
    ):
        _say(port, certificates.ca)


def test_where_clients_are_to_show_a_certificate_only_one_of_the_authority_will_do(echo, certificates):
    with tls_terminator(echo, certificates.server[GOOD], client_ca=certificates.ca) as port:
        assert _say(port, certificates.ca, certificates.client)[0] == b"hello"
        for shown in (None, certificates.unknown_client):
            with contextlib.suppress(OSError):  # where the alert does not come first, the end of the connection does
                assert _say(port, certificates.ca, shown)[0] == b""
