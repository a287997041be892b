"""Hours' metrics brought up to date, on Spark: what new events change is added to what was computed before.

An hour's *checkpoint* says what its metrics count, and of which blocks. If these are still there and the same, a run
takes the users of the new blocks, all that they did in the hour, and adds what that comes to now, less what it came to
before. Else, or if told to, the hour is computed whole by the same functions, and compared row by row with what is
stored. Order of writes: the list of rows that change, rows, totals, checkpoint (docs/decisions/0023).

Rows have the run's own time. So what a task of a run that was killed still writes, late, is hidden by what was written
since; and what it writes first, the list, tells the next run to look at all.
"""

import pickle
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clickstream_assets.books import blocks
from clickstream_assets.books.blocks import Place, place_of
from clickstream_assets.books.books import Books
from clickstream_assets.books.checkpoints import Checkpoint, Checkpoints, stamp_of
from clickstream_assets.books.ledger_entries import Cells
from clickstream_assets.books.row_keys import DIGESTS, document_id
from clickstream_assets.events.hours import HOUR_MS, TIMEOUT_MS
from clickstream_assets.events.url_limits import NO_LIMITS, CountedUrls, UrlLimits
from clickstream_assets.metrics.hour_tasks import Computed, HourTask, Slice, Unfit
from clickstream_assets.metrics.hourly_metrics import CHANGES, COUNTED, PEOPLE, Changes, changes, pages_of
from clickstream_assets.metrics.new_events import EVENTS, events_of
from clickstream_assets.metrics.page_rows import by_page, union, write
from clickstream_assets.metrics.url_bound import clicks_by_url, digests
from clickstream_assets.metrics.url_ranks import ranked_urls
from clickstream_assets.stores.spark.tasks import ANSWER, NAMED, answer, answers_of, in_tasks, put_together

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

LARGE_BYTES = 128 << 20
"""Of an hour's blocks in memory, and of whom they are of: beyond that its users are shared out to several tasks."""
_GROWN = 4
"""An hour that has grown to more than so many times its slices is computed whole, in as many as it is large for."""
_WORKERS = 16
"""Hours are dealt to so many tasks at most: each costs some 70 ms of processor time, whatever it does."""


def compute(
    spark: "SparkSession",
    books: Books,
    hours: Iterable[int],
    run_id: str,
    whole: Iterable[int] = (),
    *,
    limits: UrlLimits = NO_LIMITS,
    dry_run: bool = False,
) -> tuple[dict[int, Computed], set[Place]]:
    """Bring the metrics of hours up to date; those in ``whole`` without their checkpoint.

    Returns what became of each hour, and the places whose blocks were not what the ledger says: the hours that need
    those are left as they are. With ``dry_run`` nothing changes: what would be written is what differs.
    """
    checkpoints = Checkpoints(books)
    counted = CountedUrls(limits)
    tasks = _tasks(books, checkpoints, sorted(set(hours)), set(whole), run_id, counted, dry_run=dry_run)
    done, unfit = _run(spark, books, list(tasks.values()))
    if again := [hour for hour, task in tasks.items() if not unfit.get(hour) and _is_to_be_whole(task, done)]:
        # Totals that are not what their checkpoint says, or more urls than count by name.
        afresh = {hour: frozenset(tasks[hour].blocks) for hour in again}
        tasks |= {
            hour: replace(tasks[hour], totals=(), people=(), audience=(), new=new) for hour, new in afresh.items()
        }
        more, of_these = _run(spark, books, [tasks[hour] for hour in again])
        done = {hour: of_hour for hour, of_hour in done.items() if hour not in again} | more
        unfit |= of_these
    for hour, (computed, slices) in done.items() if not dry_run else ():
        task, users = tasks[hour], (tuple(computed.people), tuple(computed.audience))
        checkpoints.write(hour, Checkpoint(task.stamp_ms, slices, *users, task.digests, computed, limits.words))
        # What enrichment worked from is of no use any more, and tells of persons.
        blocks.drop(books.hbase, books.tables.blocks, (p for p in task.new if p.hour == hour), blocks.TODO)
    results = {hour: computed for hour, (computed, _) in done.items()}
    return results, {place for places in unfit.values() for place in places}


def _is_to_be_whole(task: HourTask, done: "Mapping[int, _Done]") -> bool:
    """Whether adding to an hour's checkpoint did not do."""
    if task.is_whole or task.hour not in done:
        return not task.is_whole
    computed, _ = done[task.hour]
    most = task.counted.limits.most
    return bool(most) and computed.urls - bool(computed.other_clicks) > most


