"""An hour of events in Kafka."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.pipeline import Pipeline
from benchmarks.traffic import Distinct, Shop, Skew
from clickstream_assets.events.message_files import Message
from clickstream_assets.stores.kafka.client import ensure_topic
from clickstream_assets.stores.kafka.producer import send

SEED = 1


@dataclass(frozen=True, slots=True)
class Feed:
    """A topic that holds an hour."""

    topic: str
    hour: int
    events: int
    """Messages recorded in the hour."""
    ends: dict[int, int]
    """Offsets behind them, by Kafka partition."""
    late: int
    """Messages of the hour recorded after it."""
    late_ends: dict[int, int]
    sent: Path
    """All of them as envelopes."""
    distinct: Distinct


def feed(pipeline: Pipeline, folder: Path, hour: int, events: int, late: int = 0, skew: Skew | None = None) -> Feed:
    """Send an hour's events to the pipeline's topic, then ``late`` ones."""
    shop = Shop(SEED, events, skew)
    sent = folder / f"{pipeline.settings.name_prefix}sent.jsonl"
    ensure_topic(pipeline.settings.kafka_bootstrap_servers, pipeline.settings.topic)
    with sent.open("w", encoding="utf-8") as record:

        def send_all(messages: Iterator[Message]) -> dict[int, int]:
            configured = pipeline.settings
            servers, topic = configured.kafka_bootstrap_servers, configured.topic
            send(messages, bootstrap_servers=servers, topic=topic, record=record)
            with pipeline.kafka.client() as client:
                return client.ends(client.partitions())

        ends = send_all(message for stretch in shop.hour(hour, events) for message in stretch.messages)
        late_ends = send_all(iter(shop.late(hour, late).messages)) if late else ends
    return Feed(pipeline.settings.topic, hour, events, ends, late, late_ends, sent, shop.distinct)
