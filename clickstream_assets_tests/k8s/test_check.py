"""What ``make k8s-check`` says where it cannot look: a sentence, never a traceback."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from types import SimpleNamespace

import pytest
import yaml
from kubernetes.dynamic.exceptions import ResourceNotFoundError

from clickstream_assets_tests.k8s.check import Found, _taken, connect


def kubeconfig(server: str, **cluster: str) -> str:
    """A file that is in order, but for its cluster."""
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "there",
            "contexts": [{"name": "there", "context": {"cluster": "there", "user": "me"}}],
            "clusters": [{"name": "there", "cluster": {"server": server, **cluster}}],
            "users": [{"name": "me", "user": {}}],
        }
    )


@contextmanager
def answering(status: int, body: dict[str, object]) -> Iterator[str]:
    """A server that answers every question so; its url."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def told(file: str) -> str:
    with pytest.raises(SystemExit) as ended:
        connect(file)
    assert "\n" not in ended.value.code
    assert "set KUBECONFIG to the file of one" in ended.value.code
    return ended.value.code


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"hello", "no kubeconfig"),
        (b"- a list", "no kubeconfig"),
        (b"\xff\xfe\x00", "no kubeconfig"),
        (b"a: [", "while parsing"),
        (kubeconfig("https://127.0.0.1:9").replace("current-context: there", "current-context: gone").encode(), "gone"),
        (kubeconfig("https://127.0.0.1:9", **{"certificate-authority": "/nowhere"}).encode(), "/nowhere"),
        (kubeconfig("https://no-such-host.invalid").encode(), "no-such-host.invalid"),
    ],
)
def test_a_bad_kubeconfig_is_told_in_a_sentence(tmp_path, content, says):
    (tmp_path / "config").write_bytes(content)
    assert says in told(str(tmp_path / "config"))


def test_no_kubeconfig_at_all_is_told_in_a_sentence(tmp_path):
    assert "not set" in told("")
    assert "No configuration found" in told(str(tmp_path / "missing"))
    assert "directory" in told(str(tmp_path))


def test_a_cluster_that_is_away_is_told_in_a_sentence(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        (tmp_path / "config").write_text(kubeconfig(f"https://127.0.0.1:{closed.getsockname()[1]}"))
        assert "refused" in told(str(tmp_path / "config"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (401, {}, "401 Unauthorized"),
        (201, {"status": {"allowed": False}, "spec": {}}, "may not make namespaces"),
    ],
)
def test_a_cluster_that_lets_one_do_nothing_is_told_in_a_sentence(tmp_path, status, body, says):
    with answering(status, body) as url:
        (tmp_path / "config").write_text(kubeconfig(url))
        assert says in told(str(tmp_path / "config"))


def test_a_kind_that_the_server_does_not_know_is_a_finding():
    def unknown(manifest):
        raise ResourceNotFoundError("No matches found for {'api_version': 'batch/v9', 'kind': 'Job'}")

    cluster = SimpleNamespace(apply=unknown, found=Found())
    assert not _taken(cluster, {"apiVersion": "batch/v9", "kind": "Job"}, "demo: Job setup")
    assert cluster.found.refused == ["demo: Job setup: this API server knows no Job of batch/v9"]
    assert cluster.found.applied == 0
