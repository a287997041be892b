"""What is read of a partition: everything once, nothing twice, and a commit that never skips."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream_assets.domain import offset_plan
from clickstream_assets.domain.ledger import GAP, LOST, READ, Entry
from clickstream_assets.domain.offset_plan import MAX_PIECE, Piece, begin, joined, plan_partition, to_commit


def entry(first, end, kind=READ):
    return Entry("topic-id", 0, first, end, kind)


@st.composite
def situations(draw):
    """A range, the entries that overlap it, the log's beginning, cuts, and the size of a piece."""
    edges = sorted(draw(st.sets(st.integers(0, 60), max_size=10)))
    kinds = [draw(st.sampled_from([READ, READ, GAP, LOST, None])) for _ in edges[1:]]
    booked = [entry(*span, kind) for span, kind in zip(itertools.pairwise(edges), kinds, strict=True) if kind]
    first, end = sorted((draw(st.integers(0, 60)), draw(st.integers(0, 60))))
    overlapping = [known for known in booked if known.first < end and known.end > first]
    return (
        first,
        end,
        overlapping,
        draw(st.integers(0, 70)),
        draw(st.sets(st.integers(0, 60))),
        draw(st.integers(1, 30)),
    )


@settings(deadline=None, max_examples=150, derandomize=True)
@given(situations())
def test_a_plan_covers_every_offset_once(situation):
    first, end, entries, available_from, cuts, size = situation
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(offset_plan, "MAX_PIECE", size)
        plan = plan_partition(first, end, entries, available_from, cuts)
    spans = [(piece.first, piece.end) for piece in (*plan.pieces, *plan.lost)]
    spans += [(known.first, known.end) for known in plan.unavailable]
    spans += [(known.first, known.end) for known in entries if known.kind != READ]
    planned = [offset for span in spans for offset in range(*span)]
    booked = {offset for known in entries for offset in range(known.first, known.end)}
    assert len(planned) == len(set(planned))
    assert set(planned) == set(range(first, end)) | booked
    assert all(start < stop for start, stop in spans)
    # Booked ranges are read again whole, the others cut where hours begin; nothing is read that Kafka lacks.
    again = [piece.entry for piece in plan.pieces if piece.entry] + plan.unavailable
    assert sorted(again, key=lambda known: known.first) == [known for known in entries if known.kind == READ]
    for piece in plan.pieces:
        assert piece.first >= available_from
        if piece.entry:
            assert (piece.first, piece.end) == (piece.entry.first, piece.entry.end)
        else:
            assert piece.end - piece.first <= size
            assert not any(piece.first < cut < piece.end for cut in cuts)
    assert all(piece.end <= available_from for piece in plan.lost)


def test_a_long_range_comes_in_pieces():
    plan = plan_partition(5, 5 + 2 * MAX_PIECE + 1, [], 0)
    assert plan.pieces == [
        Piece(5, 5 + MAX_PIECE),
        Piece(5 + MAX_PIECE, 5 + 2 * MAX_PIECE),
        Piece(5 + 2 * MAX_PIECE, 6 + 2 * MAX_PIECE),
    ]


def test_an_entry_is_read_again_whole_and_the_rest_around_it():
    known = entry(3, 8)
    assert plan_partition(5, 12, [known], 0, {10}).pieces == [Piece(3, 8, known), Piece(8, 10), Piece(10, 12)]


def test_what_retention_took_before_it_was_read_is_lost_and_what_it_took_after_is_left_alone():
    known = entry(0, 4)
    plan = plan_partition(2, 12, [known], 7)
    assert (plan.unavailable, plan.lost, plan.pieces) == ([known], [Piece(4, 7)], [Piece(7, 12)])
    assert plan_partition(0, 5, [], 9).lost == [Piece(0, 5)]


def test_nothing_to_read_is_an_empty_plan():
    assert plan_partition(4, 4, [], 0).pieces == []


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
