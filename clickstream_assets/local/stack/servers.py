"""The five servers of a stack, put together: ports, passwords, certificates, and whom they run as."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from clickstream_assets.local.stack import ports
from clickstream_assets.local.stack.addresses import environment, exports, mutual_environment
from clickstream_assets.local.stack.downloads import Downloads
from clickstream_assets.local.stack.elasticsearch_server import Elasticsearch
from clickstream_assets.local.stack.hbase_server import HBase, HBaseThrift, site
from clickstream_assets.local.stack.home import PROGRAMS, clickstream_home, stack_home
from clickstream_assets.local.stack.kafka_server import Kafka, SecureListeners
from clickstream_assets.local.stack.security import TOKEN_FILE, Security, new_folder, security_folder, write_secret
from clickstream_assets.local.stack.server import Folders, Server
from clickstream_assets.local.stack.spark_server import SparkConnect
from clickstream_assets.local.stack.users import ServerUser, servers_user, within_reach
from clickstream_assets.stores.java import java_binary

if TYPE_CHECKING:
    from clickstream_assets.settings import Settings

SERVERS = ("kafka", "hbase", "hbase-thrift", "elasticsearch", "spark")


@dataclass(frozen=True)
class Servers:
    """The servers of one start. Making them makes everything anew that they are signed in to with."""

    settings: "Settings"
    downloads: Downloads
    public: dict[str, int]
    """The public port of each."""
    free_port: Callable[[], int]
    say: Callable[[str], None]
    secure: bool

    def put_together(self) -> tuple[list[Server], dict[str, str]]:
        """The servers, and the variables that point any process at them.

        The slowest is first: they all start at once, but the processor is shared.
        """
        secret = security_folder(self._home)
        new_folder(secret)
        token = self.settings.secret("spark_token") or secrets.token_urlsafe(24)
        token_file = write_secret(secret / TOKEN_FILE, token)
        security = Security(secret, self.settings.stack_host) if self.secure else None
        zookeeper = self.free_port()
        shown = environment(self.public, zookeeper, self.downloads, token_file, security)
        user = servers_user(java_binary(), clickstream_home(self.settings), self._home, self.say)
        hbase, thrift = self._hbase(zookeeper, security, user)
        return [
            hbase,
            self._spark(token, shown),
            self._elasticsearch(security, user),
            thrift,
            self._kafka(security, user),
        ], shown

    @property
    def _home(self) -> Path:
        return stack_home(self.settings)

    @property
    def _door(self) -> ports.Door:
        return ports.Door.named(self.settings.stack_host)

    def _folders(self, name: str) -> Folders:
        return Folders.of(self._home, name)

    def _programs(self, user: ServerUser, folder: Path) -> Path:
        return within_reach(user, java_binary(), folder, self._home / PROGRAMS)

    def _hbase(self, zookeeper: int, security: Security | None, user: ServerUser) -> tuple[HBase, HBaseThrift]:
        jars, folders = self._programs(user, self.downloads.hbase), self._folders("hbase")
        place = partial(site, folders.data, zookeeper=zookeeper, tmp=folders.tmp, door=self._door)
        both = place(master=self.free_port(), region_server=self.free_port())
        thrift = self._folders("hbase-thrift"), self.public["hbase-thrift"]
        return (
            HBase(folders, zookeeper, jars, both, user=user),
            HBaseThrift(*thrift, jars, both, security=security, user=user),
        )

    def _spark(self, token: str, shown: dict[str, str]) -> SparkConnect:
        master = self.settings.stack_spark_master
        return SparkConnect(self._folders("spark"), self.public["spark"], master, self._door, token, settings=shown)

    def _elasticsearch(self, security: Security | None, user: ServerUser) -> Elasticsearch:
        distribution = self._programs(user, self.downloads.elasticsearch)
        where = self._folders("elasticsearch"), self.public["elasticsearch"], self.free_port()
        return Elasticsearch(*where, distribution, self._door, security=security, user=user)

    def _kafka(self, security: Security | None, user: ServerUser) -> Kafka:
        jars, where = self._programs(user, self.downloads.kafka), (self._folders("kafka"), self.public["kafka"])
        kafka = Kafka(*where, self.free_port(), jars, self._door, user=user)
        if security:
            kafka.secure = SecureListeners(security, internal=self.free_port(), mutual=self.free_port())
            lines = exports(mutual_environment(kafka.secure.mutual, security))
            write_secret(security.folder / "kafka-mutual.env", "\n".join(lines) + "\n")
        return kafka
