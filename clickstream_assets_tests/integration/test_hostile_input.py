"""The worst that one batch and one message can be, on servers with their default heaps (docs/decisions/0015).

A batch of 10 kB that holds 200 valid events of 1 MB, batches that open to more than is read of them, messages of 1 MiB
that are all user agent, all addresses, all brackets, and more letters of 4 MiB than any server could hold at once.
"""

import json
import subprocess
import sys
from collections import Counter
from typing import NamedTuple

import pyarrow as pa
import pytest

from clickstream_assets.books.table_schemas import CLICKS, DEAD_LETTERS
from clickstream_assets.definitions import resources
from clickstream_assets.events.hours import HOUR_MS
from clickstream_assets.ingest.dead_letters import DeadLetters, Selection
from clickstream_assets.stores.kafka.client import ensure_topic
from clickstream_assets.stores.kafka.decompression import GZIP, LZ4, ZSTD
from clickstream_assets_tests.conftest import NOW_MS
from clickstream_assets_tests.integration.hostile_batches import batch, event, send_batch
from clickstream_assets_tests.integration.pipeline import Pipeline

MIB = 1 << 20
MOST_MB = 640
"""Memory of a run, or of a command, whatever it reads."""
BATCH_SECONDS = 30
"""Processor time that a batch takes, with what is stored of it, and what a run takes at least."""
EVENTS, PROPERTY = 200, "x" * 1_000_000
BOMBS = (GZIP, LZ4, ZSTD)
"""In 2 MB of gzip or lz4, in 15 kB of zstd. Snappy gains a factor of 21 at most: none of 4 MiB opens to so much."""
IN_A_BOMB, BOMB_VALUE = 70, 6 * MIB
READ_OF_A_BOMB = 256 // 6
AROUND_AN_HOUR_MS = NOW_MS // HOUR_MS * HOUR_MS - 35
"""A bomb is opened to find the hour that begins in it."""
LETTERS, LETTER = 25, bytes(4 * MIB)
"""In each of three batches."""
NUMBERS = 150_000
"""Stored with all their zeros."""
DEEP = b'{"url":"https://hostile.example/","user_id":"u","timestamp":%d,"x":' % NOW_MS
LARGE = {
    "agent": event("agent", NOW_MS, user_agent="Mozilla/5.0 " * 87_000),
    "addresses": event("addresses", NOW_MS, ip="," * 1_040_000),
    "address": event("address", NOW_MS, ip="1" * 1_040_000),
    "numbers": event("numbers", NOW_MS, numbers=[1e15] * NUMBERS).replace(b"1000000000000000.0, ", b"1e15,"),
    "brackets": DEEP + b"[" * 500_000 + b"]" * 500_000 + b"}",
    "objects": DEEP + b'{"":' * 200_000 + b"0" + b"}" * 200_000 + b"}",
}


class Measured(NamedTuple):
    mb: int
    seconds: float
    cpu: float
    output: str


