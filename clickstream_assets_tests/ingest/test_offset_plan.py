"""What is read of a partition: everything once, nothing twice, and a commit that never skips."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream_assets.books.ledger_entries import GAP, LOST, READ, Entry
from clickstream_assets.books.offsets import OffsetRange, joined
from clickstream_assets.books.resumption import begin
from clickstream_assets.ingest import offset_plan
from clickstream_assets.ingest.offset_plan import MAX_RANGE, ReadPlan, to_commit


def entry(first, end, kind=READ):
    return Entry("topic-id", 0, first, end, kind)


@st.composite
def situations(draw):
    """A range, the entries that overlap it, the log's beginning, cuts, and the size of a piece."""
    edges = sorted(draw(st.sets(st.integers(0, 60), max_size=10)))
    kinds = [draw(st.sampled_from([READ, READ, GAP, LOST, None])) for _ in edges[1:]]
    booked = [entry(*span, kind) for span, kind in zip(itertools.pairwise(edges), kinds, strict=True) if kind]
    first, end = sorted((draw(st.integers(0, 60)), draw(st.integers(0, 60))))
    overlapping = [entry for entry in booked if entry.first < end and entry.end > first]
    return (
        first,
        end,
        overlapping,
        draw(st.integers(0, 70)),
        draw(st.sets(st.integers(0, 60))),
        draw(st.integers(1, 30)),
    )


def offsets(first, end):
    return OffsetRange("topic-id", 0, first, end)


def plan_of(first, end, entries, available_from, cuts=()):
    plan = ReadPlan()
    plan.read(offsets(first, end), entries, available_from, cuts)
    return plan


@pytest.mark.slow
@settings(deadline=None, max_examples=150, derandomize=True)
@given(situations())
def test_a_plan_covers_every_offset_once(situation):
    first, end, entries, available_from, cuts, size = situation
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(offset_plan, "MAX_RANGE", size)
        plan = plan_of(first, end, entries, available_from, cuts)
    ranges = [*plan.to_read, *plan.lost, *plan.unavailable, *(booked.offsets for booked in entries)]
    ranges = list({(one.first, one.end): one for one in ranges}.values())
    planned = [offset for one in ranges for offset in range(one.first, one.end)]
    covered = {offset for booked in entries for offset in range(booked.first, booked.end)}
    assert len(planned) == len(set(planned))
    assert set(planned) == set(range(first, end)) | covered
    assert all(len(one) > 0 for one in ranges)
    # Booked ranges are read again whole, the others cut where hours begin; nothing is read that Kafka lacks.
    again = [booked for booked in (*plan.to_read.values(), *plan.unavailable.values()) if booked]
    assert sorted(again, key=lambda booked: booked.first) == [booked for booked in entries if booked.kind == READ]
    for one, booked in plan.to_read.items():
        assert one.first >= available_from
        if booked:
            assert one == booked.offsets
        else:
            assert len(one) <= size
            assert not any(one.first < cut < one.end for cut in cuts)
    assert all(one.end <= available_from for one in plan.lost)


def test_a_long_range_comes_in_parts():
    assert list(plan_of(5, 5 + 2 * MAX_RANGE + 1, [], 0).to_read) == [
        offsets(5, 5 + MAX_RANGE),
        offsets(5 + MAX_RANGE, 5 + 2 * MAX_RANGE),
        offsets(5 + 2 * MAX_RANGE, 6 + 2 * MAX_RANGE),
    ]


def test_an_entry_is_read_again_whole_and_the_rest_around_it():
    booked = entry(3, 8)
    plan = plan_of(5, 12, [booked], 0, {10})
    assert plan.to_read == {offsets(3, 8): booked, offsets(8, 10): None, offsets(10, 12): None}


def test_an_entry_planned_twice_is_read_once():
    booked, plan = entry(3, 8), ReadPlan()
    plan.read_again(booked, 0)
    plan.read(offsets(5, 12), [booked], 0, ())
    assert plan.to_read == {offsets(3, 8): booked, offsets(8, 12): None}


def test_what_retention_took_before_it_was_read_is_lost_and_what_it_took_after_is_left_alone():
    booked = entry(0, 4)
    plan = plan_of(2, 12, [booked], 7)
    assert plan == ReadPlan({offsets(7, 12): None}, [offsets(4, 7)], {offsets(0, 4): booked})
    assert plan_of(0, 5, [], 9).lost == [offsets(0, 5)]


def test_nothing_to_read_is_an_empty_plan():
    assert plan_of(4, 4, [], 0) == ReadPlan()


@pytest.mark.parametrize(
    ("committed", "ledger_end", "begins_at"),
    [(7, 9, 7), (0, 9, 0), (20, None, 20), (None, 9, 9), (None, None, 3), (21, None, 3), (21, 9, 9), (None, 0, 0)],
)
def test_reading_goes_on_at_the_commit_else_the_ledgers_end_else_the_earliest(committed, ledger_end, begins_at):
    assert begin(committed, ledger_end, earliest=3, end=20) == begins_at


@settings(deadline=None, max_examples=150, derandomize=True)
@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_a_commit_skips_nothing_and_takes_nothing_back(base, first, end):
    at = to_commit(base, first, end)
    if at is None:
        assert end <= base or first > base
    else:
        assert at == end > base
        assert set(range(base, at)) <= set(range(first, end))


def test_ranges_that_touch_or_overlap_are_shown_as_one():
    assert joined([(5, 9), (0, 5), (12, 13), (6, 8)]) == [(0, 9), (12, 13)]
    assert joined([]) == []
