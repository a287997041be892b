"""Metrics computed on Spark from what lies in HBase: golden, mended where a hand was, elsewhere left as they are."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from clickstream_assets.books import blocks
from clickstream_assets.books.checkpoints import Checkpoints
from clickstream_assets.books.row_keys import metrics_key
from clickstream_assets.books.table_schemas import METRICS
from clickstream_assets.definitions import resources
from clickstream_assets.enrich import enriching
from clickstream_assets.events.hours import rfc3339_of_hour
from clickstream_assets.ingest.ingestion import Ingestion
from clickstream_assets.metrics import computing
from clickstream_assets.metrics.hourly_metrics import sketch_of, to_sketch
from clickstream_assets.metrics.page_rows import same_users
from clickstream_assets.stores.hbase.client import RowMutation
from clickstream_assets_tests.acceptance import golden
from clickstream_assets_tests.fakes.servers import FakeTopic
from clickstream_assets_tests.hard_cases import CHROME, FRENCH, GERMAN, GOOGLEBOT

FIRST = 498_000
HOUR = FIRST + 3
HOUR_MS = 3_600_000
CELL = {name: column.key for name, column in METRICS.columns.items()}
SIZES = (1, 7, 8, 9, 40, 400, 3_000)
"""Users of a page: a sketch lists some, then keeps a set of them, then registers."""


def event(number, url, user, second, **fields):
    message = {"event_id": f"{number}", "user_id": user, "timestamp": HOUR * HOUR_MS + 1_000 * second}
    return message | {"url": f"https://h.example/{url}", "ip": GERMAN, "user_agent": CHROME} | fields


def _events():
    """Url ``p<n>`` has n users; ada goes through sixty pages in this hour, and in the next."""
    of_sizes = [(f"p{size}", f"u{user}", user % 1_700) for size in SIZES for user in range(size)]
    of_ada = [(f"q{page}", "ada", 3_540 + page + of * 300) for page in range(60) for of in (0, 1)]
    yield from (event(number, *of, ip=(GERMAN, FRENCH)[number % 2]) for number, of in enumerate(of_ada + of_sizes))
    yield event("bot", "p9", "crawler", 7, user_agent=GOOGLEBOT)


class Hours:
    """The hours' rows and metrics on real servers, their messages in a topic in memory."""

    def __init__(self, made, settings):
        self.made, self.topic, self.lines = made, FakeTopic(), []
        self.geoip, self.rules = str(settings.geoip_database), made.geoip.rules()
        self.runs = 0

    @property
    def session(self):
        return self.made.spark.session

    def send(self, *messages):
        now = (HOUR + 5) * HOUR_MS
        for message in messages:
            text = json.dumps(message)
            self.topic.send(text.encode(), now)
            self.lines.append(json.dumps({"value": text, "kafka_timestamp_ms": now}))

    def update(self, books):
        """What a run does up to the metrics; returns what became of the hours."""
        self.runs += 1
        reading = Ingestion(self.topic, books, FIRST * HOUR_MS, f"run-{self.runs}")
        hours = reading.read_until(self.topic.ends([0]), ()).touched
        enriching.enrich(self.session, books, hours, self.rules, ())
        return self.compute(books, hours)

    def compute(self, books, hours, whole=(), **more):
        done, unfit = computing.compute(self.session, books, hours, f"run-{self.runs}", whole, **more)
        assert unfit == set()
        return done

    def assert_golden(self, books):
        first = rfc3339_of_hour(FIRST)[:13]
        expected = golden.expect(self.lines, self.geoip, first)["metrics"]
        rows = [METRICS.decode(cells) for cells in stored(books).values()]
        by_name = {f"{rfc3339_of_hour(row['hour'])}|{row['url']}|{row['country']}": row for row in rows}
        assert len(by_name) == len(rows)
        assert golden.compare(expected, by_name) == []
        for row in rows:
            estimate = to_sketch(row["users_sketch"]).get_estimate()
            assert estimate == pytest.approx(row["unique_users"], rel=0.05)


def stored(books):
    return dict(books.hbase.scan(books.tables.metrics, b"", b""))


@pytest.fixture(scope="module")
def made(servers):
    made = resources(servers.model_copy(update={"name_prefix": "computing-"}))
    made.hbase.ensure_tables()
    return made


@pytest.fixture(scope="module")
def books(made):
    with made.hbase.books() as books:
        yield books


EVENTS = list(_events())


@pytest.fixture(scope="module")
def hours(made, servers, books):
    """Hours whose first 3,000 events are computed."""
    hours = Hours(made, servers)
    hours.send(*EVENTS[:3_000])
    hours.update(books)
    return hours


def test_metrics_are_golden_after_each_increment(hours, books):
    hours.assert_golden(books)
    before = stored(books)
    hours.send(*EVENTS[3_000:], *EVENTS[:5])
    done = hours.update(books)
    hours.assert_golden(books)
    changed = {key for key, cells in stored(books).items() if cells != before.get(key)}
    assert sum(of.written for of in done.values()) == len(changed)
    listed = {key for hour in done for key in _listed(books, hour)}
    assert listed >= changed
    assert {hour: of.written for hour, of in hours.compute(books, done).items()} == dict.fromkeys(done, 0)


def _listed(books, hour):
    prefix = metrics_key(hour, "", "").split(b"|")[0] + b"|"
    for key, columns in Checkpoints(books).lists(hour).items():
        for ids in books.hbase.get(books.tables.blocks, [key], columns)[key].values():
            yield from (prefix + ids[at : at + 32].hex().encode() for at in range(0, len(ids), 32))


