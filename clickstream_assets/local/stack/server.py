"""What a server is to the supervisor, and the folders that it may write to."""

import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from clickstream_assets.local.stack.java_servers import server_environment
from clickstream_assets.local.stack.processes import Launch
from clickstream_assets.local.stack.users import CALLER, ServerUser


@dataclass(frozen=True)
class Folders:
    """The folders of one server below the stack's home. All but ``data`` are made anew at each start."""

    data: Path
    conf: Path
    tmp: Path
    log: Path
    """A file, the only one here."""

    @classmethod
    def of(cls, stack_home: Path, server: str) -> "Folders":
        """The folders of a server in the home of a stack."""
        return cls(
            data=stack_home / "data" / server,
            conf=stack_home / "conf" / server,
            tmp=stack_home / "tmp" / server,
            log=stack_home / "logs" / f"{server}.log",
        )

    def prepare(self) -> None:
        """Make them, the configuration and the temporary folder empty."""
        for folder in (self.conf, self.tmp):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        self.data.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)


_LOG4J2 = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %-5p %m (%c{1})%n%ex
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""


@dataclass
class Server(ABC):
    """One of the embedded servers: how to start it, and whether it answers."""

    name: ClassVar[str]
    """Short, for files and tables: ``hbase-thrift``."""
    title: ClassVar[str]
    """For sentences: ``HBase Thrift``."""
    stop_seconds: ClassVar[float] = 5.0

    folders: Folders
    port: int
    user: ServerUser = field(default=CALLER, kw_only=True)
    """Whom it runs as."""

    @abstractmethod
    def launch(self) -> Launch:
        """Write the configuration and say how to start the server with it."""

    def _launch(self, argv: Sequence[str], environment: dict[str, str] | None = None) -> Launch:
        """How to start ``argv`` as this server, in its data folder, all of its folders its user's own."""
        self._give_folders()
        return Launch(
            name=self.name,
            title=self.title,
            argv=[*self.user.command, *argv],
            log=self.folders.log,
            environment=server_environment() | (environment or {}),
            folder=self.folders.data,
            port=self.port,
            stop_seconds=self.stop_seconds,
        )

    def _give_folders(self) -> None:
        self.user.give(self.folders.data, self.folders.conf, self.folders.tmp)

    def _write_log4j2(self, informs: str = "") -> Path:
        """Have all loggers print warnings, and ``informs`` what it has to tell besides; the configuration's file."""
        path = self.folders.conf / "log4j2.properties"
        path.write_text(_LOG4J2 + (f"logger.it.name = {informs}\nlogger.it.level = info\n" if informs else ""))
        return path

    @abstractmethod
    def answers(self) -> None:
        """Return if the server does what its users need; raise whatever its client raises if it does not yet."""
