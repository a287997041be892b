"""What all steps on Spark share: work put together into tasks, and answers on their way back to the run."""

import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Stage = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]
"""What a task does with what it is given."""
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


def numbered(spark: "SparkSession", tasks: int) -> "DataFrame":
    """A row with its number for each of some tasks, each in a Spark task of its own."""
    return spark.range(0, tasks, 1, tasks)


def numbers_in(batches: Iterable[pa.RecordBatch]) -> Iterator[int]:
    """The numbers of the tasks that a worker is given."""
    for batch in batches:
        yield from batch.column(0).to_pylist()


def answer(value: Any) -> pa.RecordBatch:
    """A value for the run."""
    return pa.record_batch({"answer": [pickle.dumps(value)]})


def answers_of(frame: "DataFrame") -> list[Any]:
    """Run the tasks; what they answer."""
    column = frame.toArrow().column("answer")
    return [pickle.loads(value) for value in column.to_pylist()]  # noqa: S301 - what tasks of this run have packed
