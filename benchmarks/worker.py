"""A process for the stages alone: what the yardsticks keep in memory costs their garbage collector nothing."""

import multiprocessing
import signal
import traceback
from collections.abc import Mapping
from functools import lru_cache
from multiprocessing.connection import Connection
from typing import Self

from benchmarks.pipeline import Pipeline, Ran
from clickstream_assets.settings import Settings


class StageFailed(RuntimeError):
    """A stage raised an error; its traceback."""


class Worker:
    """Runs assets, one at a time, in a process that lives as long as the ``with`` block."""

    def __init__(self, configured: Settings) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would bring all of this process along
        self._calls, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, configured), name="stages", daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._calls.close()
        self._process.terminate()
        self._process.join()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def run(self, prefix: str, topic: str, asset: str, hour: int, until: Mapping[int, int] | None = None) -> Ran:
        """See :meth:`Pipeline.run`. Raises StageFailed."""
        self._calls.send((prefix, topic, asset, hour, until))
        answer = self._calls.recv()
        if isinstance(answer, str):
            raise StageFailed(answer)
        assert isinstance(answer, Ran)
        return answer


def _serve(calls: Connection, configured: Settings) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other process ends this one

    @lru_cache
    def pipeline(prefix: str, topic: str) -> Pipeline:
        return Pipeline(configured, prefix, topic)

    while True:
        try:
            prefix, topic, asset, hour, until = calls.recv()
        except EOFError:
            return
        try:
            calls.send(pipeline(prefix, topic).run(asset, hour, until))
        except Exception:  # noqa: BLE001 - whatever it is, the other process tells of it
            calls.send(traceback.format_exc())
