"""A partition's log that Kafka comes back with cut back, under the same topic id, on a broker that is really cut."""

import itertools

import dagster as dg
import pytest

from clickstream_assets.ingest.dead_letters import Selection
from clickstream_assets.ingest.replay import Replay
from clickstream_assets_tests.integration.own_kafka import OwnKafka
from clickstream_assets_tests.integration.pipeline import Pipeline, assert_golden
from clickstream_assets_tests.integration.test_kafka_as_it_is import HOUR, THEN, producer, put, view

CHECK = "no_log_cut_back"
PARTITION = 3
_NUMBERS = itertools.count()


@pytest.fixture
def kafka(servers, tmp_path_factory):
    broker = OwnKafka(tmp_path_factory.mktemp("own-kafka"))
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


@pytest.fixture
def pipeline(servers, kafka, tmp_path):
    """Ten messages of one partition at rest: two without an id, two refused, each in a batch of its own."""
    own = servers.model_copy(update={"kafka_bootstrap_servers": kafka.address})
    made = Pipeline(own, f"cut-back-{next(_NUMBERS)}", tmp_path / "sent.jsonl")
    made.produce([])
    send(made, "first", 10)
    made.settle()
    assert_golden(made)
    return made


def send(pipeline, name, count):
    """Every fourth message lacks an id, every fourth is refused."""
    values = [b"refused" if i % 4 == 3 else view(f"{name}{i}", i, event_id=i % 4 != 2) for i in range(count)]
    with producer(pipeline) as sender:
        put(pipeline, sender, values, PARTITION, alone=True)


def said(result):
    return [e.description for e in result.get_asset_check_evaluations() if e.check_name == CHECK and not e.passed]


def booked(pipeline):
    with pipeline.topic() as topic, pipeline.resources["hbase"].books() as books:
        return [(cut.at, cut.read_to) for cut in books.cuts.read(topic.topic_id())]


def committed(pipeline):
    with pipeline.topic() as topic:
        return topic.committed([PARTITION])[PARTITION]


def test_a_cut_is_noticed_told_and_booked_and_what_takes_the_offsets_again_is_read(pipeline, kafka):
    with kafka.down():
        kafka.cut(pipeline.settings.topic, PARTITION, 6)
    (words,) = said(pipeline.tick())  # nothing is new: the run is for the cut alone
    assert f"partition {PARTITION} was cut back from offset 10 to 6" in words
    assert (booked(pipeline), committed(pipeline)) == ([(6, 10)], 6)
    pipeline.settle()
    assert_golden(pipeline)

    # The same places, times and kinds as what is gone, and on beyond its end.
    send(pipeline, "second", 8)
    pipeline.settle()
    assert_golden(pipeline)

    # Cut once more, and written beyond the old end before anybody looks: the leader's epoch tells.
    with kafka.down():
        kafka.cut(pipeline.settings.topic, PARTITION, 8)
    send(pipeline, "third", 11)
    pipeline.settle()
    assert_golden(pipeline)
    assert (booked(pipeline), committed(pipeline)) == ([(6, 10), (8, 14)], 19)
    checks = {e.check_name: e for e in pipeline.latest_hour_checks() if e.check_name in (CHECK, "nothing_lost_unread")}
    assert "from offset 14 to 8" in checks[CHECK].description
    assert "from offset 10 to 6" in checks[CHECK].description
    assert checks[CHECK].severity is dg.AssetCheckSeverity.ERROR
    assert not checks[CHECK].passed
    assert checks["nothing_lost_unread"].passed

    # Read again by hand, and replayed: each message is still its own.
    assert pipeline.materialize("raw_clicks", THEN // HOUR).success
    pipeline.settle()
    assert_golden(pipeline)
    with pipeline.topic() as topic, pipeline.resources["hbase"].books() as books:
        place = topic.topic, topic.topic_id(), books
        replay = Replay(*place, pipeline.settings.first_hour_ms, "replay", dry_run=True)
        found = replay.run(Selection())
    refused = pipeline.expected()["dead_lettered"]
    assert (found.letters, found.refused.total(), found.unbooked) == (refused, refused, 0)


def test_kafka_started_again_as_it_was_is_no_cut(pipeline, kafka):
    with kafka.down():
        pass
    send(pipeline, "more", 2)
    pipeline.settle()
    assert (booked(pipeline), committed(pipeline)) == ([], 12)
    assert_golden(pipeline)
