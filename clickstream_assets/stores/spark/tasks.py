"""What all steps on Spark share: work put together into tasks, and answers on their way back to the run."""

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ANSWER = "answer binary"
"""The columns of a stage that answers the run."""
NAMED = 10
"""Differences that an answer names, at most."""

_T = TypeVar("_T")


def put_together(items: Iterable[_T], size_of: Callable[[_T], int], room: int) -> list[list[_T]]:
    """Items, in order, in lists of a total size of up to ``room``; one that is larger is alone in its list."""
    lists: list[list[_T]] = []
    left = 0
    for item in items:
        size = size_of(item)
        if not lists or size > left:
            lists.append([])
            left = room
        lists[-1].append(item)
        left -= size
    return lists


def in_tasks(
    spark: "SparkSession", tasks: Sequence[_T], work: Callable[[_T], Iterable[pa.RecordBatch]], columns: str = ANSWER
) -> "DataFrame":
    """What ``work`` makes of each of some tasks, each in a Spark task of its own."""

    def stage(numbers: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in numbers:
            for number in batch.column(0).to_pylist():
                yield from work(tasks[number])

    return spark.range(0, len(tasks), 1, len(tasks)).mapInArrow(stage, columns)


def answer(value: Any) -> pa.RecordBatch:
    """A value for the run."""
    return pa.record_batch({"answer": [pickle.dumps(value)]})


def answers_of(frame: "DataFrame") -> list[Any]:
    """Run the tasks; what they answer."""
    column = frame.toArrow().column("answer")
    return [pickle.loads(value) for value in column.to_pylist()]  # noqa: S301 - what tasks of this run have packed
