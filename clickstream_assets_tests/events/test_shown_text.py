"""What was sent steers no terminal and no page, and nothing in it is a link: drawn at random, read by a parser."""

import json
import re
import unicodedata
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from clickstream_assets.events.shown_text import inert, json_text, printable
from clickstream_assets.evidence.pictures import bars, by_hour

HOSTILE = (
    "https://evil.example/a?b=c",
    "HTTP://evil.example",
    "www.evil.example",
    "ftp://evil.example",
    "//evil.example/a",
    "mallory@evil.example",
    "mailto:mallory@evil.example",
    "<https://evil.example>",
    "[click](https://evil.example)",
    "[click](//evil.example 'title')",
    "![](https://evil.example/pixel.png)",
    "[a][b]\n\n[b]: https://evil.example",
    "[a]: //evil.example",
    "<script>window.hostile=1</script>",
    "<img src=x onerror='window.hostile=1'>",
    "<svg onload=window.hostile=1>",
    "`<b>`",
    "``` \n<b>",
    "javascript:window.hostile=1",
    "[a](javascript:window.hostile=1)",
    "data:text/html,<script>window.hostile=1</script>",
    "<!channel> <@U1>",
    "</text><script>window.hostile=1</script>",
    "'/><image href='https://evil.example/p.png'/>",
    "&lt;b&gt; &#60;b&#62;",
    "\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "\x9b31m\x7f",
    "abc\u202egnp.exe\u202c\u2066\u200f",
    "\u2028\u2029\ufeff\U000e0041",
    "| a | b |\n|---|---|",
)
pieces = st.sampled_from(
    [*HOSTILE, "[", "]", "(", ")", "!", "<", ">", "`", "\\", "&", "@", ":", "//", "www.", ".", "\n", " ", "*", "_", "#"]
)
hostile = st.lists(pieces | st.text(max_size=8), max_size=8).map("".join)
steady = settings(deadline=None, max_examples=300, derandomize=True)
GFM = MarkdownIt("commonmark").enable(["table", "strikethrough"])
GFM.validateLink = lambda url: True  # the parser's own care is not ours to count on
_AUTOLINK = re.compile(r"(?i)https?://|ftp://|www\.[a-z0-9]|[\w.+-]+@[\w-]+|(?:mailto|xmpp):")
"""What GitHub's Markdown, which Dagster's pages read, makes a link of where it stands bare."""
ACTIVE = {"link_open", "image", "html_inline", "html_block"}


def tokens(text):
    for token in GFM.parse(text):
        yield token
        yield from token.children or ()


@steady
@given(hostile)
def test_inert_text_is_no_link_no_image_and_no_html(text):
    for around in ("{}", "metrics differ: {}; and more", "- {}", "[a][b] {}"):
        found = list(tokens(around.format(inert(text))))
        assert ACTIVE.isdisjoint(token.type for token in found), text
        bare = " ".join(token.content for token in found if token.type == "text")
        assert not _AUTOLINK.search(bare), text


def test_plain_words_stay_as_they_are():
    words = "step: 3 of 4 rows (75.0%), `kafka` at 10:00 in /a/b.py: KeyError('x')".replace("`", "'")
    assert inert(words) == printable(words) == words
    assert inert("https://shop.example/a") == r"https:\x2f/shop.example/a"


@steady
@given(hostile | st.text())
@example("\x00\x07\x1b\x7f\x85\x9f\u061c\u200e\u202a\u2069\U000e0001")
def test_json_decodes_to_what_was_sent_and_holds_nothing_that_a_terminal_obeys(text):
    shown = json_text({"value": text, text: [text, 1.5, None]})
    assert json.loads(shown) == {"value": text, text: [text, 1.5, None]}
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Zl", "Zp", "Cs"}
    assert shown.isprintable()


def test_text_that_steers_nothing_is_not_escaped():
    assert json_text({"url": "https://bücher.example/日本?a=😀"}) == '{"url":"https://bücher.example/日本?a=😀"}'
    assert json_text({"\x7f": 1 << 70}) == f'{{"\\u007f":{1 << 70}}}'


@pytest.mark.parametrize("text", HOSTILE)
def test_printable_text_has_no_control_and_no_bidi_characters(text):
    assert printable(text).isprintable()


@settings(steady, max_examples=100)
@given(hostile, st.lists(st.tuples(hostile, st.integers(1, 99)), max_size=4))
def test_a_picture_is_one_picture_of_our_own_whatever_it_names(title, amounts):
    title = printable(title)[:20]  # titles are ours: XML cannot hold every character
    for markdown in (bars(title[:20], amounts, 400), by_hour(title[:20], [1] * 9, "a", "b")):
        active = [token for token in tokens(markdown) if token.type in ACTIVE]
        assert [token.type for token in active] == ["image"]
        assert active[0].attrs["src"].startswith("data:image/svg+xml,")
        assert re.fullmatch(r"[^\W_]*", re.sub("[ ,:-]", "", active[0].content))
        # As a page has it: entities are read by Markdown first, then by the picture's own parser.
        svg = ElementTree.fromstring(unquote(active[0].attrs["src"]).partition(",")[2])
        assert {element.tag.rpartition("}")[2] for element in svg.iter()} == {"svg", "path", "text"}
        assert {name for element in svg.iter() for name in element.attrib if name.startswith("on")} == set()
