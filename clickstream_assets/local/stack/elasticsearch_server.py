"""Elasticsearch: one node, without security.

The node is started directly, not through Elasticsearch's own launcher, which would stay as a second Java process
beside it. What the launcher hands to the node on standard input (``ServerArgs``) is written by
:func:`server_arguments`;
it belongs to the version that is pinned in :mod:`~clickstream_assets.local.stack.downloads`. The node ends when that
standard input does.

Elasticsearch refuses to run as root; :func:`other_user` lets root start it as somebody else.
"""

import json
import os
import shutil
import struct
import subprocess
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from clickstream_assets.local.stack.errors import StackError
from clickstream_assets.local.stack.java_servers import server_flags
from clickstream_assets.local.stack.ports import HOST, Door
from clickstream_assets.local.stack.processes import Launch
from clickstream_assets.local.stack.server import Folders, Server
from clickstream_assets.stores.java import java_binary

NOBODY = 65534
"""The user and group that own nothing on any Linux."""


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


def other_user(java: Path, readable: Path, *writable: Path) -> list[str]:
    """A command to put before ``java``, by which root starts it as ``nobody``; empty for any other caller.

    Tried in this order, each by really looking at the paths as that user, who gets the writable folders:

    1. as ``nobody``, nothing more, where the paths can be reached (not below ``/root``);
    2. with one capability, to pass the folders that ``nobody`` cannot. Java asks ``access(2)``, which counts no
       capability of an ordinary user unless ``no_setuid_fixup`` is set;
    3. in a user namespace where root has another number, should capabilities be forbidden.
    """
    if os.geteuid() != 0:
        return []
    if not shutil.which("setpriv"):
        raise StackError(
            "Elasticsearch refuses to run as root, and setpriv (util-linux) is missing: run as another user."
        )
    identity = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--pdeathsig=KILL"]
    plain = ["setpriv", *identity, "--inh-caps=-all"]
    capability = [
        *("setpriv", "--securebits=+no_setuid_fixup", *identity),
        *("--inh-caps=-all,+dac_override", "--ambient-caps=+dac_override"),
    ]
    namespace = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "setpriv", "--pdeathsig=KILL"]
    for owner, command in ((NOBODY, plain), (NOBODY, capability), (0, namespace)):
        for folder in writable:
            for path in (folder, *folder.rglob("*")):
                os.lchown(path, owner, owner)
        if _reaches(command, java, readable, writable[0]):
            return command
    raise StackError(
        f"Elasticsearch refuses to run as root, and no other user can be given access to {writable[0]} and {readable}: "
        "run as another user, or set CLICKSTREAM_HOME and CLICKSTREAM_CACHE to folders that every user can reach."
    )


def _reaches(command: list[str], java: Path, readable: Path, writable: Path) -> bool:
    looks = 'test -x "$1" && test -r "$2" && test -w "$3"'
    try:
        arguments = [*command, "sh", "-c", looks, "sh", str(java), str(readable), str(writable)]
        return subprocess.run(arguments, capture_output=True, timeout=20, check=False).returncode == 0
    except OSError:
        return False


@dataclass
class Elasticsearch(Server):
    name = "elasticsearch"
    title = "Elasticsearch"

    transport_port: int
    distribution: Path
    door: Door

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
        settings = node_settings(folders, distribution, self.port, self.transport_port, self.door)
        environment = {"ES_TMPDIR": str(tmp), "LIBFFI_TMPDIR": str(tmp)}
        user = other_user(java_binary(), distribution / "modules", folders.data, conf, tmp)
        launch = self._launch([*user, *java], environment)
        return replace(launch, folder=distribution, stdin=server_arguments(settings, conf, tmp))

    def answers(self) -> None:
        address = f"http://{HOST}:{self.port}/_cluster/health?wait_for_status=yellow&timeout=2s"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(address, timeout=5) as answer:
            health = json.load(answer)
        if health["timed_out"]:
            raise TimeoutError(f"Elasticsearch is {health['status']}")
