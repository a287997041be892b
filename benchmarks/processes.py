"""CPU seconds and memory of every process that takes part, seen from outside."""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Self

import psutil

from clickstream_assets.stack.processes import Child

OWN = "the process that runs the assets"
_SPARK, _EXECUTORS, _WORKERS = "Spark Connect server (driver)", "Spark executors", "Spark's Python workers"
_NAMES = {
    "kafka": "Kafka",
    "hbase": "HBase (master, region server, ZooKeeper)",
    "hbase-thrift": "HBase Thrift",
    "elasticsearch": "Elasticsearch",
    "spark": _SPARK,
}
ORDER = (*_NAMES.values(), _EXECUTORS, _WORKERS, OWN)
_LOOK_SECONDS = 0.5


class ProcessWatch:
    """Adds up CPU seconds by stage and process, and looks twice a second how much memory each has.

    Spark's tasks run in the server's own process with the master ``local[*]``; elsewhere executors are Java processes
    below it. Python workers share pages: their resident memory added up says more than they take.
    """

    def __init__(self, children: Callable[[], Sequence[Child]], own: int) -> None:
        self._children, self._own = children, own
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, name="process-watch", daemon=True)
        self.cpu_seconds: dict[str, Counter[str]] = defaultdict(Counter)
        """By stage, by process."""
        self.peak_mb: Counter[str] = Counter()
        """Resident memory, by process."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """CPU seconds within the block count for the stage."""
        before = self._cpu_seconds()
        yield
        for process, seconds in self._cpu_seconds().items():
            self.cpu_seconds[name][process] += seconds - before[process]

    def _look(self) -> None:
        while not self._end.wait(_LOOK_SECONDS):
            resident: Counter[str] = Counter()
            for name, process in self._processes():
                with suppress(psutil.Error):
                    resident[name] += process.memory_info().rss
            for name, size in resident.items():
                self.peak_mb[name] = max(self.peak_mb[name], size >> 20)

    def _cpu_seconds(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for name, process in self._processes():
            with suppress(psutil.Error):
                times = process.cpu_times()
                found[name] += times.user + times.system
                ended = times.children_user + times.children_system  # of those that it has waited for
                if name != OWN:
                    found[_WORKERS if name in (_SPARK, _EXECUTORS) else name] += ended
        return found

    def _processes(self) -> Iterator[tuple[str, psutil.Process]]:
        with suppress(psutil.Error):
            yield OWN, psutil.Process(self._own)
        for child in self._children():
            name = _NAMES.get(child.name)
            if name is None:
                continue
            with suppress(psutil.Error):
                root = psutil.Process(child.pid)
                yield name, root
                for below in root.children(recursive=True):
                    yield _below(name, below), below


def _below(name: str, process: psutil.Process) -> str:
    if name != _SPARK:
        return name
    with suppress(psutil.Error):
        return _EXECUTORS if process.name() == "java" else _WORKERS
    return _WORKERS
