"""On Spark or in the process: the same rows, the same books, however the work is cut and however often a task runs."""

import itertools
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream_assets.books.offsets import OffsetRange
from clickstream_assets.ingest import offset_plan, reading
from clickstream_assets.ingest.outcomes import SOURCE, Rules, decoded
from clickstream_assets.ingest.reading import Wide, _packed
from clickstream_assets.stores.kafka.client import Record
from clickstream_assets.stores.spark.tasks import put_together
from clickstream_assets_tests.conftest import NOW_MS
from clickstream_assets_tests.fakes.servers import LEDGER, World
from clickstream_assets_tests.fakes.spark import FakeSpark
from clickstream_assets_tests.hard_cases import first_hour_ms, hard_cases
from clickstream_assets_tests.ingest.test_outcomes import HOUR_NOW, NOW, RULES, message

FIRST = HOUR_NOW - 48


class WideWorld(World):
    """A pipeline that reads on Spark whenever it reads."""

    def __init__(self, patch, attempts=1, partitions=1):
        super().__init__(FIRST, partitions)
        self.spark = FakeSpark(attempts)
        patch.setattr(reading, "TopicClient", lambda *at: self.topic)

    def ingestion(self):
        reader = super().ingestion()
        reader._wide = Wide(lambda: self.spark, 0)
        return reader


def books(world):
    """The ledger without what differs from run to run."""
    unlike = (b"entry:run_id", b"entry:written_at")
    return {
        key: {name: cell for name, cell in cells.items() if name not in unlike}
        for key, cells in world.hbase.tables[LEDGER].items()
    }


def send(world, messages, partition=0):
    for each in messages:
        world.topic.send(each.value, each.timestamp_ms, partition)


@pytest.fixture
def patch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.mark.slow
@pytest.mark.parametrize(("attempts", "task_offsets"), [(1, 50_000), (2, 90)])
def test_the_hard_cases_end_as_in_the_process(patch, attempts, task_offsets):
    patch.setattr(reading, "TASK_OFFSETS", task_offsets)
    patch.setattr(offset_plan, "MAX_RANGE", task_offsets)
    worlds = World(FIRST, 3), WideWorld(patch, attempts, 3)
    cases = hard_cases(NOW_MS)
    for world in worlds:
        world.first_hour = first_hour_ms(NOW_MS) // 3_600_000
        for at, case in enumerate(cases):
            world.topic.send(case.value, case.timestamp_ms, at % 3)
        for log in world.topic.logs.values():
            log[5:7] = [None, None]  # compacted away
        world.ingest()
        world.assert_books_balance()
    here, wide = worlds
    assert wide.spark.jobs == 1
    assert wide.rows() == here.rows()
    assert wide.letters() == here.letters()
    assert books(wide) == books(here)
    assert wide.topic.group == here.topic.group

    before = wide.rows()
    wide.topic.group = dict.fromkeys(wide.topic.logs, 0)
    report = wide.ingest()
    assert (report.new_rows, wide.rows()) == (0, before)
    assert wide.entries() == [entry for entry in wide.entries() if entry.run_id == "run-2" or entry.kind != "read"]


def test_the_row_that_is_there_stays_though_an_earlier_offset_is_read(patch):
    world = WideWorld(patch)
    send(world, [message(0, "a"), message(1, "b"), message(2, "a"), message(3, "c")])
    world.topic.commit({0: 2})
    world.ingest()
    world.topic.commit({0: 0})
    world.ingestion().read_until({0: 2}, ())
    world.assert_books_balance()
    assert sorted(cells[SOURCE] for cells in world.rows().values()) == [b"id-1/0/1", b"id-1/0/2", b"id-1/0/3"]
    assert (world.total("duplicates"), world.spark.jobs) == (1, 2)


def test_the_partition_that_is_read_first_has_the_row(patch):
    world = WideWorld(patch, partitions=2)
    send(world, [message(0, "x"), message(1, "a")])
    send(world, [message(0, "a")], partition=1)
    world.ingest()
    world.assert_books_balance()
    assert {cells[SOURCE] for cells in world.rows().values()} == {b"id-1/0/0", b"id-1/0/1"}


def test_little_is_read_without_spark(patch):
    world = WideWorld(patch)
    send(world, [message(0), message(1, "b")])
    ingestion = world.ingestion()
    ingestion._wide = Wide(lambda: world.spark, 2)
    ingestion.read_until({0: 2}, ())
    assert world.spark.jobs == 0
    assert len(world.rows()) == 2


@pytest.mark.slow
def test_a_message_reaches_the_other_process_as_it_is():
    rules = Rules("clickstream_topic", "topic-id", first_hour_ms(NOW_MS), "run-1")
    cases = [Record(0, at, case.timestamp_ms, case.value) for at, case in enumerate(hard_cases(NOW_MS))]
    usual = decoded(cases, rules)
    wild = decoded([message(0, sent_at=1e300, engagement_time_ms=1e30, timestamp=NOW)], RULES)
    sent = [*usual, *wild]
    received = [pickle.loads(packed) for packed in _packed(sent).column("message").to_pylist()]
    assert [one._replace(refused=None) for one in received] == [one._replace(refused=None) for one in sent]
    assert [type(one.event) for one in received] == [type(one.event) for one in sent]
    for one, other in zip(sent, received, strict=True):
        if one.refused is not None:
            assert (other.refused.reason, other.refused.detail) == (one.refused.reason, one.refused.detail)
            assert str(other.refused) == f"{one.refused.reason}: {one.refused.detail}"


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 99), st.integers(0, 40)), max_size=8))
def test_tasks_have_every_range_once_and_none_more_than_fit(drawn):
    ranges = [OffsetRange("id", partition, first, first + size) for partition, first, size in drawn]
    tasks = put_together(ranges, len, 50)
    assert list(itertools.chain(*tasks)) == ranges
    sizes = [sum(map(len, task)) for task in tasks]
    assert all(size <= 50 for size in sizes)
    assert all(size + len(after[0]) > 50 for size, after in zip(sizes, tasks[1:], strict=False))
