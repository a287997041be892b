"""Drawn: ids that are none, and one id for several events."""

from random import Random

from clickstream_assets_tests.hard_cases.book import DROP, HOUR, MINUTE, SITE, Book, rfc3339

NOBODY = (
    *("undefined", "null", "none", "nil", "nan", "n/a", "true", "false", "0", "anonymous", "guest", "id", "email"),
    *("not_authenticated", "distinct_id", "distinctid", "[object Object]", "00000000-0000-0000-0000-000000000000"),
)
NEARLY_NOBODY = ("undefine", "nullnull", "none.", "na", "0.0", "-0", "000", "guests", "[object]", "e-mail", "00000000")
BLANKS = ("", "", " ", "\t", "\n ", "\u00a0", "\u2003", "\u3000")


def words_for_nobody(book: Book) -> None:
    """150 events with ids that programs write where they have none, or that look like it."""
    rng = Random("ids")
    for number in range(150):
        at = book.hour(9) + number * 20_000
        user, visitor, event_id = rng.choice(
            (("user_id", "anonymous_id", "event_id"), ("userId", "anonymousId", "messageId"))
        )
        event: dict[str, object] = {"timestamp": rfc3339(at), "url": f"{SITE}/drawn/ids/{number % 5}"}
        event[user] = _id(rng, f"somebody {number % 6}")
        event[visitor] = _id(rng, f"visitor {number % 6}")
        event[event_id] = _id(rng, f"drawn-id-{number // 2}")
        if rng.random() < 0.2:
            event["user_id"] = _id(rng, "plain")
        book.drawn(f"drawn ids: {number}", at + 400, event)


def shared_ids(book: Book) -> None:
    """160 deliveries of events that share few ids: some are the same event, most are not."""
    rng = Random("shared")
    for number in range(160):
        at = book.hour(9) - 10 * MINUTE + rng.randrange(20) * MINUTE
        page = f"{SITE}{rng.choice(('', ':443'))}/drawn/shared/{rng.randrange(2)}{rng.choice(('', '#top', '?utm_a=1'))}"
        event = {
            "event_id": f"drawn-shared-{rng.randrange(4)}",
            rng.choice(("user_id", "user_id", "anonymous_id")): f"shared {rng.randrange(2)}",
            "event_type": rng.choice(("page_view", "pageview", "click", DROP, "scroll", "page_leave")),
            "timestamp": rfc3339(at),
            "url": page,
            "delivery": number,
        }
        book.drawn(f"drawn shared: {number}", at + rng.choice((300, 400, HOUR)), event)


def _id(rng: Random, good: str) -> object:
    word = rng.choice(NOBODY)
    word = rng.choice((word, word, word.upper(), word.title()))
    word = rng.choice(BLANKS) + word + rng.choice(BLANKS)
    return rng.choice((word, word, good, good, rng.choice(NEARLY_NOBODY), rng.choice(BLANKS), 0, None, DROP))
