"""Makes HBase tables with split keys. HBase's Thrift 1 server cannot, so it is done by HBase's own Java client.

A Java process is started for a few seconds. It loads the client from a folder of jars and is called by py4j, which
PySpark brings along. It ends when its standard input does, so it never outlives this process.
"""

import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from py4j.java_gateway import GatewayParameters, JavaGateway, find_jar_path
from py4j.protocol import Py4JError, Py4JJavaError

_CONNECT = {
    # HBase's defaults try for minutes; a wrong address is to be told within seconds
    "hbase.client.retries.number": "1",
    "hbase.client.operation.timeout": "10000",
    "hbase.rpc.timeout": "10000",
    "zookeeper.session.timeout": "6000",
    "zookeeper.recovery.retry": "1",
    "zookeeper.recovery.retry.intervalmill": "200",
}
_CREATE_SECONDS = 60
_JAVA_SECONDS = _CREATE_SECONDS + 30
_FLAGS = ("-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")

_ATTRIBUTES = {
    "max_versions": "VERSIONS",
    "bloom_filter_type": "BLOOMFILTER",
    "block_cache_enabled": "BLOCKCACHE",
    "time_to_live": "TTL",
}
"""happybase's name of a family's option to HBase's own."""


class TablesNotMade(RuntimeError):
    """Which tables could not be made, where, and why."""


@dataclass(frozen=True, slots=True)
class NewTable:
    """A table to be made: its families with happybase's options, and the keys at which it is split into regions.

    Without such keys it is one region.
    """

    name: str
    families: Mapping[str, Mapping[str, Any]]
    split_keys: Sequence[bytes] = ()

    def attributes(self, family: str) -> dict[str, str]:
        """A family's options under HBase's own names. Raises KeyError for one that is not known here."""
        return {
            _ATTRIBUTES[option]: str(value).lower() if isinstance(value, bool) else str(value)
            for option, value in self.families[family].items()
        }

    def _described(self, family: str) -> str:
        options = "".join(f", {name} => '{value}'" for name, value in self.attributes(family).items())
        return f"{{NAME => '{family}'{options}}}"

    def alteration(self, families: Iterable[str]) -> str:
        """The statement that gives a table that is there some of the families, in HBase's shell, on one line."""
        return ", ".join([f"alter '{self.name}'", *map(self._described, families)])

    def shell_statement(self) -> str:
        """The statement that makes the table in HBase's shell, on several lines."""
        parts = [f"create '{self.name}'", *map(self._described, self.families)]
        if self.split_keys:
            keys = ", ".join("'" + "".join(f"\\x{byte:02X}" for byte in key) + "'" for key in self.split_keys)
            parts.append(f"SPLITS => [{keys}]")
        return ",\n  ".join(parts)


def create_tables(tables: Sequence[NewTable], *, zookeeper: str, jars: Path, java: Path) -> None:
    """Make tables and return when all their regions are open; one that is there already is left as it is.

    ``zookeeper`` is ``host:port``, several with commas. ``jars`` is a folder with those of HBase's client; an
    ``hbase-site.xml`` in it is honoured. Raises :class:`TablesNotMade`: within 15 seconds if ZooKeeper or the master
    cannot be reached.
    """
    names = ", ".join(table.name for table in tables)
    if not any(jars.glob("hbase-*client*.jar")):
        raise TablesNotMade(f"{names} could not be made: {jars} has no jars of HBase's client")
    reason = ""
    try:
        with _java(java, f"{jars}:{jars}/*") as jvm:
            try:
                _create(jvm, tables, zookeeper)
            except Py4JJavaError as error:  # its words have to be fetched before Java ends
                reason = _reason(error)
    except Py4JError as error:
        reason = f"{str(error).splitlines()[0]} (its Java client ended, or gave no answer within {_JAVA_SECONDS} s)"
    except OSError as error:
        reason = str(error)
    if reason:
        raise TablesNotMade(f"{names} could not be made by way of HBase's ZooKeeper at {zookeeper}: {reason}")


