"""What blocks hold for an hour to be computed: all its events, or what the users of its new ones did."""

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from clickstream_assets.books import blocks
from clickstream_assets.books.blocks import BLOCK, Place
from clickstream_assets.metrics.hour_tasks import HourTask, Unfit
from clickstream_assets.stores.hbase.client import HBaseClient

EVENTS = blocks.CLICKS.append(pa.field("is_new", pa.bool_()))


def events_of(hbase: HBaseClient, table: str, task: HourTask, of: Iterable[Place]) -> pa.Table:
    """What is in some of the task's blocks and matters to it: all, or what the users of its new ones did."""
    if task.is_whole:
        return _read(hbase, table, task, of)
    new = _read(hbase, table, task, (place for place in task.blocks if place in task.new))
    return _read(hbase, table, task, of, new.column("user_key").unique())


def _read(
    hbase: HBaseClient, table: str, task: HourTask, of: Iterable[Place], users: pa.Array | None = None
) -> pa.Table:
    kept, unfit = [], []
    for place, clicks in blocks.read(hbase, table, BLOCK, {place: task.blocks[place] for place in of}, blocks.CLICKS):
        if clicks is None:
            unfit.append(place)
            continue
        is_new = pa.repeat(pa.scalar(place in task.new), clicks.num_rows)
        marked = pa.RecordBatch.from_arrays([*clicks.columns, is_new], schema=EVENTS)
        kept.append(marked if users is None else marked.filter(pc.is_in(clicks.column("user_key"), value_set=users)))
    if unfit:
        raise Unfit(unfit)
    return pa.Table.from_batches(kept, EVENTS)
