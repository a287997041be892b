"""What every measurement needs: the servers, who runs the stages, who watches the processes, where files go."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pyspark.sql import SparkSession

from benchmarks.processes import ProcessWatch
from benchmarks.worker import Worker
from clickstream_assets.local.stack.steps import TerminalSteps
from clickstream_assets.local.stack.supervisor import Stack
from clickstream_assets.settings import Settings, settings

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Bench:
    """Running servers, and settings that point at them."""

    stack: Stack
    settings: Settings
    home: Path
    """A folder for whatever is to go when the benchmarks end."""
    watch: ProcessWatch
    worker: Worker

    def show(self, text: str, action: Callable[[], _T], words: Callable[[_T], str] = lambda _: "done") -> _T:
        """Do something as a step of the progress shown; ``words`` for what came of it."""
        self.stack.check()
        with TerminalSteps() as steps:  # one for each: a live display has no room for more than the terminal's height
            steps.begin(text, text)
            found = action()
            steps.end(text, words(found))
        return found


@contextmanager
def embedded_servers() -> Iterator[Bench]:
    """Servers on free ports in a temporary folder, for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="clickstream-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        own = Settings(
            home=home, stack_kafka_port=0, stack_hbase_port=0, stack_elasticsearch_port=0, stack_spark_port=0
        )
        with Stack(own, TerminalSteps()) as stack:
            os.environ.update(stack.environment())
            settings.cache_clear()
            with (
                Worker(settings()) as worker,
                ProcessWatch(lambda: stack.children, worker.pid) as watch,
            ):
                try:
                    yield Bench(stack, settings(), home, watch, worker)
                finally:
                    if (session := SparkSession.getActiveSession()) is not None:
                        session.stop()
                    for child in stack.children:
                        child.stop(0)  # their data go with the folder: nobody waits for HBase to write them down
