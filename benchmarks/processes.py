"""CPU seconds and memory of every process that takes part, seen from outside."""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Self

import psutil

from clickstream_assets.local.stack.processes import Child

OWN = "the process that runs the assets"
MEASURING = "the benchmark itself: sends, and looks"
DAGSTER = "Dagster's webserver and daemon"
CODE_SERVERS = "Dagster's code servers: sensors"
RUNS = "Dagster's runs"
_SPARK, _EXECUTORS, _WORKERS = "Spark Connect server (driver)", "Spark executors", "Spark's Python workers"
_NAMES = {
    "kafka": "Kafka",
    "hbase": "HBase (master, region server, ZooKeeper)",
    "hbase-thrift": "HBase Thrift",
    "elasticsearch": "Elasticsearch",
    "spark": _SPARK,
}
ORDER = (*_NAMES.values(), _EXECUTORS, _WORKERS, OWN, RUNS, CODE_SERVERS, DAGSTER, MEASURING)
_LOOK_SECONDS = 0.5


class ProcessWatch:
    """Adds up CPU seconds by stage and process, and looks twice a second how much memory each has.

    Spark's tasks run in the server's own process with the master ``local[*]``; elsewhere executors are Java processes
    below it. Python workers share pages: their resident memory added up says more than they take.
    """

    def __init__(self, children: Callable[[], Sequence[Child]], own: int) -> None:
        self._children, self._own = children, own
        self._dagster: psutil.Process | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, name="process-watch", daemon=True)
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, int, float], float] = {}
        """CPU seconds of every process that was ever looked at, those that have ended included."""
        self.cpu_seconds: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
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
    def dagster(self, pid: int) -> Iterator[None]:
        """Within the block the processes of a ``dagster dev`` are looked at too, and this one."""
        self._dagster = psutil.Process(pid)
        yield
        self._dagster = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """CPU seconds within the block count for the stage."""
        before = self._cpu_seconds()
        yield
        for process, seconds in self._cpu_seconds().items():
            self.cpu_seconds[name][process] += seconds - before[process]

    def _look(self) -> None:
        while not self._end.wait(_LOOK_SECONDS):
            self._cpu_seconds()

    def _cpu_seconds(self) -> dict[str, float]:
        """CPU seconds of all that was ever seen, by process; looks how much memory each has, too."""
        cpu: dict[str, float] = defaultdict(float)
        resident: Counter[str] = Counter()
        with self._lock:
            for name, process in self._processes():
                with suppress(psutil.Error):
                    times = process.cpu_times()
                    self._seen[name, process.pid, process.create_time()] = times.user + times.system
                    resident[name] += process.memory_info().rss
            for name, seconds, size in self._dagsters():
                cpu[name] += seconds
                resident[name] += size
            for name, size in resident.items():
                self.peak_mb[name] = max(self.peak_mb[name], size >> 20)
            for (name, _, _), seconds in self._seen.items():
                cpu[name] += seconds
        return cpu

    def _dagsters(self) -> Iterator[tuple[str, float, int]]:
        """CPU seconds and resident bytes below ``dagster dev``, and of this process.

        Runs come and go between two looks. What has ended counts as the kernel adds it to who waited for it: all that
        ends below ``dagster dev`` are runs and what they started.
        """
        root = self._dagster
        if root is None:
            return
        with suppress(psutil.Error):
            own = psutil.Process()
            times = own.cpu_times()
            yield MEASURING, times.user + times.system, own.memory_info().rss
            for process in (root, *root.children(recursive=True)):
                with suppress(psutil.Error):
                    times = process.cpu_times()
                    yield RUNS, times.children_user + times.children_system, 0
                    # Of one that has ended and was not waited for yet, the kernel keeps the times alone.
                    is_alive = process.status() != psutil.STATUS_ZOMBIE
                    size = process.memory_info().rss if is_alive else 0
                    yield dagster_name(process.cmdline() if is_alive else ()), times.user + times.system, size

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
                # The others have no children but such as they are just forking, which look as large as they are.
                for below in root.children(recursive=True) if name == _SPARK else ():
                    yield _below_spark(below), below


def machine_seconds() -> float:
    """CPU seconds that all processes of the machine have had so far."""
    times = psutil.cpu_times()
    return sum(getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq"))


def dagster_name(argv: Sequence[str]) -> str:
    """What a process below ``dagster dev`` is, by its command line. A run's names no server."""
    if {"grpc", "code-server"} & {*argv}:
        return CODE_SERVERS
    if {"dagster_webserver", "dagster._daemon", "dev"} & {*argv}:
        return DAGSTER
    return RUNS


def _below_spark(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return _EXECUTORS if process.name() == "java" else _WORKERS
    return _WORKERS
