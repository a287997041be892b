"""Drawn: visits of views, clicks, signs of life and leaving, over the end of an hour."""

from random import Random

from clickstream_assets_tests.hard_cases.book import DROP, MINUTE, SECOND, SITE, Book, rfc3339

TYPES = ("page_view", "page_view", "click", "pageview", "page", "scroll", "heartbeat")
LEAVING = ("page_leave", "pageleave", "$pageleave", "Page_Leave")
GAPS = (0, 1, 700, 20 * SECOND, 4 * MINUTE, 30 * MINUTE - 1, 30 * MINUTE, 30 * MINUTE + 1)
SPELLINGS = ("", "", "#part", "?utm_source=x", "?")


def visits(book: Book) -> None:
    """15 users of 25 events each; a page is left by the spelling of another moment."""
    rng = Random("visits")
    for visitor in range(15):
        at = book.hour(16) - 90 * MINUTE
        for number in range(25):
            at += rng.choice(GAPS)
            page = f"{SITE}/drawn/visit/{rng.randrange(3)}"
            event = {
                "event_id": f"drawn-visit-{visitor}-{number}",
                "anonymous_id": f"drawn visitor {visitor}",
                "timestamp": rfc3339(at),
                "event_type": rng.choice(LEAVING) if rng.random() < 0.3 else rng.choice(TYPES),
                "url": page + rng.choice(SPELLINGS),
                "engagement_time_ms": rng.choice((DROP, DROP, DROP, DROP, DROP, 0, 1234.5, 31 * MINUTE)),
            }
            book.drawn(f"drawn visit: {visitor}.{number}", at + 300, event)
