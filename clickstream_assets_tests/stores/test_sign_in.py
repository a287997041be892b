"""What is told of servers that do not let us in, on real TLS connections; and that it is asked once a minute."""

import socket
import threading

import pytest

from clickstream_assets.stores import sign_in
from clickstream_assets.stores.sign_in import (
    ServerAddress,
    SignInRefused,
    alert_after_handshake,
    connect,
    once_a_minute,
    speaks_tls,
    tls_context,
    why_no_tls,
)
from clickstream_assets_tests.fakes.certificates import EXPIRED, GOOD, OTHER_AUTHORITY, WRONG_HOST, Certificates
from clickstream_assets_tests.fakes.tls_terminator import tls_terminator


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def plain():
    """The port of a server that says hello in plain text and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"hello\n")

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


@pytest.fixture
def silent():
    """The port of a server that takes connections, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def context_of(ca, cert=None):
    return tls_context("HBase Thrift", "HBASE", sign_in.Certificates(ca, cert))


def address(port, **options):
    return ServerAddress("HBase Thrift", "HBASE", "127.0.0.1", port, **options)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (EXPIRED, "its certificate has expired: have it renewed there."),
        (OTHER_AUTHORITY, "set CLICKSTREAM_HBASE_CA to the PEM file of the one that signed it."),
        (WRONG_HOST, "its certificate is not for 127.0.0.1: use a name that it is for."),
    ],
)
def test_a_certificate_that_is_not_believed(certificates, plain, kind, words):
    with tls_terminator(plain, certificates.server[kind]) as port, pytest.raises(SignInRefused) as refused:
        connect(address(port), context_of(certificates.ca))
    assert refused.value.message.startswith(f"HBase Thrift at 127.0.0.1:{port}: its certificate ")
    assert refused.value.message.endswith(words)


def test_a_certificate_that_is_believed(certificates, plain):
    with tls_terminator(plain, certificates.server[GOOD]) as port:
        with connect(address(port), context_of(certificates.ca)) as connection:
            assert connection.recv(5) == b"hello"
        assert speaks_tls(address(port))


def test_tls_to_a_server_of_plain_text_and_the_reverse(certificates, plain, silent):
    assert not speaks_tls(address(plain))
    for port in (plain, silent):
        with pytest.raises(SignInRefused, match="does not speak TLS there"):
            connect(address(port), context_of(certificates.ca))


def test_where_nobody_answers_it_is_no_refusal(certificates):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        connect(address(port), context_of(certificates.ca))


def test_a_server_that_asks_for_our_certificate(certificates, silent):
    context = context_of(certificates.ca)
    with tls_terminator(silent, certificates.server[GOOD], client_ca=certificates.ca) as port:
        words = why_no_tls(address(port), alert_after_handshake(address(port), context))
        assert words == "it asks for a certificate of ours: set CLICKSTREAM_HBASE_CERT and CLICKSTREAM_HBASE_KEY"
        ours = address(port, shown_certificate=True)
        unknown = context_of(certificates.ca, certificates.unknown_client)
        words = why_no_tls(ours, alert_after_handshake(ours, unknown))
        assert words.startswith("it does not believe our certificate, CLICKSTREAM_HBASE_CERT")
        good = context_of(certificates.ca, certificates.client)
        assert alert_after_handshake(ours, good) == ""


@pytest.mark.parametrize(
    ("ca", "cert", "words"),
    [
        ("missing.pem", None, "CLICKSTREAM_HBASE_CA=.*missing.pem cannot be used: No such file"),
        ("empty.pem", None, "CLICKSTREAM_HBASE_CA=.*empty.pem cannot be used: it holds no certificate in PEM"),
        (None, "missing.pem", "CLICKSTREAM_HBASE_CERT or _KEY=.*missing.pem cannot be used: No such file"),
        (None, "empty.pem", "are no certificate with its private key in PEM"),
    ],
)
def test_files_that_cannot_be_used_are_named_with_their_setting(tmp_path, ca, cert, words):
    (tmp_path / "empty.pem").write_text("nothing")
    with pytest.raises(SignInRefused, match=words):
        context_of(ca and tmp_path / ca, cert and tmp_path / cert)


def test_what_went_well_is_not_asked_again_for_a_minute(monkeypatch):
    monkeypatch.setattr(sign_in, "_good_until", {})
    clock = [0.0]
    monkeypatch.setattr(sign_in, "monotonic", lambda: clock[0])
    asked = []

    def ask():
        asked.append(clock[0])
        if clock[0] > 100:
            raise ConnectionRefusedError

    for clock[0] in (0.0, 30.0, 61.0, 130.0, 131.0):
        once_a_minute("kafka", ask)
    assert asked == [0.0, 61.0, 130.0, 131.0], "a server that was away is asked again at once"


def test_a_refusal_is_raised_each_time(monkeypatch):
    monkeypatch.setattr(sign_in, "_good_until", {})

    def refuse():
        raise SignInRefused("no")

    for _ in range(2):
        with pytest.raises(SignInRefused):
            once_a_minute("kafka", refuse)
