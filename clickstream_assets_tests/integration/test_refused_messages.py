"""What a real Kafka does not take is left out; what stands beside it, in the same batch, arrives."""

import random
import time
from contextlib import closing

from kafka import KafkaConsumer

from clickstream_assets.events.message_files import Message
from clickstream_assets.stores.kafka.client import TopicClient, ensure_topic
from clickstream_assets.stores.kafka.producer import send

MINUTE_MS = 60_000


def test_refused_messages_do_not_take_their_neighbours_with_them(servers):
    settings = servers.model_copy(update={"name_prefix": "refused-"})
    ensure_topic(settings.kafka_bootstrap_servers, settings.topic)
    now_ms = time.time_ns() // 1_000_000
    random_bytes = random.Random(1).randbytes  # nothing for the compression to gain
    messages = [
        Message(b"first", now_ms),
        Message(random_bytes(4 << 20), now_ms),
        Message(b"tomorrow", now_ms + 24 * 60 * MINUTE_MS),
        Message(b"never", (1 << 63) - 1),
        Message(b"a clock that is fast", now_ms + 59 * MINUTE_MS),
        Message(random_bytes((4 << 20) - 200), now_ms),
        Message(b"1970", 0),
        *(Message(b"no time", -1) for _ in range(4)),
    ]
    refused = []
    sent = send(
        messages,
        bootstrap_servers=settings.kafka_bootstrap_servers,
        topic=settings.topic,
        on_refused=refused.append,
    )
    assert [one.message.split(" (")[0] for one in refused] == ["Message 2", "Message 3", "Message 4"]
    assert sent == 8
    with TopicClient(settings.kafka_bootstrap_servers, settings.topic, settings.consumer_group) as topic:
        assert sum(topic.ends(topic.partitions()).values()) == 8
    consumer = KafkaConsumer(
        settings.topic, bootstrap_servers=settings.kafka_bootstrap_servers, auto_offset_reset="earliest", group_id=None
    )
    with closing(consumer):
        batches = iter(lambda: consumer.poll(timeout_ms=3000), {})
        held = [(record.value, record.timestamp) for batch in batches for part in batch.values() for record in part]
    assert len(held) == 8
    assert held.count((b"no time", -1)) == 4
    assert (b"1970", 0) in held
