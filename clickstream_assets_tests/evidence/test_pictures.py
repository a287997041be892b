"""Pictures fit the UI, tell the truth, and are well-formed whatever they are given."""

import re
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream_assets.events.refusals import REASONS
from clickstream_assets.evidence.pictures import LONGEST, bars, by_hour, shorten

COUNTRIES = [("US", 300), ("DE", 150), ("FR", 3)]


def drawn(markdown):
    """The picture's root element; fails unless the UI would show it in place."""
    assert len(markdown) <= LONGEST
    found = re.fullmatch(r"!\[[^\]\n]*\]\(<data:image/svg\+xml,([^<>\n\\]*)>\)", markdown)
    root = ElementTree.fromstring(unquote(found.group(1)))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return root


def texts(root):
    return [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]


def widths(root):
    path = root.find("{http://www.w3.org/2000/svg}path").get("d")
    return [int(width) for width in re.findall(r"h(\d+)v12", path)]


def test_bars_name_their_amounts_and_shares():
    root = drawn(bars("Clicks by country", COUNTRIES, 453))
    assert texts(root) == ["Clicks by country", "US 300 (66 %)", "DE 150 (33 %)", "FR 3 (< 1 %)"]


def test_bars_begin_at_zero_and_are_as_long_as_their_amounts():
    assert widths(drawn(bars("Clicks", COUNTRIES, 453))) == [160, 80, 2]


def test_what_the_amounts_lack_of_the_total_is_one_bar_more():
    assert texts(drawn(bars("Clicks", COUNTRIES, 553)))[-1] == "other 100 (18 %)"


def test_where_there_is_no_room_the_last_become_others():
    many = [(f"reason_number_{at}", 100 - at) for at in range(30)]
    total = sum(amount for _, amount in many)
    *shown, other = texts(drawn(bars("Refused", many, total)))[1:]
    assert len(shown) >= 5
    rest = sum(amount for _, amount in many[len(shown) :])
    assert other.startswith(f"other {rest:,} ")


def test_all_the_contracts_reasons_but_the_last_few_have_a_bar_of_their_own():
    amounts = [(reason, 10) for reason in REASONS]
    assert len(texts(drawn(bars("Refused messages by reason, 2026-11-23 09:00 UTC", amounts, 110)))) >= 8


@pytest.mark.slow
@given(
    st.text(max_size=60),
    st.lists(st.tuples(st.text(max_size=200), st.integers(0, 10**12)), max_size=20),
    st.integers(0, 10**9),
)
def test_bars_are_well_formed_and_fit_whatever_their_names(title, amounts, more):
    printable = [(printed(name), amount) for name, amount in amounts]
    drawn(bars(printed(title), printable, sum(amount for _, amount in amounts) + more))


def printed(text):
    """What XML can hold at all."""
    return "".join(character for character in text if character.isprintable())


@pytest.mark.slow
@given(st.lists(st.integers(0, 10**9), min_size=24, max_size=24))
def test_a_day_of_hours_fits(amounts):
    root = drawn(by_hour("Clicks by hour", amounts, "2026-11-22 10:00 UTC", "2026-11-23 09:00 UTC"))
    assert texts(root) == ["Clicks by hour", f"{max(amounts):,}", "0", "2026-11-22 10:00 UTC", "2026-11-23 09:00 UTC"]
    heights = re.findall(r"v-(\d+)h9", root.find("{http://www.w3.org/2000/svg}path").get("d"))
    assert [bool(int(height)) for height in heights] == [bool(amount) for amount in amounts]


def test_more_hours_than_fit_are_an_error():
    with pytest.raises(ValueError, match="100 hours"):
        by_hour("Clicks by hour", [1] * 100, "a", "b")


def test_a_long_text_ends_in_an_ellipsis():
    assert shorten("abcdef", 4) == "abc…"
    assert shorten("abcd", 4) == "abcd"
