"""HBase: ZooKeeper, master and region server in one process, and the Thrift server that Python talks to."""

import shutil
import ssl
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from xml.sax.saxutils import escape

from clickstream_assets.local.stack.java_servers import add_opens, server_flags
from clickstream_assets.local.stack.ports import HOST, Door
from clickstream_assets.local.stack.processes import Launch
from clickstream_assets.local.stack.security import Security
from clickstream_assets.local.stack.server import Server
from clickstream_assets.stores.java import java_binary

if TYPE_CHECKING:
    import happybase

_HOUR_MS = 3_600_000

INITIALIZED = "Master has completed initialization"
"""In the log once tables can be made, changed and dropped."""

_LOGGING = """\
log4j.rootLogger=WARN,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.target=System.err
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %-5p %m (%c{1})%n
log4j.logger.org.apache.hadoop.util.NativeCodeLoader=ERROR
log4j.logger.org.apache.hadoop.hbase.master.HMaster=INFO
log4j.logger.org.apache.hadoop.hbase.ChoreService=ERROR
log4j.logger.org.apache.hadoop.metrics2=ERROR
"""

_LIFE = {
    # All three share a process, and a laptop sleeps: that is no reason to give the region server up for dead
    "zookeeper.session.timeout": "300000",
    "hbase.zookeeper.property.maxSessionTimeout": "300000",
    "zookeeper.session.timeout.localHBaseCluster": "300000",
    "hbase.client.scanner.timeout.period": "600000",
    # ZooKeeper may end before the region server, which then tries this often to take its name off the list
    "zookeeper.recovery.retry": "1",
    "zookeeper.recovery.retry.intervalmill": "200",
    # One region server is all there will be
    "hbase.master.wait.on.regionservers.mintostart": "1",
    "hbase.master.wait.on.regionservers.maxtostart": "1",
    "hbase.master.wait.on.regionservers.interval": "100",
    "hbase.regionserver.msginterval": "1000",
    "hbase.balancer.period": "86400000",
}
_MEMORY = {
    # Memory: half of the heap, which the old generation has room for beside the server itself (docs/decisions/0014)
    "hbase.regionserver.global.memstore.size": "0.25",
    "hfile.block.cache.size": "0.25",
    "hbase.hregion.memstore.flush.size": str(64 << 20),
    # Each family of each region that is written to takes a chunk, of 2 MB by default: tables with a region for each
    # salt and four families take 64 MB at their first rows, and a few pipelines on one server all of its memory.
    "hbase.hregion.memstore.mslab.chunksize": str(128 << 10),
    "hbase.hregion.memstore.mslab.max.allocation": str(64 << 10),
    "hbase.regionserver.handler.count": "16",
    "hbase.regionserver.metahandler.count": "4",
    "hbase.master.hfilecleaner.large.queue.init.size": "1024",
    "hbase.master.hfilecleaner.small.queue.init.size": "1024",
}
_THRIFT = {
    # Thrift: a connection occupies a thread, and one that finds none waits in a queue without a word
    "hbase.thrift.info.port": "-1",
    "hbase.thrift.minWorkerThreads": "200",
    "hbase.thrift.maxWorkerThreads": "1000",
    "hbase.thrift.server.socket.read.timeout": str(24 * _HOUR_MS),
    "hbase.thrift.connection.max-idletime": str(24 * _HOUR_MS),
}


def site(data: Path, *, zookeeper: int, master: int, region_server: int, tmp: Path, door: Door) -> dict[str, str]:
    """``hbase-site.xml``, the same for the server and for Thrift, which is its client."""
    return {
        "hbase.rootdir": f"file://{data}/root",
        "hbase.tmp.dir": str(tmp),
        "hbase.cluster.distributed": "false",
        "hbase.unsafe.stream.capability.enforce": "false",  # a local folder has no hflush to offer
        # HBase sets modes itself
        "fs.permissions.umask-mode": "077",
        "hbase.data.umask.enable": "true",
        "hbase.data.umask": "077",
        # Where they listen; without the first line, master and region server choose their own ports
        "hbase.localcluster.assign.random.ports": "false",
        "hbase.zookeeper.quorum": HOST,
        "hbase.zookeeper.property.clientPort": str(zookeeper),
        "hbase.zookeeper.property.dataDir": str(data / "zookeeper"),
        "hbase.master.port": str(master),
        "hbase.master.ipc.address": HOST,
        "hbase.master.hostname": "localhost",
        "hbase.master.info.port": "-1",
        "hbase.regionserver.port": str(region_server),
        "hbase.regionserver.ipc.address": HOST,
        "hbase.unsafe.regionserver.hostname": "localhost",
        "hbase.regionserver.info.port": "-1",
        "hbase.regionserver.thrift.ipaddress": door.listen,
        **_LIFE,
        **_MEMORY,
        **_THRIFT,
    }


def secured(security: Security, conf: Path) -> dict[str, str]:
    """What makes the Thrift server speak https, its only way to encrypt. Writes its certificate to ``conf``."""
    store, password = security.write_key_store(conf)
    return {
        "hbase.regionserver.thrift.http": "true",
        "hbase.thrift.ssl.enabled": "true",
        "hbase.thrift.ssl.keystore.store": str(store),
        "hbase.thrift.ssl.keystore.type": "PKCS12",
        "hbase.thrift.ssl.keystore.password": password,
        "hbase.thrift.ssl.keystore.keypassword": password,
    }


