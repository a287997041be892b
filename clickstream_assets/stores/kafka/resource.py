"""Kafka: the topic as the pipeline's consumer group sees it."""

from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from clickstream_assets.books.misfits import Misfit
    from clickstream_assets.stores.kafka.client import TopicClient

_LOOK_MS = 5_000


class KafkaResource(dg.ConfigurableResource):
    """Brokers, topic and consumer group."""

    bootstrap_servers: str
    topic: str
    consumer_group: str

    def client(self, **options: int) -> "TopicClient":
        """A connection, to be closed by the caller, with options of the client; makes the topic if it is missing."""
        from clickstream_assets.stores.kafka.client import TopicClient, TopicMissing, ensure_topic

        client = TopicClient(self.bootstrap_servers, self.topic, self.consumer_group, **options)
        try:
            client.partitions()
        except TopicMissing:
            # Asked for only now: an admin client is a connection of its own.
            client.close()
            ensure_topic(self.bootstrap_servers, self.topic)
            client = TopicClient(self.bootstrap_servers, self.topic, self.consumer_group, **options)
        return client

    def misfits(self) -> "list[Misfit] | None":
        """What is odd about the topic, and who else is in the consumer group; None if no broker answers."""
        from kafka.errors import KafkaError

        from clickstream_assets.books.misfits import topic_misfits
        from clickstream_assets.stores.kafka.topic_admin import topic_as_it_is

        try:
            actual = topic_as_it_is(self.bootstrap_servers, self.topic, self.consumer_group, _LOOK_MS)
        except KafkaError:
            return None
        return list(topic_misfits(actual, self.topic, self.consumer_group, self.bootstrap_servers))