def _create(jvm: Any, tables: Sequence[NewTable], zookeeper: str) -> None:
    hbase = jvm.org.apache.hadoop.hbase
    seconds = jvm.java.util.concurrent.TimeUnit.SECONDS
    # py4j takes an unknown class for a package, and calling it is a TypeError; this names the class that is missing
    jvm.java.lang.Class.forName("org.apache.hadoop.hbase.HBaseConfiguration")
    configuration = hbase.HBaseConfiguration.create()
    for name, value in {**_CONNECT, "hbase.zookeeper.quorum": zookeeper}.items():
        configuration.set(name, value)
    connection = hbase.client.ConnectionFactory.createConnection(configuration)
    admin = connection.getAdmin()
    futures = [  # all are under way before the first is waited for
        _unless_it_exists(admin.createTableAsync, _descriptor(hbase, table), _split_keys(jvm, table))
        for table in tables
    ]
    for future in futures:
        if future is not None:
            _unless_it_exists(future.get, _CREATE_SECONDS, seconds)
    for table in tables:  # one that exists may be another process's, and not be ready
        while not admin.isTableAvailable(hbase.TableName.valueOf(table.name)):
            time.sleep(0.2)
    connection.close()


def _descriptor(hbase: Any, table: NewTable) -> Any:
    described = hbase.client.TableDescriptorBuilder.newBuilder(hbase.TableName.valueOf(table.name))
    for name in table.families:
        family = hbase.client.ColumnFamilyDescriptorBuilder.newBuilder(name.encode())
        for attribute, value in table.attributes(name).items():
            family.setValue(attribute, value)
        described.setColumnFamily(family.build())
    return described.build()


def _split_keys(jvm: Any, table: NewTable) -> Any:
    """A ``byte[][]``, or None: HBase refuses an empty one."""
    if not table.split_keys:
        return None
    keys = jvm.java.lang.reflect.Array.newInstance(jvm.java.lang.Class.forName("[B"), len(table.split_keys))
    for index, key in enumerate(table.split_keys):
        keys[index] = key
    return keys


@contextmanager
def _java(java: Path, class_path: str) -> Iterator[Any]:
    """What py4j calls a JVM view, of a Java that ends with the block, with this process, or when it takes too long."""
    command = [str(java), *_FLAGS, "-cp", f"{find_jar_path()}:{class_path}", "py4j.GatewayServer"]
    command += ["--die-on-broken-pipe", "--enable-auth", "0"]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        watchdog = threading.Timer(_JAVA_SECONDS, process.kill)
        watchdog.daemon = True
        watchdog.start()
        try:
            assert process.stdout is not None
            port, token = (process.stdout.readline().decode().strip() for _ in range(2))
            if not token:
                errors.seek(0)
                raise OSError(f"Java did not start: {errors.read().decode(errors='replace').strip()[-500:]}")
            gateway = JavaGateway(gateway_parameters=GatewayParameters(port=int(port), auth_token=token))
            try:
                yield gateway.jvm
            finally:
                gateway.shutdown()
        finally:
            watchdog.cancel()
            process.kill()


def _chain(error: Py4JJavaError) -> Iterator[tuple[str, str]]:
    """Class and message of a Java exception and of what caused it."""
    cause = error.java_exception
    while cause is not None:
        yield cause.getClass().getSimpleName(), cause.getMessage() or ""
        cause = cause.getCause()


def _unless_it_exists(call: Callable[..., Any], *arguments: Any) -> Any:
    """What a call that makes a table returns; None if the table exists."""
    try:
        return call(*arguments)
    except Py4JJavaError as error:
        if all(name != "TableExistsException" for name, _ in _chain(error)):
            raise
        return None


def _reason(error: Py4JJavaError) -> str:
    """The first line of what the innermost exception that says anything says."""
    messages = [f"{name}: {message.splitlines()[0]}" for name, message in _chain(error) if message]
    return messages[-1] if messages else "an exception without a word"
