"""How long a tick of ``kafka_offsets`` waits, and for what: time goes by when it sleeps, and only then."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import pytest

from clickstream_assets.orchestration import kafka_offsets
from clickstream_assets.orchestration.kafka_offsets import Tick, wait_for_work
from clickstream_assets.orchestration.planning import Memory
from clickstream_assets.orchestration.turns import Turn
from clickstream_assets.settings import Settings

LIMITS = Settings(small_run_events=500, small_run_seconds=30)
SECONDS = 3.5
FREE, BUSY = Turn(), Turn("a run is under way")


class World:
    """A topic of two partitions in which new offsets come as time goes by, and runs that are under way meanwhile."""

    def __init__(self) -> None:
        self.seconds = 1_000_000.0
        self.began = self.seconds
        self.new = lambda seconds: 0
        self.may = lambda seconds: FREE
        self.asked = {"ends": 0, "lag": 0, "turn": 0}

    @property
    def waited(self) -> float:
        return self.seconds - self.began

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def turn(self, _instance: object) -> Turn:
        self.asked["turn"] += 1
        return self.may(self.waited)

    def partitions(self) -> list[int]:
        return [0, 1]

    def ends(self, partitions) -> dict[int, int]:
        assert [*partitions] == [0, 1]
        self.asked["ends"] += 1
        return {0: 70, 1: 30 + self.new(self.waited)}

    def lag(self, ends) -> int:
        self.asked["lag"] += 1
        return ends[1] - 30

    def wait(self, read_seconds_ago: float = 1) -> float:
        """Seconds that it is waited for something to do."""
        wait_for_work(None, self, LIMITS, self.seconds - read_seconds_ago, self.seconds + SECONDS)
        return self.waited


@pytest.fixture
def world(monkeypatch):
    world = World()
    for name, stands_in in {
        "turn": world.turn,
        "sleep": world.sleep,
        "time": lambda: world.seconds,
        "monotonic": lambda: world.seconds,
    }.items():
        monkeypatch.setattr(kafka_offsets, name, stands_in)
    return world


def test_with_nothing_to_do_it_waits_for_its_time_and_asks_kafka_for_the_ends_alone(world):
    assert world.wait() == pytest.approx(SECONDS, abs=0.25)
    assert world.asked == {"turn": 1, "lag": 1, "ends": pytest.approx(SECONDS / 0.25, abs=2)}


def test_events_that_are_there_and_worth_a_run_are_not_waited_with(world):
    world.new = lambda seconds: 500
    assert world.wait() == 0


def test_it_waits_until_enough_events_have_come(world):
    world.new = lambda seconds: int(400 * seconds)
    assert world.wait() == pytest.approx(500 / 400, abs=0.25)


def test_few_events_are_worth_a_run_once_the_last_one_is_long_enough_ago(world):
    world.new = lambda seconds: 3
    assert world.wait(read_seconds_ago=28) == pytest.approx(2, abs=0.25)


def test_few_events_soon_after_the_last_run_are_left_to_the_look_behind_the_wait(world):
    world.new = lambda seconds: 499
    assert world.wait(read_seconds_ago=1) == pytest.approx(SECONDS, abs=0.25)


def test_while_a_run_is_in_the_way_kafka_is_not_asked_and_its_end_is_reason_for_a_look(world):
    world.may = lambda seconds: FREE if seconds >= 2 else BUSY
    assert world.wait() == pytest.approx(2, abs=0.25)
    assert world.asked["ends"] == world.asked["lag"] == 0


def test_a_run_that_stays_in_the_way_is_waited_for_no_longer_than_anything_else(world):
    world.may = lambda seconds: BUSY
    assert world.wait() == pytest.approx(SECONDS, abs=0.25)


class Kafka:
    def __init__(self, world: World) -> None:
        self.world = world

    @contextmanager
    def client(self, **_options: int) -> Iterator[World]:
        yield self.world


@pytest.mark.parametrize("interval", [1, 2, 4, 60])
@pytest.mark.parametrize("look", [0.1, 1.5, 5])
def test_a_tick_takes_less_than_the_time_to_the_next_if_the_look_takes_as_long_as_the_last(
    world, monkeypatch, interval, look
):
    def look_long(*_: object) -> Tick:
        world.sleep(look)
        return Tick(None, False, [])

    monkeypatch.setattr(kafka_offsets, "_look", look_long)
    cursor = Memory(closed_up_to=0, stale_turn=0, read_at=world.seconds, look_seconds=look).model_dump_json()
    context = dg.build_sensor_context(dg.DagsterInstance.ephemeral(), cursor)
    settings = Settings(sensor_interval_seconds=interval)
    answer = kafka_offsets._evaluate(context, Kafka(world), None, None, settings)
    assert world.waited < max(look + 0.1, min(interval, 4.5))
    assert Memory.model_validate_json(answer.cursor).look_seconds == pytest.approx(look)


def test_the_first_tick_of_all_waits_for_nothing(world, monkeypatch):
    monkeypatch.setattr(kafka_offsets, "_look", lambda *_: Tick(None, False, []))
    kafka_offsets._evaluate(dg.build_sensor_context(dg.DagsterInstance.ephemeral()), Kafka(world), None, None, LIMITS)
    assert world.waited == 0
