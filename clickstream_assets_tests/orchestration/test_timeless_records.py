"""Records that their producers gave no time are planned as recorded now."""

from clickstream_assets.books.resumption import Resumption
from clickstream_assets.orchestration.planning import _timeless
from clickstream_assets.orchestration.run_plan import plan_backlog

HOUR = 495_000
NOW = HOUR * 3_600_000


class Topic:
    """Partitions as lists of record times."""

    def __init__(self, *logs):
        self.logs, self.peeked = dict(enumerate(logs)), []

    @property
    def ends(self):
        return {p: len(log) for p, log in self.logs.items()}

    def offsets_at(self, time_ms, ends, begins):
        return {
            p: next((at for at in range(begins[p], end) if self.logs[p][at] >= time_ms), end) for p, end in ends.items()
        }

    def record_times(self, offsets):
        self.peeked += sorted(offsets)
        return {p: self.logs[p][at] for p, at in offsets.items()}


def timeless(topic, begins, earliest=0):
    earliest = dict.fromkeys(begins, earliest)
    return _timeless(topic, Resumption("id", begins, earliest, {}, frozenset(), [], []), topic.ends, HOUR)


def test_only_partitions_whose_next_record_has_no_time_are_as_of_now_and_only_dubious_ones_are_looked_into():
    old = NOW - 1
    topic = Topic([-1, -1], [NOW, -1], [old, old], [-1], [old, -1])
    assert timeless(topic, {0: 1, 1: 0, 2: 0, 3: 1, 4: 1}) == {0: 1, 4: 1}
    assert topic.peeked == [0, 2, 4]


def test_what_retention_took_is_not_looked_into():
    topic = Topic([-1, -1, -1])
    assert timeless(topic, {0: 0}, earliest=2) == {0: 0}
    assert timeless(topic, {0: 0}, earliest=3) == {}


def test_they_are_a_run_of_this_hour():
    begins, ends = {0: 1, 1: 0}, {0: 4, 1: 2}
    dated = {10: {0: 4, 1: 1}, 11: {0: 4, 1: 2}}

    def offsets_at(hour):
        return dated.get(hour, {0: 4, 1: 0 if hour < 10 else 2}) | ({0: 1} if hour <= 50 else {})

    plan = plan_backlog(begins, ends, offsets_at, first_hour=0, last_hour=51, max_events=100, max_hours=100)
    assert (plan.first, plan.last, plan.until) == (9, 50, ends)
