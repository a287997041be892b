"""Kafka: one KRaft node that is broker and controller."""

import subprocess
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from clickstream_assets.local.stack.errors import StackError
from clickstream_assets.local.stack.java_servers import server_environment, server_flags
from clickstream_assets.local.stack.ports import HOST, Door
from clickstream_assets.local.stack.processes import Launch, tail
from clickstream_assets.local.stack.server import Server
from clickstream_assets.stores.java import java_binary

# Any id does, as long as it stays: the data folder is bound to it
CLUSTER_ID = "Y2xpY2tzdHJlYW0tc3Rhaw"


def server_properties(data: Path, port: int, controller_port: int, door: Door) -> dict[str, str]:
    """The broker's configuration.

    Nothing is ever deleted by age (``log.retention.hours=-1``): Kafka counts age by the records' own timestamps, and
    hours that are replayed carry old ones.
    """
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "listeners": f"PLAINTEXT://{door.listen}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{door.name}:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(data),
        # Topics
        "num.partitions": "8",
        "auto.create.topics.enable": "false",
        "message.max.bytes": str(4 << 20),
        "replica.fetch.max.bytes": str(4 << 20),
        "log.retention.hours": "-1",
        # Internal topics on a single node
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "offsets.retention.minutes": "5256000",  # ten years: committed offsets say how far ingestion is
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        # A small machine
        "num.network.threads": "2",
        "num.io.threads": "4",
        "background.threads": "2",
        "log.cleaner.threads": "1",
        "log.cleaner.dedupe.buffer.size": str(8 << 20),
    }


@dataclass
class Kafka(Server):
    name = "kafka"
    title = "Kafka"

    controller_port: int
    jars: Path
    door: Door

    def launch(self) -> Launch:
        """See :meth:`Server.launch`. A new data folder is formatted first, which takes two seconds, once."""
        properties = self.folders.conf / "server.properties"
        configuration = server_properties(self.folders.data, self.port, self.controller_port, self.door)
        properties.write_text("".join(f"{name}={value}\n" for name, value in configuration.items()))
        logging = self._write_log4j2("kafka.server.KafkaRaftServer")
        java = [
            str(java_binary()),
            *server_flags(heap_mb=384, initial_heap_mb=128, temporary=self.folders.tmp),
            f"-Dlog4j2.configurationFile={logging}",
            "-Dlog4j2.disableJmx=true",
            "-cp",
            f"{self.jars}/*",
        ]
        if not (self.folders.data / "meta.properties").exists():
            self._format([*java, "kafka.tools.StorageTool"], properties)
        return self._launch([*java, "kafka.Kafka", str(properties)])

    def _format(self, tool: list[str], properties: Path) -> None:
        log = self.folders.log.with_name("kafka-format.log")
        command = [*tool, "format", "--cluster-id", CLUSTER_ID, "--ignore-formatted", "--config", str(properties)]
        with log.open("wb") as output:
            done = subprocess.run(
                command, stdout=output, stderr=subprocess.STDOUT, env=server_environment(), timeout=120, check=False
            )
        if done.returncode:
            raise StackError(f"Kafka's data folder could not be formatted. The end of {log}:\n{tail(log)}")

    def answers(self) -> None:
        from kafka import KafkaAdminClient

        with closing(KafkaAdminClient(bootstrap_servers=f"{HOST}:{self.port}", request_timeout_ms=5_000)) as client:
            client.list_topics()