def _tasks(
    books: Books,
    checkpoints: Checkpoints,
    hours: Sequence[int],
    whole: set[int],
    run_id: str,
    counted: CountedUrls,
    *,
    dry_run: bool,
) -> dict[int, HourTask]:
    """What there is to do in each hour."""
    before = checkpoints.read(hours)
    parts = books.ledger.parts({at for hour in hours for at in (hour, hour + 1)})
    stamps = dict.fromkeys(hours, 0) if dry_run else checkpoints.fence(hours, before)
    tasks = {}
    for hour in hours:
        end_ms = (hour + 1) * HOUR_MS + TIMEOUT_MS
        made = {
            place_of(part, at): part.block
            for at in (hour, hour + 1)
            for part in parts[at]
            if part.block is not None and part.counts.kept and part.block.first_ms < end_ms
        }
        checkpoint = before.get(hour)
        done_up_to = checkpoint.stamp_ms if checkpoint else 0
        lists = ((key, column) for key, columns in checkpoints.lists(hour).items() for column in columns)
        unfinished = [(key, column) for key, column in lists if stamp_of(column) > done_up_to]
        cells = {place: block.cells for place, block in sorted(made.items())}
        audiences = {place: made[place].audience for place in cells if place.hour == hour}
        task = HourTask(hour, cells, audiences, frozenset(cells), (), (), 0, stamps[hour], run_id, counted)
        task = _with_totals(task, None if hour in whole or unfinished else checkpoint)
        tasks[hour] = replace(task, unfinished=() if dry_run else unfinished, dry_run=dry_run)
    return tasks


def _with_totals(task: HourTask, checkpoint: Checkpoint | None) -> HourTask:
    """An hour to add to its checkpoint, if that is there and all that it counts is; else to compute whole.

    One of other limits does not count, nor one of more urls than count by name: events move them between the two. Nor
    does that of an hour that has outgrown its slices.
    """
    audience_bytes = sum(cells.raw_bytes for cells in task.audiences.values() if cells is not None)
    raw_bytes = sum(cells.raw_bytes for cells in task.blocks.values()) + audience_bytes
    slices = min(DIGESTS, max(1, ceil(raw_bytes / LARGE_BYTES)))
    may_add = (
        checkpoint
        and slices <= _GROWN * len(checkpoint.slices)
        and checkpoint.limits == task.counted.limits.words
        and not checkpoint.sums.is_bounded
    )
    if checkpoint and may_add and checkpoint.covered.items() <= task.digests.items():
        task = replace(task, people=checkpoint.people, audience=checkpoint.audience, totals=checkpoint.slices)
        return replace(task, new=task.new - checkpoint.covered.keys(), slices=len(checkpoint.slices))
    return replace(task, slices=slices)


_Done = tuple[Computed, tuple[Cells, ...]]


def _run(
    spark: "SparkSession", books: Books, tasks: Sequence[HourTask]
) -> tuple[dict[int, _Done], dict[int, set[Place]]]:
    """Each hour's result and where its totals lie; of hours without one, the places that were unfit."""
    answers: list[Any] = []
    if small := [task for task in tasks if task.slices == 1]:
        dealt = [small[number::_WORKERS] for number in range(min(_WORKERS, len(small)))]
        answers += answers_of(in_tasks(spark, dealt, partial(_compute_hours, books)))
    for task in tasks:
        if task.slices > 1:
            answers += answers_of(_hour_in_slices(spark, task, books))
    of_slices: defaultdict[int, dict[int, tuple[Slice, Cells]]] = defaultdict(dict)
    unfit: defaultdict[int, set[Place]] = defaultdict(set)
    for hour, said in answers:
        if isinstance(said, Unfit):
            unfit[hour].update(said.places)
        else:
            number, result, cells = said
            of_slices[hour][number] = result, cells
    done = {}
    for task in tasks:
        if task.hour not in unfit and len(of_slices[task.hour]) == task.slices:
            in_order = [of_slices[task.hour][number] for number in range(task.slices)]
            done[task.hour] = _sum([result for result, _ in in_order]), tuple(cells for _, cells in in_order)
    return done, dict(unfit)


def _sum(slices: Sequence[Slice]) -> Computed:
    whole = Computed(urls=len(np.unique(np.concatenate([of_slice.hashed_urls for of_slice in slices]))))
    for of_slice in slices:
        whole.rows += of_slice.rows
        whole.clicks += of_slice.clicks
        whole.written += of_slice.written
        whole.deleted += of_slice.deleted
        whole.other_clicks += of_slice.other_clicks
        whole.is_bounded |= of_slice.is_bounded
        whole.named = (whole.named + of_slice.named)[:NAMED]
        whole.people += of_slice.people
        whole.audience += of_slice.audience
        for country, sums in of_slice.by_country.items():
            total = whole.by_country.get(country, [0] * len(sums))
            whole.by_country[country] = [a + b for a, b in zip(total, sums, strict=True)]
    return whole


def _compute_hours(books: Books, tasks: Iterable[HourTask]) -> Iterator[pa.RecordBatch]:
    with books.hbase.another() as hbase:
        for task in tasks:
            try:
                events = events_of(hbase, books.tables.blocks, task, task.blocks)
                if task.is_bounding:
                    task = task.with_kept(digests(clicks_by_url(events, task.hour), task.counted.limits))  # noqa: PLW2901
                yield answer((task.hour, (0, *write(hbase, books.tables, task, 0, _changes(events, task)))))
            except Unfit as unfit:
                yield answer((task.hour, unfit))