def write_site(folder: Path, configuration: dict[str, str]) -> None:
    """Write ``hbase-site.xml`` and the logging configuration to a folder for the class path."""
    properties = "".join(
        f"<property><name>{escape(name)}</name><value>{escape(value)}</value></property>\n"
        for name, value in configuration.items()
    )
    (folder / "hbase-site.xml").write_text(f"<configuration>\n{properties}</configuration>\n")
    (folder / "log4j.properties").write_text(_LOGGING)


@dataclass
class _HBaseProcess(Server):
    """What the two have in common."""

    heap_mb: ClassVar[int]
    generations: ClassVar[tuple[str, ...]]
    """Flags that share the heap out among new and old objects."""

    jars: Path
    configuration: dict[str, str]

    def _java(self) -> list[str]:
        write_site(self.folders.conf, self.configuration)
        return [
            str(java_binary()),
            *server_flags(heap_mb=self.heap_mb, initial_heap_mb=self.heap_mb // 3, temporary=self.folders.tmp),
            *self.generations,
            *add_opens(),
            "-Djava.security.manager=allow",
            f"-Dhbase.log.dir={self.folders.log.parent}",
            "-cp",
            # The Thrift server over http takes this one, of two versions that are there
            f"{self.folders.conf}:{self.jars}/javax.servlet-api-3.1.0.jar:{self.jars}/*",
        ]


class HBase(_HBaseProcess):
    """Master, region server and ZooKeeper. The port is ZooKeeper's."""

    name = "hbase"
    title = "HBase"
    heap_mb = 1280
    generations = ("-Xmn448m",)
    stop_seconds = 8.0

    def launch(self) -> Launch:
        """See :meth:`Server.launch`.

        ZooKeeper begins empty each time. Where the tables are is written in HBase's own folder; what ZooKeeper would
        remember is that the servers of before were alive, and the new master would wait for their sessions to end.
        """
        shutil.rmtree(self.folders.data / "zookeeper", ignore_errors=True)
        return self._launch([*self._java(), "org.apache.hadoop.hbase.master.HMaster", "start"])

    def answers(self) -> None:
        """See :meth:`Server.answers`. The master says when it is ready nowhere but in its log, begun with its start."""
        if INITIALIZED not in self.folders.log.read_text(errors="replace"):
            raise TimeoutError("the master is not initialized yet")


@dataclass
class HBaseThrift(_HBaseProcess):
    """The Thrift server: binary protocol, buffered transport, happybase's defaults; over https if it is secured."""

    name = "hbase-thrift"
    title = "HBase Thrift"
    heap_mb = 256
    # Answers in the making, of some megabytes each, are to die young: they outgrow the usual survivor spaces
    generations = ("-Xms256m", "-Xmn144m", "-XX:SurvivorRatio=2")

    security: Security | None = field(default=None, kw_only=True)

    def launch(self) -> Launch:
        """See :meth:`Server.launch`."""
        if self.security:
            self.configuration = self.configuration | secured(self.security, self.folders.conf)
        thrift = "org.apache.hadoop.hbase.thrift.ThriftServer"
        return self._launch([*self._java(), thrift, "start", "-p", str(self.port), "--infoport", "-1"])

    def answers(self) -> None:
        """See :meth:`Server.answers`.

        A region may still have to be recovered from the region server of before when the rest is ready.
        """
        with closing(self._connection()) as connection:
            connection.tables()
            regions = [cells for _, cells in connection.table("hbase:meta").scan(columns=[b"info"])]
        here = f"localhost:{self.configuration['hbase.regionserver.port']}".encode()
        closed = sum(not is_served(cells, here) for cells in regions)
        if closed:
            raise TimeoutError(f"{closed} of {len(regions)} regions are not open yet")

    def _connection(self) -> "happybase.Connection":
        import happybase

        connection = happybase.Connection(HOST, self.port, timeout=10_000, autoconnect=False)
        if self.security:
            _through_https(connection, f"https://{HOST}:{self.port}/", self.security.ca)
        connection.open()
        return connection


def _through_https(connection: "happybase.Connection", address: str, ca: Path) -> None:
    """Have a connection that is not open yet speak https."""
    from happybase.connection import Hbase
    from thriftpy2.http import THttpClient
    from thriftpy2.thrift import TClient

    trust = ssl.create_default_context(cafile=str(ca))
    client = THttpClient(address, ssl_context_factory=lambda: trust, keep_alive=True)
    connection.transport = connection._transport_class(client)
    connection.client = TClient(Hbase, connection._protocol_class(connection.transport, decode_response=False))


def is_served(cells: dict[bytes, bytes], server: bytes) -> bool:
    """Whether a region, by its row in ``hbase:meta``, is open on the server, or not meant to be open at all."""
    state = cells.get(b"info:state")
    if state == b"OPENING":
        return False
    return state != b"OPEN" or cells.get(b"info:server") == server
