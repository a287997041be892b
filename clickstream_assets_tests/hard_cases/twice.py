"""Deliveries of one event, and events that share an id."""

import json

from clickstream_assets_tests.hard_cases.book import (
    BINGBOT,
    DAY,
    DROP,
    DUPLICATE,
    FRENCH,
    GOOGLEBOT,
    HOUR,
    MINUTE,
    SECOND,
    SITE,
    STORED,
    Book,
    rfc3339,
)


def duplicates(book: Book) -> None:
    start = book.hour(12)

    def add(name: str, outcome: str, at: int, shared_id: str, **fields: object) -> None:
        fields = {"event_id": shared_id, "url": f"{SITE}/twice", "user_id": f"user of {shared_id}"} | fields
        book.add(f"twice: {name}", outcome, at=start + at, **fields)

    add("a", STORED, MINUTE, "twice-a")
    add("a again", DUPLICATE, MINUTE, "twice-a")
    add("a a third time, hours later", DUPLICATE, MINUTE, "twice-a", x=3)
    # Events that share an id stay apart by user, type and url; of those equal in all, the first stays
    add("b, the first", STORED, 2 * MINUTE, "twice-b", url=f"{SITE}/first", ip=FRENCH)
    add("b, another page", STORED, 2 * MINUTE, "twice-b", url=f"{SITE}/second")
    add("b, another user", STORED, 2 * MINUTE, "twice-b", user_id="someone else")
    add("b, another type", STORED, 3 * MINUTE, "twice-b", event_type="scroll")
    add("b, an earlier time", DUPLICATE, 1 * MINUTE, "twice-b", url=f"{SITE}/first")
    add("b, by a bot", DUPLICATE, 2 * MINUTE, "twice-b", user_agent=GOOGLEBOT, url=f"{SITE}/first")
    add("b, its url spelled otherwise", DUPLICATE, 2 * MINUTE, "twice-b", url=f"{SITE}:443/first?utm_id=1#top")
    add("b, an anonymous user", STORED, 2 * MINUTE, "twice-b", user_id=DROP, anonymous_id="user of twice-b")
    # In another hour it is another event
    add("c", STORED, 59 * MINUTE, "twice-c")
    add("c in the next hour", STORED, 61 * MINUTE, "twice-c")
    add("c in the next hour again", DUPLICATE, 119 * MINUTE, "twice-c")
    add("c in its hour again", DUPLICATE, 0, "twice-c")
    book.add("twice: c, weeks earlier", at=book.first_ms + 2 * HOUR, record=book.now - HOUR, event_id="twice-c")
    # A refused one leaves its id free
    add("d, bad", "invalid_url", 5 * MINUTE, "twice-d", url="/relative")
    add("d, good", STORED, 5 * MINUTE, "twice-d")
    add("d, bad again", "wrong_type", 5 * MINUTE, "twice-d", referrer=5)
    add("d, good again", DUPLICATE, 5 * MINUTE, "twice-d")
    # First a scroll, and then a click of the same id; first a bot's view, and then one that must not count
    add("e, a scroll", STORED, 6 * MINUTE, "twice-e", event_type="scroll")
    add("e, a click", STORED, 6 * MINUTE, "twice-e", event_type="click")
    add("f, a bot", STORED, 7 * MINUTE, "twice-f", user_agent=BINGBOT)
    add("f, a person", DUPLICATE, 7 * MINUTE, "twice-f")
    # The same id in both spellings
    add("g", STORED, 8 * MINUTE, "twice-g")
    add("g in Segment's spelling", DUPLICATE, 8 * MINUTE, DROP, messageId="twice-g", user_id="user of twice-g")
    # The corrected time decides the hour
    sent = {"sent_at": rfc3339(start + 10 * MINUTE + 5 * SECOND)}
    add("h", STORED, 10 * MINUTE, "twice-h", **sent)
    shifted = book.event("twice: h", start - 5 * DAY, event_id="twice-h", user_id="user of twice-h")
    shifted |= {"url": f"{SITE}/twice", "sent_at": rfc3339(start - 5 * DAY + SECOND)}
    book.raw("twice: h by a clock five days slow", DUPLICATE, json.dumps(shifted).encode(), record=start + 20 * MINUTE)
    book.raw("twice: h by that clock, an hour on", STORED, json.dumps(shifted).encode(), record=start + 80 * MINUTE)
    for number in range(30):  # many of one
        add(f"i {number}", DUPLICATE if number else STORED, 12 * MINUTE + number, "twice-i", x=number)
    # Ids that only the bytes tell apart
    for number, odd in enumerate(("twice-j", "twice-J", "twice-j ", "twice-j\u200b", "twice-\uff4a", "twice-j\n")):
        add(f"j {number}", STORED, 13 * MINUTE, odd)
