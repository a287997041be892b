"""Bars: as high as their numbers, side by side, none beyond the chart."""

from hypothesis import given
from hypothesis import strategies as st

from clickstream_assets.page.charts import HEIGHT, TOP, Datum, draw, nice_top

values = st.none() | st.integers(0, 10**12) | st.floats(0, 1e12, allow_subnormal=False)


@given(st.lists(values, max_size=800))
def test_bars_stand_on_the_base_line_and_within_the_chart(drawn):
    drawing = draw([Datum(value, "") for value in drawn])
    assert len(drawing.bars) == len(drawn)
    for bar, value in zip(drawing.bars, drawn, strict=True):
        assert abs(bar.y + bar.height - (TOP + HEIGHT)) < 0.02
        assert bar.y >= TOP - 0.02
        assert bar.place <= bar.x
        assert bar.x + bar.width <= bar.place + bar.share + 0.01
        assert bar.place + bar.share <= 100.01
        assert (bar.height > 0) == bool(value)  # whatever is no zero is seen


def test_a_bar_is_as_high_as_its_number():
    low, high = draw([Datum(25, ""), Datum(100, "")]).bars
    assert (low.height, high.height) == (HEIGHT / 4, HEIGHT)
    assert (low.place, high.place, high.share, high.middle) == (0, 50, 50, 75)


def test_the_axis_ends_at_a_round_number():
    assert [nice_top(value) for value in (0, 0.4, 1, 3, 99, 101, 2_400)] == [1, 0.4, 1, 3, 100, 150, 3_000]
    assert draw([Datum(80, "")]).lines == ((80, TOP), (40, TOP + HEIGHT / 2), (0, TOP + HEIGHT))


@given(st.floats(1e-6, 1e15))
def test_no_number_is_beyond_the_axis(value):
    assert value <= nice_top(value) * (1 + 1e-9)
