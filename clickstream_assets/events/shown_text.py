"""Text that somebody has sent, made fit to be shown: it steers no terminal and no page, and nothing in it is a link.

Terminals and JSON for them, Dagster's pages and alerts: whoever shows such a text takes one of these.
"""

import json
import re
from typing import Any

import orjson

_MAKES_LINKS = re.compile(
    r"""
    (?<=:)/(?=/)  # http://shop.example
    |(?<=www)\.  # www.shop.example
    |(?<=mailto|script):|(?<=xmpp|data):
    |(?<=\])[(\[:]  # [a](b), ![a](b), [a][b], and what says where b is
    |[<>@`]  # <http://shop.example>, HTML, mentions and addresses, code that hides an end of ours
    """,
    re.IGNORECASE | re.VERBOSE,
)


def printable(text: str) -> str:
    """A text with what a terminal would obey escaped: control characters, and those that turn the direction of text."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def json_text(value: Any) -> str:
    """A value as JSON on one line in which such characters are escapes: whoever reads it gets what was sent."""
    try:
        text = orjson.dumps(value).decode()
    except TypeError:  # an integer beyond 64 bits
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # Outside of strings JSON has but what is printable.
    return text if text.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def inert(text: str) -> str:
    """A text for chat programs and Markdown: what would make a link, an image, a mention or HTML of it is escaped too.

    ``https://shop.example`` becomes ``https:\\x2f/shop.example``.
    """
    return _MAKES_LINKS.sub(lambda found: f"\\x{ord(found[0]):02x}", printable(text))
