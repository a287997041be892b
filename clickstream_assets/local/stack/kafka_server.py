"""Kafka: one KRaft node that is broker and controller."""

import subprocess
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clickstream_assets.local.stack.errors import StackError
from clickstream_assets.local.stack.java_servers import server_environment, server_flags
from clickstream_assets.local.stack.ports import HOST, Door
from clickstream_assets.local.stack.processes import Launch, tail
from clickstream_assets.local.stack.security import USER, Security
from clickstream_assets.local.stack.server import Server
from clickstream_assets.stores.java import java_binary

if TYPE_CHECKING:
    from kafka import KafkaAdminClient

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


MECHANISM = "SCRAM-SHA-512"


@dataclass(frozen=True)
class SecureListeners:
    """What Kafka is secured with, and the ports that takes beside the public one, where users sign in by password."""

    security: Security
    internal: int
    """In plain text, on the loopback address: for the broker itself, and for making the user."""
    mutual: int
    """For clients that show a certificate."""

    def properties(self, conf: Path, port: int, controller_port: int, door: Door) -> dict[str, str]:
        """What differs from :func:`server_properties`. Writes key and certificates to ``conf``."""
        listen = {"SASL_SSL": port, "MUTUAL": self.mutual}
        internal, controller = f"INTERNAL://{HOST}:{self.internal}", f"CONTROLLER://{HOST}:{controller_port}"
        login = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        return {
            "listeners": ",".join(
                [*(f"{name}://{door.listen}:{at}" for name, at in listen.items()), internal, controller]
            ),
            "advertised.listeners": ",".join(
                [*(f"{name}://{door.name}:{at}" for name, at in listen.items()), internal]
            ),
            "listener.security.protocol.map": "SASL_SSL:SASL_SSL,MUTUAL:SSL,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "INTERNAL",
            "sasl.enabled.mechanisms": MECHANISM,
            f"listener.name.sasl_ssl.{MECHANISM.lower()}.sasl.jaas.config": login,
            "listener.name.mutual.ssl.client.auth": "required",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.security.write_pem_store(conf)),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.security.write_authority(conf)),
        }

    def make_user(self) -> None:
        """Make the user, or give it this start's password: at the broker, which no list of processes shows."""
        from kafka.admin import UserScramCredentialUpsertion

        credential = UserScramCredentialUpsertion(USER, MECHANISM, self.security.kafka_password)
        with closing(_admin(self.internal)) as client:
            refusals = client.alter_user_scram_credentials([credential])
        if refusals[USER]:
            raise StackError(f"Kafka refuses to make the user {USER}: {refusals[USER]}")

    @property
    def signed_in(self) -> dict[str, Any]:
        """How kafka-python's clients sign in at the public port."""
        return {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": MECHANISM,
            "sasl_plain_username": USER,
            "sasl_plain_password": self.security.kafka_password,
            "ssl_cafile": str(self.security.ca),
        }


@dataclass
class Kafka(Server):
    name = "kafka"
    title = "Kafka"

    controller_port: int
    jars: Path
    door: Door
    secure: SecureListeners | None = field(default=None, kw_only=True)

    def launch(self) -> Launch:
        """See :meth:`Server.launch`. A new data folder is formatted first, which takes two seconds, once."""
        properties = self.folders.conf / "server.properties"
        configuration = server_properties(self.folders.data, self.port, self.controller_port, self.door)
        if self.secure:
            configuration |= self.secure.properties(self.folders.conf, self.port, self.controller_port, self.door)
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
            self._give_folders()
            self._format([*self.user.command, *java, "kafka.tools.StorageTool"], properties)
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
        if self.secure:
            self.secure.make_user()
        with closing(_admin(self.port, **self.secure.signed_in if self.secure else {})) as client:
            client.list_topics()


def _admin(port: int, **options: Any) -> "KafkaAdminClient":
    from kafka import KafkaAdminClient

    return KafkaAdminClient(
        bootstrap_servers=f"{HOST}:{port}", request_timeout_ms=5_000, bootstrap_timeout_ms=5_000, **options
    )
