"""A Kafka that was begun without passwords, and is secured at a later start."""

import contextlib

from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from clickstream_assets.local.stack.kafka_server import SecureListeners
from clickstream_assets.local.stack.ports import free_port
from clickstream_assets.local.stack.security import Security, new_folder
from clickstream_assets_tests.integration.own_kafka import OwnKafka


def test_it_has_its_topics_and_takes_its_user(tmp_path):
    kafka = OwnKafka(tmp_path)
    kafka.start()
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=kafka.address)) as client:
        client.create_topics([NewTopic("kept", num_partitions=1, replication_factor=1)])
    with kafka.down():
        new_folder(tmp_path / "security")
        security = Security(tmp_path / "security")
        kafka.server.secure = SecureListeners(security, internal=free_port(set()), mutual=free_port(set()))
    for password in (security.kafka_password, "that of a later start"):
        security.kafka_password = password
        kafka.server.answers()  # makes the user, or changes its password
        with contextlib.closing(
            KafkaAdminClient(bootstrap_servers=kafka.address, **kafka.server.secure.signed_in)
        ) as client:
            assert client.list_topics() == ["kept"]
    kafka.stop()
