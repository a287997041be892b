"""Spark Connect: the server and its workers' Python."""

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from clickstream_assets.connection_settings import PREFIX
from clickstream_assets.local.stack.java_servers import add_opens, server_flags
from clickstream_assets.local.stack.ports import HOST, Door
from clickstream_assets.local.stack.processes import Launch
from clickstream_assets.local.stack.server import Folders, Server
from clickstream_assets.stores.java import java_binary, write_java_home

MESSAGE_BYTES = 128 << 20
"""Of one gRPC message, in both directions; pyspark's client has the same limit."""


TOKEN_VARIABLE = "SPARK_CONNECT_AUTHENTICATE_TOKEN"  # noqa: S105 - a name
"""Where Spark's server and its clients look for the token."""


def spark_home() -> Path:
    """The folder of the pyspark package, which is a whole Spark."""
    from importlib.util import find_spec

    spec = find_spec("pyspark")
    assert spec and spec.origin
    return Path(spec.origin).parent


def write_python(path: Path) -> Path:
    """Write a ``python`` for Spark's workers that finds packages as this process does, and return its path.

    Spark puts its own jar on their ``PYTHONPATH``. They would read the table of contents of it anew for each task
    (``importlib.invalidate_caches``): a tenth of a second, and most of the time of a small one.
    """
    own = os.environ.get("PYTHONPATH")
    search = "unset PYTHONPATH" if own is None else f"export PYTHONPATH={shlex.quote(own)}"
    path.write_text(f'#!/bin/sh\n{search}\nexec {shlex.quote(sys.executable)} "$@"\n')
    path.chmod(0o755)
    return path


def configuration(folders: Folders, port: int, python: Path, door: Door) -> dict[str, str]:
    """Spark's configuration, master apart."""
    return {
        "spark.app.name": "clickstream",
        "spark.connect.grpc.binding.address": door.listen,
        "spark.connect.grpc.binding.port": str(port),
        "spark.connect.grpc.maxInboundMessageSize": str(MESSAGE_BYTES),
        "spark.driver.host": HOST,
        "spark.driver.bindAddress": HOST,
        "spark.driver.memory": "1g",
        "spark.local.dir": str(folders.tmp),
        "spark.sql.warehouse.dir": str(folders.data / "warehouse"),
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "8",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.pyspark.python": str(python),
        "spark.pyspark.driver.python": str(python),
        "spark.python.daemon.module": "clickstream_assets.stores.spark.python_daemon",
        "spark.connect.session.manager.defaultSessionTimeout": "-1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.ui.retainedExecutions": "20",
    }


@dataclass
class SparkConnect(Server):
    """The server. With the master ``local[*]`` its tasks run in its own process."""

    name = "spark"
    title = "Spark Connect"

    master: str
    door: Door
    token: str
    """What clients have to show: whoever reaches the server has it run code."""
    settings: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    """Our settings, for its workers, which go to the other servers themselves."""

    def launch(self) -> Launch:
        folders, home, logging = self.folders, spark_home(), self._write_log4j2()
        own_java_home, python = self._programs()
        settings = [
            part
            for name, value in configuration(folders, self.port, python, self.door).items()
            for part in ("--conf", f"{name}={value}")
        ]
        argv = [
            str(java_binary()),
            *server_flags(heap_mb=1024, initial_heap_mb=256, temporary=folders.tmp, collector="Parallel"),
            *add_opens(),
            "-Djdk.reflect.useDirectMethodHandle=false",
            "-Dio.netty.tryReflectionSetAccessible=true",
            f"-Dlog4j2.configurationFile={logging}",
            f"-Dderby.system.home={folders.data}",
            "-cp",
            f"{folders.conf}:{home / 'jars'}/*",
            "org.apache.spark.deploy.SparkSubmit",
            *("--class", "org.apache.spark.sql.connect.service.SparkConnectServer"),
            *("--master", self.master),
            *settings,
            "spark-internal",
        ]
        environment = {
            **{name: value for name, value in os.environ.items() if name.startswith(PREFIX)},
            **self.settings,
            TOKEN_VARIABLE: self.token,  # not in the arguments, which every user of the machine can list
            "JAVA_HOME": str(own_java_home),
            "SPARK_HOME": str(home),
            "SPARK_CONF_DIR": str(folders.conf),
            "SPARK_LOCAL_IP": HOST,
            "SPARK_SCALA_VERSION": "2.13",
            "PYSPARK_PYTHON": str(python),
            "PYSPARK_DRIVER_PYTHON": str(python),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        }
        return self._launch(argv, environment)

    def _programs(self) -> tuple[Path, Path]:
        """Write the Java home and the Python that Spark takes. Everybody's in an image, they are their owner's here."""
        java, python = write_java_home(self.folders.conf / "java"), write_python(self.folders.conf / "python")
        for program in (java / "bin" / "java", python):
            program.chmod(0o700)
        return java, python

    def answers(self) -> None:
        ask(self.port, self.token)


def ask(port: int, token: str | None = None) -> None:
    """Return if the Spark Connect server on this machine answers; raise what gRPC raises if it does not.

    Without a token that of the environment is shown, if there is one.
    """
    import grpc

    from clickstream_assets.stores.spark import channel

    with grpc.insecure_channel(f"{HOST}:{port}", options=[("grpc.enable_http_proxy", 0)]) as opened:
        channel.ask(opened, token or os.environ.get(TOKEN_VARIABLE, ""), timeout=20)
