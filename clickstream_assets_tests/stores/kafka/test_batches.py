"""Batches opened as a stream hold the same records as opened at once, and no more of them than was asked for."""

import random
import struct
import tracemalloc
import zlib
from types import SimpleNamespace

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.errors import UnsupportedCodecError
from kafka.protocol.consumer import IsolationLevel
from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecordBatch

from clickstream_assets.stores.kafka import batches
from clickstream_assets.stores.kafka.batches import WholeBatches, messages_of
from clickstream_assets_tests.fakes.kafka_batches import (
    ENCODERS,
    NAMES,
    compressed,
    fetched,
    plain,
    snappy_encode,
    with_body,
)

MIB = 1 << 20
CODECS = pytest.mark.parametrize("codec", ENCODERS, ids=NAMES.values())
COMPRESSIONS = pytest.mark.parametrize("codec", [c for c in ENCODERS if c], ids=[n for c, n in NAMES.items() if c])


def of_library(raw):
    return [(record.offset, record.timestamp, record.value) for batch in MemoryRecords(raw) for record in batch]


def of_ours(raw, first=0):
    return [(m.offset, m.timestamp_ms, m.value) for m in messages_of(fetched(raw), 3, first)]


sizes = st.sampled_from([0, 1, 62, 63, 64, 8_000, 8_192, 65_000, 65_535, 65_536, 66_000, 300_000])
values = st.none() | st.builds(lambda size, seed: random.Random(seed).randbytes(size), sizes, st.integers(0, 9))


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(st.lists(values, min_size=1, max_size=12), sizes, sizes, st.sampled_from(list(ENCODERS)), st.booleans())
def test_records_are_those_that_the_library_reads(drawn, key_bytes, header_bytes, codec, append_time):
    batch = plain(drawn, key=bytes(key_bytes), headers=[("h", bytes(header_bytes)), ("none", None)])
    raw = compressed(batch, codec, base_offset=70, append_time=append_time)
    as_read = of_library(with_body(batch, 0, batch[61:], base_offset=70, append_time=append_time))
    assert [value for *_, value in as_read] == drawn
    assert of_ours(raw) == as_read
    assert of_ours(raw, 72) == as_read[2:]


@CODECS
def test_offsets_that_compaction_took_are_not_there(codec):
    raw = compressed(plain([b"a", b"b", b"c"], skip=5), codec)
    assert [(offset, value) for offset, _, value in of_ours(raw)] == [(0, b"a"), (1, b"b"), (7, b"c")]


@COMPRESSIONS
def test_what_lies_behind_the_bound_is_known_by_its_offsets(codec, monkeypatch):
    monkeypatch.setattr(batches, "MOST_OPENED_BYTES", 5 * MIB)
    raw = compressed(plain([bytes(MIB)] * 9), codec, base_offset=100)
    messages = list(messages_of(fetched(raw), 3, 102))
    assert [m.offset for m in messages] == list(range(102, 109))
    opened = [m for m in messages if m.refusal is None]
    assert [m.value for m in opened] == [bytes(MIB)] * 2  # five records of 1 MiB and their heads are beyond it
    refused = messages[len(opened) :]
    assert {m.value for m in refused} == {None}
    assert {m.timestamp_ms for m in refused} == {1_700_000_000_008}
    assert {m.refusal for m in refused} == {
        f"not read: its {NAMES[codec]} batch of {len(raw)} bytes opens to more than {5 * MIB} bytes"
    }
    assert messages == list(messages_of(fetched(raw), 3, 102))


def test_a_batch_that_opens_to_the_bound_and_no_more_is_read(monkeypatch):
    batch = plain([b"x" * 1_000] * 5)
    monkeypatch.setattr(batches, "MOST_OPENED_BYTES", len(batch) - 61)
    assert of_ours(compressed(batch, 1)) == of_library(batch)
    monkeypatch.setattr(batches, "MOST_OPENED_BYTES", len(batch) - 62)
    assert [m.refusal is None for m in messages_of(fetched(compressed(batch, 1)), 0, 0)] == [True] * 4 + [False]


def test_a_compacted_batch_says_how_many_of_its_last_offsets_hold_a_record(monkeypatch):
    monkeypatch.setattr(batches, "MOST_OPENED_BYTES", 1_500)
    raw = compressed(plain([bytes(1_000)] * 3, skip=5), 1)
    messages = list(messages_of(fetched(raw), 0, 0))
    assert [m.offset for m in messages] == list(range(8))
    assert {m.refusal.partition("; ")[2] for m in messages[1:]} == {"of offsets 1 to 7 2 hold a record"}


@CODECS
def test_a_value_too_large_to_be_kept_is_passed_over(codec):
    raw = compressed(plain([b"a", bytes(3 * MIB), b"b"], key=b"k" * 70_000), codec)
    messages = list(messages_of(fetched(raw), 0, 0, most_kept=2 * MIB))
    assert [m.value for m in messages] == [b"a", None, b"b"]
    assert [m.refusal for m in messages] == [None, f"{3 * MIB} bytes, which are not kept beyond {2 * MIB}", None]


