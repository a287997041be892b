"""The hard cases say themselves what must become of them; golden.py, which never saw that, agrees."""

import itertools
import json
from collections import Counter, defaultdict

import pytest

from clickstream_assets.events.message_files import NO_TIME_MS, read_messages
from clickstream_assets_tests.acceptance import golden
from clickstream_assets_tests.hard_cases import (
    DUPLICATE,
    HOUR,
    REASONS,
    SPAN_MS,
    STORED,
    _cases,
    cases,
    expected_counts,
    first_hour,
    first_hour_ms,
    hard_cases,
    write_file,
)

ON_THE_HOUR = 1_795_402_800_000
MOMENTS = (ON_THE_HOUR, ON_THE_HOUR - 1, ON_THE_HOUR + 1, ON_THE_HOUR + 1_234_567)


@pytest.mark.slow
@pytest.mark.parametrize("now_ms", MOMENTS)
def test_golden_agrees_case_by_case(now_ms):
    seen, outcomes = set(), {}
    for case in cases(now_ms):
        try:
            event = golden.parse(case.message.value, case.message.timestamp_ms, first_hour_ms(now_ms))
        except golden.Refused as reason:
            outcomes[case.name] = str(reason)
            continue
        identity = event["ms"] // HOUR, *(event[part] for part in ("id", "user", "type", "url"))
        outcomes[case.name] = DUPLICATE if event["id"] and identity in seen else STORED
        seen.add(identity)
        assert case.has_id == (event["id"] is not None)
    assert outcomes == {case.name: case.outcome for case in cases(now_ms)}


def test_every_outcome_occurs_several_times():
    counts = expected_counts(ON_THE_HOUR)
    assert counts.keys() == {STORED, DUPLICATE, *REASONS}
    assert min(counts.values()) >= 5


def test_record_times_span_half_a_day_at_least_and_three_weeks_at_most():
    times = [message.timestamp_ms for message in hard_cases(ON_THE_HOUR) if message.timestamp_ms != NO_TIME_MS]
    assert 10 < len(hard_cases(ON_THE_HOUR)) - len(times) < 100
    assert min(times) >= ON_THE_HOUR - SPAN_MS
    assert max(times) == ON_THE_HOUR
    assert max(times) - min(times) > 12 * HOUR
    assert any(later < earlier for earlier, later in itertools.pairwise(times))


@pytest.mark.slow
def test_the_same_moment_gives_the_same_messages():
    written_anew = _cases.__wrapped__(ON_THE_HOUR)
    assert [case.message for case in written_anew] == hard_cases(ON_THE_HOUR)


def test_only_meant_events_share_an_id():
    written = [case for case in cases(ON_THE_HOUR) if not case.name.startswith("drawn ")]
    ids = Counter(case.message.key for case in written if case.outcome == STORED and case.has_id)
    shared = {key for key, number in ids.items() if number > 1}
    assert shared == {b"twice-b", b"twice-c", b"twice-e", b"twice-h"}  # of another user, type, url or hour each


def test_hundreds_of_cases_are_drawn_and_each_kind_ends_in_several_ways():
    outcomes = defaultdict(Counter)
    for case in cases(ON_THE_HOUR):
        if case.name.startswith("drawn "):
            outcomes[case.name.partition(":")[0]][case.outcome] += 1
    assert len(outcomes) == 10
    assert min(kind.total() for kind in outcomes.values()) >= 80
    assert min(kind[STORED] for kind in outcomes.values()) >= 30
    assert {outcome for kind in outcomes.values() for outcome in kind} >= {
        *("missing_field", "wrong_type", "too_long", "invalid_url", "invalid_json", "invalid_timestamp"),
        *("timestamp_in_future", "before_first_partition", DUPLICATE),
    }


def test_pages_meet_that_are_one_and_stay_apart_that_are_not():
    pages = defaultdict(set)
    for case in cases(ON_THE_HOUR):
        if case.name.startswith(("page: ", "kept: ")):
            url = json.loads(case.message.value)["url"]
            if case.name.startswith("kept: "):
                assert golden._url(url) == url
            pages[case.name.removeprefix("page: ").rsplit(" ", 1)[0]].add(golden._url(url))
    assert all(len(urls) == 1 for urls in pages.values())
    assert len(set.union(*pages.values())) == len(pages)


class _Nowhere:
    """A GeoIP database that knows no address: the totals don't depend on one."""

    def get(self, address):
        return None


@pytest.mark.slow
@pytest.mark.parametrize("now_ms", MOMENTS)
def test_the_totals_are_goldens_reading_of_the_file(tmp_path, monkeypatch, now_ms):
    monkeypatch.setattr("maxminddb.open_database", lambda path: _Nowhere())
    path = tmp_path / "hard"
    write_file(path, now_ms)
    with path.open(encoding="utf-8") as lines:
        found = golden.expect(lines, "nowhere", first_hour(now_ms))
    wanted = expected_counts(now_ms)
    assert found["read"] == wanted.total()
    assert found["stored"] == wanted[STORED]
    assert found["duplicates"] == wanted[DUPLICATE]
    assert found["refused"] == {reason: wanted[reason] for reason in REASONS}
    assert found["bots"] > 10


@pytest.mark.slow
def test_sent_again_without_the_id_less_ones_all_is_duplicate_or_refused(tmp_path):
    path = tmp_path / "hard"
    write_file(path, ON_THE_HOUR, with_ids_only=True)
    messages = list(read_messages(path, envelope=True))
    assert len(messages) == sum(case.has_id or case.outcome != STORED for case in cases(ON_THE_HOUR))
    assert len(messages) < len(hard_cases(ON_THE_HOUR))