class Attacked(Pipeline):
    """A pipeline whose runs, and commands, are processes of their own."""

    more: dict[str, str]

    def process(self, *arguments: str) -> Measured:
        command = [sys.executable, "-m", "clickstream_assets_tests.integration.hostile_run", str(self.record_path)]
        done = subprocess.run(
            [*command, *arguments], env=self.environment() | self.more, timeout=400, capture_output=True, check=False
        )
        told = done.stderr.decode().splitlines()
        assert done.returncode == 0, "\n".join(told[-30:])
        return Measured(**json.loads(told[-1]), output=done.stdout.decode())

    def send(self, partition: int, raw: bytes) -> None:
        send_batch(self.settings.kafka_bootstrap_servers, self.settings.topic, partition, raw)

    def letters(self) -> dict[str, int]:
        with self.resources["hbase"].client() as client:
            letters = DeadLetters(client, self.table(DEAD_LETTERS.name), self.settings.first_hour_ms // HOUR_MS)
            return dict(Counter(letter.reason for letter in letters.select(Selection())))

    def properties(self) -> list[int]:
        with self.resources["hbase"].client() as client:
            column = CLICKS.columns["properties"].key
            return sorted(size for _, size in client.sizes(self.table(CLICKS.name), b"", b"", column))

    def rows(self) -> int:
        with self.resources["hbase"].client() as client:
            return client.count(self.table(CLICKS.name), b"", b"")


def pipeline_of(servers, tmp_path, name, **more) -> Attacked:
    pipeline = Attacked(servers, name, tmp_path / "sent.jsonl")
    pipeline.record_path.touch()
    pipeline.more = more
    ensure_topic(pipeline.settings.kafka_bootstrap_servers, pipeline.settings.topic)
    return pipeline


def assert_servers_are_well(pipeline):
    """Kafka answers what is asked of all it has, and none of the servers has had too much."""
    servers = pipeline.settings
    with pipeline.topic() as topic:
        ends = topic.ends(topic.partitions())
        assert topic.offsets_at(NOW_MS + HOUR_MS, ends) == ends
        assert sum(len(read) for p, end in ends.items() for read in topic.read(p, 0, end)) == sum(ends.values())
    out_of_memory = [
        f"{path}: {line}"
        for path in servers.home.rglob("*.log")
        for line in path.read_text(errors="replace").splitlines()
        if "OutOfMemoryError" in line
    ]
    assert out_of_memory == []


HOW = pytest.mark.parametrize(
    ("name", "more"),
    [("here", {}), ("spark", {"CLICKSTREAM_SPARK_INGEST_EVENTS": "0"})],
    ids=["without-spark", "spark"],
)


@HOW
def test_valid_events_of_a_small_batch_are_stored_though_they_are_large(servers, tmp_path, name, more):
    pipeline = pipeline_of(servers, tmp_path, f"hostile-events-{name}", **more)
    raw = batch(ZSTD, EVENTS, lambda place: event(f"e{place}", NOW_MS, page=PROPERTY), NOW_MS)
    assert len(raw) < 30_000
    pipeline.send(0, raw)
    for place, value in enumerate(LARGE.values()):
        pipeline.send(1, batch(GZIP, 1, lambda _, value=value: value, NOW_MS + place))
    measured = pipeline.process()
    page, numbers = (
        len(json.dumps(o, separators=(",", ":"))) for o in ({"page": PROPERTY}, {"numbers": [1e15] * NUMBERS})
    )
    assert Counter(pipeline.properties()) == {page: EVENTS, numbers: 1}
    assert (pipeline.rows(), pipeline.letters()) == (EVENTS + 4, {"invalid_json": 2})
    assert (measured.mb < MOST_MB, measured.cpu < BATCH_SECONDS) == (True, True), measured
    assert_servers_are_well(pipeline)


@HOW
def test_what_a_bomb_hides_is_booked_by_its_header(servers, tmp_path, name, more):
    pipeline = pipeline_of(servers, tmp_path, f"hostile-bombs-{name}", **more)
    for partition, codec in enumerate(BOMBS):
        pipeline.send(partition, batch(codec, IN_A_BOMB, lambda _: bytes(BOMB_VALUE), AROUND_AN_HOUR_MS))
        pipeline.send(partition, batch(codec, 1, lambda _, p=partition: event(f"after-{p}", NOW_MS), NOW_MS))
    measured = pipeline.process()
    assert (pipeline.rows(), pipeline.letters()) == (len(BOMBS), {"too_large": len(BOMBS) * IN_A_BOMB})
    assert (measured.mb < MOST_MB, measured.cpu < len(BOMBS) * BATCH_SECONDS) == (True, True), measured
    listed = pipeline.process("dead-letters", "show", "--limit", "1000", "--json").output.splitlines()
    details = Counter(json.loads(line)["detail"].partition(":")[0] for line in listed)
    kept_not = f"{BOMB_VALUE} bytes, which are not kept beyond {4 * MIB}"
    assert details == {
        kept_not: len(BOMBS) * READ_OF_A_BOMB,
        "not read": len(BOMBS) * (IN_A_BOMB - READ_OF_A_BOMB),
    }
    assert all(json.loads(line)["value"] is None for line in listed)
    assert f"mended 0 of {len(BOMBS) * IN_A_BOMB} " in pipeline.process("dead-letters", "replay", "--here").output
    assert pipeline.letters() == {"too_large": len(BOMBS) * IN_A_BOMB}
    assert_servers_are_well(pipeline)


def test_letters_of_4_mib_are_read_back_one_by_one(servers, tmp_path):
    pipeline = pipeline_of(servers, tmp_path, "hostile-letters")
    for partition in range(3):
        pipeline.send(partition, batch(ZSTD, LETTERS, lambda _: LETTER, NOW_MS))
    measured = [
        pipeline.process(),
        listed := pipeline.process("dead-letters", "list", "--json"),
        shown := pipeline.process("dead-letters", "show", "--limit", "200", "--json"),
        replayed := pipeline.process("dead-letters", "replay", "--here"),
    ]
    assert sum(json.loads(line)["letters"] for line in listed.output.splitlines()) == 3 * LETTERS
    assert [json.loads(line)["bytes"] for line in shown.output.splitlines()] == [len(LETTER)] * 3 * LETTERS
    assert f"mended 0 of {3 * LETTERS} " in replayed.output
    assert max(one.mb for one in measured) < MOST_MB
    assert max(one.cpu for one in measured) < 3 * BATCH_SECONDS
    assert_servers_are_well(pipeline)


def test_spark_hands_python_a_few_megabytes_at_a_time(servers):
    def large(batches):
        for given in batches:
            yield pa.record_batch({"value": [bytes(MIB)] * given.num_rows})

    def sizes(batches):
        for given in batches:
            yield pa.record_batch({"bytes": [given.nbytes]})

    rows = resources(servers).spark.session.range(0, 40, 1, 1).mapInArrow(large, "value binary")
    found = rows.repartition(1).mapInArrow(sizes, "bytes long").toArrow().column("bytes").to_pylist()
    assert sum(found) >= 40 * MIB
    assert max(found) <= 10 * MIB