@COMPRESSIONS
@pytest.mark.parametrize("at", [0.0, 0.4, 0.9])
def test_a_batch_that_is_broken_is_refused_from_there_on(codec, at):
    drawn = [random.Random(place).randbytes(9_000) for place in range(200)]
    batch = plain(drawn)
    body = bytearray(ENCODERS[codec](batch[61:]))
    place = int(len(body) * at)
    del body[place : place + 5_000]
    messages = list(messages_of(fetched(with_body(batch, codec, bytes(body))), 0, 0))
    assert [m.offset for m in messages] == list(range(200))
    readable = [m for m in messages if m.refusal is None]
    refused = messages[len(readable) :]
    assert refused
    assert all(m.value is None and " bytes can't be opened: " in m.refusal for m in refused)


@CODECS
def test_a_batch_that_ends_too_early_is_refused_from_there_on(codec):
    batch = plain([b"x" * 100] * 10)
    raw = with_body(batch, codec, ENCODERS[codec](batch[61:-50]))
    messages = list(messages_of(fetched(raw), 0, 0))
    assert [m.refusal is None for m in messages] == [True] * 9 + [False]


def test_a_snappy_block_is_opened_for_its_size_alone():
    batch = plain([bytes(1 << 16)] * 4)
    block = pa.compress(batch[61:], codec="snappy", asbytes=True)
    assert of_ours(with_body(batch, 2, block)) == of_library(batch)  # as librdkafka frames it: not at all
    lie = b"\xff\xff\xff\x7f" + block[3:]
    (message, *_) = messages_of(fetched(with_body(batch, 2, lie)), 0, 0)
    assert "claims to open to 268435455" in message.refusal
    assert of_ours(with_body(batch, 2, snappy_encode(batch[61:], 1 << 20))) == of_library(batch)
    for header in (-1, 0, 1 << 30):
        broken = snappy_encode(b"")[:16] + struct.pack(">i", header) + block
        (message, *_) = messages_of(fetched(with_body(batch, 2, broken)), 0, 0)
        assert "a snappy block of" in message.refusal


def test_members_of_gzip_follow_one_another():
    batch = plain([bytes(1 << 16)] * 4)
    members = [ENCODERS[1](batch[61:100_000]), b"", bytes(9), ENCODERS[1](b""), ENCODERS[1](batch[100_000:])]
    assert of_ours(with_body(batch, 1, b"".join(members))) == of_library(batch)


def test_an_unknown_compression_is_no_fault_of_the_batch():
    batch = plain([b"a"])
    with pytest.raises(UnsupportedCodecError):
        list(messages_of(fetched(with_body(batch, 5, batch[61:])), 0, 0))


@pytest.mark.slow
@COMPRESSIONS
def test_a_bomb_is_opened_a_part_at_a_time(codec):
    raw = compressed(plain([bytes(4 * MIB)] * 16), codec)
    tracemalloc.start()
    try:
        assert sum(len(m.value) for m in messages_of(fetched(raw), 0, 0)) == 64 * MIB
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5 * 4 * MIB + 3 * len(raw)  # a value is held four times over: as it was, joined, cut out, before it


@pytest.mark.slow
def test_the_first_record_costs_what_lies_before_it(monkeypatch):
    fed = []
    new = zlib.decompressobj

    class Counted:
        def __init__(self, *arguments):
            self._inner = new(*arguments)

        def decompress(self, *arguments):
            part = self._inner.decompress(*arguments)
            fed.append(len(part))
            return part

        def __getattr__(self, name):
            return getattr(self._inner, name)

    monkeypatch.setattr(zlib, "decompressobj", Counted)
    raw = compressed(plain([bytes(1_000)] * 50_000), 1)
    assert next(messages_of(fetched(raw), 0, 0, most_kept=0)).offset == 0
    assert sum(fed) < MIB


def test_batches_of_aborted_transactions_and_markers_are_not_handed_out():
    def of(producer_id, value, base_offset, *, marker=False):
        batch = plain(
            [value],
            key=struct.pack(">hh", 0, 0) if marker else None,
            transactional=True,
            producer_id=producer_id,
            producer_epoch=0,
            base_sequence=0,
        )
        bits = DefaultRecordBatch.TRANSACTIONAL_MASK | (DefaultRecordBatch.CONTROL_MASK if marker else 0)
        return with_body(batch, 0, batch[61:], base_offset=base_offset, bits=bits)

    raw = of(7, b"aborted", 0) + of(8, b"committed", 1) + of(7, b"", 2, marker=True) + of(7, b"a later one", 3)
    fetched_records = WholeBatches(
        0,
        TopicPartition("t", 3),
        MemoryRecords(raw),
        isolation_level=IsolationLevel.READ_COMMITTED,
        aborted_transactions=[SimpleNamespace(producer_id=7, first_offset=0)],
    )
    handed_out = fetched_records.take(10)
    messages = [message for record in handed_out for message in messages_of(record.value, 3, 0)]
    assert [(m.offset, m.value) for m in messages] == [(1, b"committed"), (3, b"a later one")]
    assert fetched_records.next_fetch_offset == 4
