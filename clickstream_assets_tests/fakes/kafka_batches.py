"""Batches of records as a producer's library makes them, in every compression, whatever is in them.

No fake: the bytes are those that a broker stores.
"""

import struct

import pyarrow as pa
from kafka.codec import gzip_encode, lz4_encode, zstd_encode
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.memory_records import MemoryRecordsBuilder
from kafka.record.util import calc_crc32c

from clickstream_assets.stores.kafka.batches import _Batches


def snappy_encode(data, block_bytes=32 << 10):
    """As snappy-java frames it: a header, then each block behind its length."""
    blocks = (data[at : at + block_bytes] for at in range(0, len(data), block_bytes))
    packed = [pa.compress(block, codec="snappy", asbytes=True) for block in blocks]
    return b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1) + b"".join(struct.pack(">i", len(b)) + b for b in packed)


ENCODERS = {0: bytes, 1: gzip_encode, 2: snappy_encode, 3: lz4_encode, 4: zstd_encode}
"""By the number that a batch's attributes have for it."""
NAMES = {0: "none", 1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}


def plain(values, *, time_ms=1_700_000_000_000, key=None, headers=(), skip=0, offset=0, **transaction):
    """An uncompressed batch; the record at place ``i`` is stamped ``i`` ms later. ``skip`` offsets are left out before
    the last record, as compaction would."""
    builder = MemoryRecordsBuilder(2, 0, 1 << 40, offset=offset, **transaction)
    for place, value in enumerate(values):
        if skip and place == len(values) - 1:
            builder.skip(skip)
        builder.append(time_ms + place, key, value, list(headers))
    builder.close()
    return bytes(builder.buffer())


def with_body(batch, codec, body, *, base_offset=0, append_time=False, bits=0):
    """A batch with other records, as they lie compressed, and the header that goes with them."""
    size, fields = DefaultRecordBatch.HEADER_STRUCT.size, list(DefaultRecordBatch.HEADER_STRUCT.unpack_from(batch))
    fields[0], fields[1] = base_offset, size - DefaultRecordBatch.AFTER_LEN_OFFSET + len(body)
    fields[5] = codec | bits | (DefaultRecordBatch.TIMESTAMP_TYPE_MASK if append_time else 0)
    made = bytearray(DefaultRecordBatch.HEADER_STRUCT.pack(*fields) + body)
    checksum = calc_crc32c(memoryview(made)[DefaultRecordBatch.ATTRIBUTES_OFFSET :])
    made[DefaultRecordBatch.CRC_OFFSET : DefaultRecordBatch.ATTRIBUTES_OFFSET] = checksum.to_bytes(4, "big")
    return bytes(made)


def compressed(batch, codec, **header):
    """A batch's records in another compression."""
    return with_body(batch, codec, ENCODERS[codec](batch[DefaultRecordBatch.HEADER_STRUCT.size :]), **header)


def fetched(raw):
    """The batch as it is handed out."""
    return _Batches(raw).next_batch()
