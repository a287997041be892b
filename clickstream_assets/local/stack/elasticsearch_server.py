"""Elasticsearch: one node, with TLS and a user if it is to be secured.

The node is started directly, not through Elasticsearch's own launcher, which would stay as a second Java process
beside it. What the launcher hands to the node on standard input (``ServerArgs``) is written by
:func:`server_arguments`;
it belongs to the version that is pinned in :mod:`~clickstream_assets.local.stack.downloads`. The node ends when that
standard input does.

Elasticsearch refuses to run as root: where no other user does for all servers,
:func:`~clickstream_assets.local.stack.users.other_user` finds one for it.
"""

import base64
import hashlib
import json
import os
import ssl
import struct
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from clickstream_assets.local.stack.java_servers import server_flags
from clickstream_assets.local.stack.ports import HOST, Door
from clickstream_assets.local.stack.processes import Launch
from clickstream_assets.local.stack.security import USER, Security, write_secret
from clickstream_assets.local.stack.server import Folders, Server
from clickstream_assets.local.stack.users import other_user
from clickstream_assets.stores.java import java_binary

_ROUNDS = 10_000


def node_settings(folders: Folders, distribution: Path, port: int, transport_port: int, door: Door) -> dict[str, str]:
    """What would stand in ``elasticsearch.yml``."""
    return {
        "path.home": str(distribution),
        "path.data": str(folders.data),
        "path.logs": str(folders.tmp),
        "cluster.name": "clickstream",
        "node.name": "clickstream",
        "network.host": HOST,
        "http.host": door.listen,
        "http.port": str(port),
        "transport.port": str(transport_port),
        "discovery.type": "single-node",
        "xpack.security.enabled": "false",
        # On a disk that is nearly full, which others fill too, indices would become read-only
        "cluster.routing.allocation.disk.threshold_enabled": "false",
    }


def server_arguments(settings: Mapping[str, str], conf: Path, logs: Path) -> bytes:
    """``ServerArgs`` of Elasticsearch 8.17, with an empty keystore, as its launcher would write it."""
    keystore = (
        _string("org.elasticsearch.common.settings.KeyStoreWrapper")
        + struct.pack(">i", 6)  # version of the format
        + b"\0"  # no password
        + b"\0"  # no stored data
        + _number(0)  # entries
        + b"\0"  # not closed
    )
    pairs = b"".join(_string(name) + b"\0" + _string(value) for name, value in sorted(settings.items()))
    foreground, verbose, no_pid_file = b"\0", b"\0", b"\0"
    node = _number(len(settings)) + pairs
    return foreground + verbose + no_pid_file + keystore + node + _string(str(conf)) + _string(str(logs))


def _number(value: int) -> bytes:
    """Seven bits a byte, the low ones first, the top bit saying that more follow."""
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _string(text: str) -> bytes:
    """Length in UTF-16 units, then each unit in one to three bytes (as UTF-8 would for the basic plane)."""
    units = text.encode("utf-16-be")
    characters = [chr(high << 8 | low) for high, low in zip(units[::2], units[1::2], strict=True)]
    return _number(len(characters)) + "".join(characters).encode("utf-8", "surrogatepass")


def secured(security: Security, conf: Path) -> dict[str, str]:
    """What makes a node speak https and ask who is there. Writes its certificate and its users to ``conf``."""
    key, certificate = security.write_key_and_certificate(conf)
    write_users(conf, security.elasticsearch_password)
    http = "xpack.security.http.ssl"
    return {
        "xpack.security.enabled": "true",
        "xpack.security.autoconfiguration.enabled": "false",
        "xpack.security.transport.ssl.enabled": "false",  # one node, on the loopback address
        "xpack.security.authc.realms.file.file1.order": "0",
        f"{http}.enabled": "true",
        f"{http}.key": str(key),
        f"{http}.certificate": str(certificate),
    }


def write_users(conf: Path, password: str) -> None:
    """Write the one user that the node knows, with a digest of its password."""
    salt = os.urandom(32)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ROUNDS, 32)
    encoded = "$".join(base64.b64encode(part).decode() for part in (salt, digest))
    write_secret(conf / "users", f"{USER}:{{PBKDF2}}{_ROUNDS}${encoded}\n")
    write_secret(conf / "users_roles", f"superuser:{USER}\n")


@dataclass
class Elasticsearch(Server):
    name = "elasticsearch"
    title = "Elasticsearch"

    transport_port: int
    distribution: Path
    door: Door
    security: Security | None = field(default=None, kw_only=True)

    def launch(self) -> Launch:
        folders, distribution = self.folders, self.distribution
        conf, tmp = folders.conf, folders.tmp
        self._write_log4j2("org.elasticsearch.node.Node")
        java = [
            str(java_binary()),
            *server_flags(heap_mb=512, initial_heap_mb=256, temporary=tmp),
            # The optimizing compiler costs twice the start's CPU and had not paid that back after 90,000 documents
            "-XX:TieredStopAtLevel=1",
            "-XX:-OmitStackTraceInFastThrow",
            "-XX:MaxDirectMemorySize=128m",
            "-Xss1m",
            "-Djna.nosys=true",
            "-Dio.netty.noUnsafe=true",
            "-Dio.netty.noKeySetOptimization=true",
            "-Dio.netty.recycler.maxCapacityPerThread=0",
            "-Dlog4j.shutdownHookEnabled=false",
            "-Dlog4j2.disable.jmx=true",
            "-Dlog4j2.formatMsgNoLookups=true",
            "-Djava.locale.providers=SPI,COMPAT",
            "-Djava.security.manager=allow",
            "-Des.networkaddress.cache.ttl=60",
            "-Des.networkaddress.cache.negative.ttl=10",
            "-Des.distribution.type=zip",
            f"-Des.path.home={distribution}",
            f"-Des.path.conf={conf}",
            "--enable-native-access=org.elasticsearch.nativeaccess,org.apache.lucene.core",
            f"--module-path={distribution / 'lib'}",
            "--add-modules=jdk.net",
            "--add-modules=ALL-MODULE-PATH",
            "--module=org.elasticsearch.server/org.elasticsearch.bootstrap.Elasticsearch",
        ]
        settings = self._settings()
        environment = {"ES_TMPDIR": str(tmp), "LIBFFI_TMPDIR": str(tmp)}
        if not self.user.command:
            self.user = other_user(java_binary(), distribution / "modules", folders.data, conf, tmp)
        launch = self._launch(java, environment)
        return replace(launch, folder=distribution, stdin=server_arguments(settings, conf, tmp))

    def _settings(self) -> dict[str, str]:
        """The node's settings; writes the files that go with them."""
        settings = node_settings(self.folders, self.distribution, self.port, self.transport_port, self.door)
        if self.security:
            settings |= secured(self.security, self.folders.conf)
        return settings

    def answers(self) -> None:
        scheme, handlers, request_headers = "http", [], {}
        if self.security:
            scheme, trust = "https", ssl.create_default_context(cafile=str(self.security.ca))
            handlers = [urllib.request.HTTPSHandler(context=trust)]
            signed = base64.b64encode(f"{USER}:{self.security.elasticsearch_password}".encode()).decode()
            request_headers = {"Authorization": f"Basic {signed}"}
        address = f"{scheme}://{HOST}:{self.port}/_cluster/health?wait_for_status=yellow&timeout=2s"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), *handlers)
        with opener.open(urllib.request.Request(address, headers=request_headers), timeout=5) as answer:  # noqa: S310
            health = json.load(answer)
        if health["timed_out"]:
            raise TimeoutError(f"Elasticsearch is {health['status']}")