def _changes(events: pa.Table, task: HourTask) -> Changes:
    return changes(events.select(blocks.CLICKS.names), events.column("is_new").to_numpy(), task.hour, task.counted)


def _hour_in_slices(spark: "SparkSession", task: HourTask, books: Books) -> "DataFrame":
    """The same for an hour of many events: by block, then by user, then by the first digits of the document's id."""
    readers = put_together(task.blocks, lambda place: task.blocks[place].raw_bytes, LARGE_BYTES // 4)
    if task.is_bounding:
        task = task.with_kept(ranked_urls(spark, task, books, readers))
    of_event = f"{blocks.ddl(EVENTS)}, answer binary"
    events = in_tasks(spark, readers, partial(_read_events, books, task), of_event)
    of_change = f"slice int, {blocks.ddl(CHANGES)}, user_key string, answer binary"
    counted = events.repartition(task.slices, "user_key").mapInArrow(partial(_count_changes, task), of_change)
    every = spark.range(0, task.slices).selectExpr("cast(id as int) as slice")
    by_slice = counted.unionByName(every, allowMissingColumns=True).repartition(task.slices, "slice")
    return by_slice.sortWithinPartitions("slice").mapInArrow(partial(_write_slices, books, task), ANSWER)


_ANSWER = pa.field("answer", pa.binary())
_OF_EVENTS = EVENTS.append(_ANSWER)
_OF_SLICES = pa.schema([pa.field("slice", pa.int32()), *CHANGES, PEOPLE.field("user_key"), _ANSWER])
"""Changes, without a user, and people, without a count."""


def _without_answer(table: pa.Table) -> Iterator[pa.RecordBatch]:
    yield from table.append_column(_ANSWER, pa.nulls(len(table), pa.binary())).to_batches()


def _read_events(books: Books, task: HourTask, of: Iterable[Place]) -> Iterator[pa.RecordBatch]:
    with books.hbase.another() as hbase:
        try:
            yield from _without_answer(events_of(hbase, books.tables.blocks, task, of))
        except Unfit as unfit:
            yield from pa.Table.from_pylist([{"answer": pickle.dumps(unfit.places)}], _OF_EVENTS).to_batches()


def _count_changes(task: HourTask, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    arrived = pa.Table.from_batches(list(batches), _OF_EVENTS)
    if answers := pc.drop_null(arrived.column("answer")).to_pylist():
        # To every slice: none is to be written of what other tasks count without these blocks.
        told = [{"slice": number, "answer": packed} for number in range(task.slices) for packed in answers]
        yield from pa.Table.from_pylist(told, _OF_SLICES).to_batches()
        return
    counts, people = _changes(arrived, task)
    pages = zip(counts.column("url").to_pylist(), counts.column("country").to_pylist(), strict=True)
    ids = (document_id(task.hour, *page) for page in pages)
    numbers = pa.array((int(of_page[:2], 16) * task.slices // DIGESTS for of_page in ids), pa.int32())
    of_people = numbers.take(pc.index_in(pages_of(people), value_set=pages_of(counts)).combine_chunks())
    for rows, of_rows in ((counts, numbers), (people, of_people)):
        yield from pa.concat_tables(
            [_OF_SLICES.empty_table(), rows.append_column("slice", of_rows)], promote_options="default"
        ).to_batches()


def _write_slices(books: Books, task: HourTask, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    arrived = pa.Table.from_batches(list(batches), _OF_SLICES)
    with books.hbase.another() as hbase:
        for number in pc.unique(arrived.column("slice")).to_pylist():
            of_slice = arrived.filter(pc.equal(arrived.column("slice"), number))
            if answers := pc.drop_null(of_slice.column("answer")).to_pylist():
                places = {place for packed in answers for place in pickle.loads(packed)}  # noqa: S301 - packed above
                yield answer((task.hour, Unfit(places)))
                continue
            people = of_slice.filter(pc.is_valid(of_slice.column("user_key"))).select(PEOPLE.names)
            changed = Changes(_together(of_slice.filter(pc.is_valid(of_slice.column("clicks")))), people)
            try:
                yield answer((task.hour, (number, *write(hbase, books.tables, task, number, changed))))
            except Unfit as unfit:
                yield answer((task.hour, unfit))


def _together(changed: pa.Table) -> pa.Table:
    """What events of different users change, as one row for each url and country."""
    sums = by_page(changed, ("users_sketch", "list"))
    sketches = [union(list(filter(None, of_page))) for of_page in sums.column("users_sketch_list").to_pylist()]
    return sums.select(COUNTED.names).append_column("users_sketch", pa.array(sketches, pa.binary()))
