"""Batches that a hostile producer sends: small in Kafka, large when opened. Made as a stream, and sent as they are."""

import json
import zlib
from collections.abc import Callable, Iterable

import lz4.frame
import zstandard
from kafka import KafkaProducer
from kafka.record.util import encode_varint

from clickstream_assets.stores.kafka.decompression import GZIP, LZ4, ZSTD
from clickstream_assets_tests.fakes.kafka_batches import plain, with_body


def record(place: int, value: bytes) -> bytes:
    """A record without key and headers, ``place`` offsets and milliseconds behind the batch's first."""
    body = bytearray(b"\0")
    for number in (place, place, -1, len(value)):
        encode_varint(number, body.append)
    whole = bytearray()
    encode_varint(len(body) + len(value) + 1, whole.append)
    return bytes(whole + body + value + b"\0")


def _lz4(parts: Iterable[bytes]) -> bytes:
    with lz4.frame.LZ4FrameCompressor(block_linked=False) as compressor:
        return b"".join([compressor.begin(), *map(compressor.compress, parts), compressor.flush()])


def _with(new: Callable[[], object]) -> Callable[[Iterable[bytes]], bytes]:
    def packed(parts: Iterable[bytes]) -> bytes:
        compressor = new()
        return b"".join([*map(compressor.compress, parts), compressor.flush()])

    return packed


_PACKED = {
    GZIP: _with(lambda: zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS | 16)),
    LZ4: _lz4,
    ZSTD: _with(lambda: zstandard.ZstdCompressor().compressobj()),
}


def batch(codec: int, count: int, value: Callable[[int], bytes], time_ms: int) -> bytes:
    """A batch of ``count`` records, never whole in memory."""
    parts = (record(place, value(place)) for place in range(count))
    return with_body(plain([b""] * count, time_ms=time_ms), codec, _PACKED[codec](parts))


def send_batch(bootstrap_servers: str, topic: str, partition: int, raw: bytes) -> None:
    """Produce a batch as it is, in the place of one that the library has made."""
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers, enable_idempotence=False, request_timeout_ms=60_000)
    sender = producer._sender
    request = sender._produce_request

    def with_ours(node: int, acks: int, timeout: int, batches: list) -> object:
        for each in batches:
            each.records._buffer = raw
        return request(node, acks, timeout, batches)

    sender._produce_request = with_ours
    try:
        producer.send(topic, b"", partition=partition).get(timeout=60)
    finally:
        producer.close()


def event(name: str, time_ms: int, **fields: object) -> bytes:
    """A page view that the contract takes."""
    value = {"event_id": name, "user_id": "u", "timestamp": time_ms, "url": "https://hostile.example/"} | fields
    return json.dumps(value).encode()