def test_cells_that_a_hand_changed_and_rows_that_it_deleted_or_put_are_mended_and_nothing_else_is_written(hours, books):
    before = stored(books)
    keys = sorted(key for key, cells in before.items() if cells[CELL["hour"]] == b"%d" % HOUR)
    names = [name for name in CELL if name != "run_id"]
    changes = [
        RowMutation(key, {CELL[name]: b"7" if name != "computed_at" else b"never"})
        for key, name in zip(keys, names, strict=False)
    ]
    changes += [RowMutation(key, {}, (b"metrics",)) for key in keys[20:23]]
    lost = [
        RowMutation(key, {}, (CELL[name],))
        for key, name in zip(keys[30:], names, strict=False)
        if CELL[name] in before[key]
    ]
    never = metrics_key(HOUR, "https://h.example/never", "DE")
    books.hbase.mutate(books.tables.metrics, [*changes, *lost, RowMutation(never, {CELL["clicks"]: b"7"})])
    touched = {row.key for row in (*changes, *lost)}
    wanted = hours.compute(books, [HOUR, HOUR + 1], [HOUR, HOUR + 1], dry_run=True)
    assert (wanted[HOUR].written, wanted[HOUR].deleted, wanted[HOUR + 1].written) == (len(touched), 1, 0)
    assert never not in before
    assert never in stored(books)

    hours.runs += 1
    done = hours.compute(books, [HOUR, HOUR + 1], [HOUR, HOUR + 1])
    assert (done[HOUR].written, done[HOUR].deleted, done[HOUR + 1].written) == (len(touched), 1, 0)
    after = stored(books)
    assert after.keys() == before.keys()
    assert {key for key, cells in after.items() if cells != before[key]} == touched
    assert {cells[CELL["run_id"]] for key, cells in after.items() if key in touched} == {b"run-%d" % hours.runs}
    hours.assert_golden(books)


def test_what_has_an_earlier_time_than_what_is_stored_is_not_seen(hours, books):
    stamp = Checkpoints(books).read([HOUR])[HOUR].stamp_ms
    gone = metrics_key(HOUR, "https://h.example/never", "DE")
    before = stored(books)
    late = [RowMutation(key, {CELL["clicks"]: b"7"}) for key in (*sorted(before)[:1], gone)]
    key = next(key for key, cells in before.items() if cells[CELL["run_id"]] == b"run-%d" % hours.runs)
    books.hbase.mutate(books.tables.metrics, [RowMutation(key, {CELL["clicks"]: b"7"}), late[1]], stamp - 1)
    books.hbase.mutate(books.tables.metrics, [RowMutation(key, {}, (b"metrics",))], stamp - 1)
    assert stored(books) == before


def test_a_large_hour_is_the_same_in_slices_and_left_as_it_is_with_an_unfit_block(hours, books, monkeypatch):
    monkeypatch.setattr(computing, "LARGE_BYTES", 60_000)
    before = stored(books)
    done = hours.compute(books, [HOUR, HOUR + 1], [HOUR, HOUR + 1])
    assert len(Checkpoints(books).read([HOUR])[HOUR].slices) > 3
    assert {hour: (of.written, of.deleted) for hour, of in done.items()} == {HOUR: (0, 0), HOUR + 1: (0, 0)}
    assert stored(books) == before

    hours.send(*(event(f"more {at}", f"r{at % 50}", f"v{at % 7}", at) for at in range(300)), event("p", "p9", "new", 9))
    hours.update(books)
    hours.assert_golden(books)

    part = next(part for part in books.ledger.parts([HOUR])[HOUR] if part.block)
    place, before = blocks.place_of(part, HOUR), stored(books)
    books.hbase.mutate(books.tables.blocks, [RowMutation(blocks.row_key(place), {b"block:0": b"none"})])
    done, unfit = computing.compute(hours.session, books, [HOUR], "notices", [HOUR])
    assert (done, unfit, stored(books)) == ({}, {place}, before)
    enriching.enrich(hours.session, books, [HOUR], hours.rules, [HOUR])
    assert hours.compute(books, [HOUR], [HOUR])[HOUR].written == 0
    assert stored(books) == before
    assert enriching.audit(hours.session, books, [HOUR], hours.rules)[HOUR].parts == {}


def test_spark_reads_our_sketches_and_we_read_sparks(hours):
    for size in SIZES:
        users = [f"u{at}" for at in range(size)]
        made = hours.session.createDataFrame([(user,) for user in users], "user string")
        ours = hours.session.createDataFrame([(bytearray(sketch_of(users)),)], "sketch binary")
        (theirs,) = made.agg(F.hll_sketch_agg("user").alias("sketch")).first()
        both = ours.union(hours.session.createDataFrame([(theirs,)], "sketch binary"))
        (estimate,) = both.agg(F.hll_sketch_estimate(F.hll_union_agg("sketch"))).first()
        assert estimate == pytest.approx(size, rel=0.05)
        assert same_users(bytes(theirs), sketch_of(users))


def test_the_job_of_a_run_that_was_killed_is_interrupted_by_the_next_one(made):
    def slow(batches):
        import time

        for batch in batches:
            time.sleep(60)
            yield batch

    def left_over() -> None:
        with made.spark.alone("interrupted-table") as session:
            session.range(1).mapInArrow(slow, "id long").toArrow()

    with ThreadPoolExecutor(1) as thread:
        job = thread.submit(left_over)
        time.sleep(5)
        assert not job.done()
        with made.spark.alone("another-table") as session:
            assert session.range(3).count() == 3
        assert not job.done()
        begun = time.monotonic()
        with made.spark.alone("interrupted-table") as session:
            assert session.range(3).count() == 3
        with pytest.raises(PySparkException, match=r"OPERATION_CANCELED|cancel|interrupt"):
            job.result(30)
        assert time.monotonic() - begun < 30
