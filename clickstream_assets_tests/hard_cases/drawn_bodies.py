"""Drawn: JSON nested to the last level that is read, brackets where they nest nothing, and numbers of any size."""

import json
from random import Random

from clickstream_assets_tests.hard_cases.book import SITE, Book, rfc3339

DEEPEST = 128
NUMBERS = (
    *(sign * ((1 << bits) + more) for bits in (31, 53, 63, 64, 80, 512) for more in (-1, 0, 1) for sign in (1, -1)),
    *(10**digits + 7 for digits in (15, 18, 19, 20, 40, 300)),
    *(0.1, 1e-320, -1.5e300, 2.0**63),
)


def nesting(book: Book) -> None:
    """80 events whose properties go down to about as many levels as are read."""
    rng = Random("nesting")
    for number in range(80):
        at = book.hour(6) + number * 13_000
        levels = rng.choice((126, 127, 127, 128, 129, 300, 5000)) - 1  # the event itself is a level
        opened = rng.choices(("[", '{"a":', '{"]":'), k=levels)
        closed = "".join("]" if sign == "[" else "}" for sign in reversed(opened))
        inside = rng.choice(("1", '"[[[["', r'"\"[{"', "null", "[]" if levels < DEEPEST - 1 else "{}"))
        strings = json.dumps("[" * rng.choice((0, 500)) + rng.choice(('"', "\\", '\\"', "]]")))
        head = json.dumps(_event(f"drawn-nesting-{number}", at, number))[:-1]
        body = f'{head}, "text": {strings}, "deep": {"".join(opened)}{inside}{closed}}}'
        book.drawn(f"drawn nesting: {number}", at + 400, body.encode())


def numbers(book: Book) -> None:
    """120 events with a number in some place."""
    rng = Random("numbers")
    for number in range(120):
        at = book.hour(6) + number * 17_000
        event = _event(f"drawn-number-{number}", at, number)
        event[rng.choice(("user_id", "anonymous_id", "engagement_time_ms", "x", "x", "timestamp"))] = rng.choice(
            NUMBERS
        )
        book.drawn(f"drawn number: {number}", at + 400, event)


def _event(event_id: str, at: int, number: int) -> dict[str, object]:
    url = f"{SITE}/drawn/body/{number % 3}"
    return {"event_id": event_id, "user_id": f"body {number % 7}", "timestamp": rfc3339(at), "url": url}
