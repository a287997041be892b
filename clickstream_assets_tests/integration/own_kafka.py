"""A Kafka of a test's own, whose log is cut back while it is down, as a crash or an older backup leaves it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clickstream_assets.local.stack import ports
from clickstream_assets.local.stack.downloads import ensure_downloads
from clickstream_assets.local.stack.kafka_server import Kafka
from clickstream_assets.local.stack.processes import Child, start
from clickstream_assets.local.stack.server import Folders
from clickstream_assets.local.stack.steps import Steps
from clickstream_assets.settings import Settings

_START_SECONDS = 60
_BATCH_HEADER = 12
"""Bytes of a batch of records before those that its length counts: base offset and length."""


class OwnKafka:
    """One broker on a free port, with its data below a folder."""

    def __init__(self, home: Path) -> None:
        chosen: set[int] = set()
        port, controller = ports.free_port(chosen), ports.free_port(chosen)
        jars = ensure_downloads(Settings(), Steps()).kafka
        self.server = Kafka(Folders.of(home, "kafka"), port, controller, jars, ports.Door.named(ports.HOST))
        self.address = f"{ports.HOST}:{port}"
        self._child: Child | None = None

    def start(self) -> None:
        self.server.folders.prepare()
        self._child = start(self.server.launch())
        deadline = time.monotonic() + _START_SECONDS
        while True:
            self._child.check()
            try:
                self.server.answers()
            except Exception:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop(30)
            self._child = None

    @contextmanager
    def down(self) -> Iterator[None]:
        """Not there for the ``with`` block, back behind it on the same data."""
        self.stop()
        yield
        self.start()

    def cut(self, topic: str, partition: int, at: int) -> None:
        """Cut a partition's log back to a batch that begins at an offset, with all that Kafka derives from it.

        Only while it is down. The segment is cut where the batch begins; indexes and producers' states are built
        anew from it, and the leaders' epochs are cut along by Kafka itself.
        """
        folder = self.server.folders.data / f"{topic}-{partition}"
        (segment,) = folder.glob("*.log")
        data = segment.read_bytes()
        segment.write_bytes(data[: _place_of(data, at)])
        for derived in (*folder.glob("*.index"), *folder.glob("*.timeindex"), *folder.glob("*.snapshot")):
            derived.unlink()


def _place_of(data: bytes, offset: int) -> int:
    """Where in a segment the batch lies that begins at an offset."""
    place = 0
    while place < len(data):
        base = int.from_bytes(data[place : place + 8], "big")
        if base == offset:
            return place
        place += _BATCH_HEADER + int.from_bytes(data[place + 8 : place + _BATCH_HEADER], "big")
    raise AssertionError(f"no batch begins at offset {offset}")
