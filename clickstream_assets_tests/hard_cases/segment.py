"""Segment's spelling."""

import json

from clickstream_assets_tests.hard_cases.book import (
    BRITISH,
    CHROME,
    DROP,
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


def segment(book: Book) -> None:
    def spelled(name: str, at: int, **fields: object) -> dict[str, object]:
        event: dict[str, object] = {
            "messageId": f"hard-{name}",
            "userId": f"user of {name}",
            "type": "page_view",
            "originalTimestamp": rfc3339(at),
            "context": {
                "ip": FRENCH,
                "userAgent": CHROME,
                "page": {"url": f"{SITE}/segment", "referrer": "https://r.example/"},
            },
        }
        event.update(fields)
        return {field: value for field, value in event.items() if value is not DROP}

    def add(name: str, outcome: str = STORED, **fields: object) -> None:
        record = book.tick()
        body = json.dumps(spelled(f"segment: {name}", record - SECOND, **fields)).encode()
        book.raw(f"segment: {name}", outcome, body, record=record)

    page = {"url": f"{SITE}/segment"}
    add("as it comes")
    add("anonymous", userId=None, anonymousId="segment anonymous")
    add("a number for a user", userId=77)
    add("its type is no click", type="track")
    add("without a type", type=DROP)
    add("without an id", messageId=DROP)
    add("plain url wins", url=f"{SITE}/plain")
    add("plain ip wins", ip=BRITISH)
    add("plain user wins", user_id="plain user")
    add("plain type wins", event_type="scroll")
    add("plain agent wins", user_agent=GOOGLEBOT)
    add("plain time wins", timestamp=rfc3339(book.hour(5) + 5 * MINUTE))
    add("plain id wins", event_id="hard-segment plain id")
    add("plain wins over a wrong type", user_id="plain user 2", userId=["no"])
    add("plain wins over a bad time", timestamp=rfc3339(book.hour(5) + 6 * MINUTE), originalTimestamp="yesterday")
    nothing = dict.fromkeys(
        (
            "event_id",
            "user_id",
            "anonymous_id",
            "event_type",
            "timestamp",
            "sent_at",
            "ip",
            "user_agent",
            "url",
            "referrer",
        )
    )
    add("plain is null", **nothing)
    add("plain is empty", **dict.fromkeys(nothing, ""))
    add("context with more in it", context={"page": page | {"title": "T", "path": 5}, "library": {"name": "js"}})
    add("plain url in an odd context", context=5, url=f"{SITE}/plain")
    record = book.tick()
    late = spelled("segment: sentAt", record - HOUR, sentAt=rfc3339(record - HOUR + 250))
    book.raw("segment: sentAt", STORED, json.dumps(late).encode(), record=record)
    mixed = book.event("segment: mixed", book.tick(), ip=DROP, user_id=DROP, userId="mixed", context={"ip": FRENCH})
    book.raw("segment: mixed", STORED, json.dumps(mixed).encode())

    add("no context", "missing_field", context=DROP)
    add("context is a string", "missing_field", context="web")
    add("page is a list", "missing_field", context={"page": [f"{SITE}/x"]})
    add("url is null", "missing_field", context={"page": {"url": None}})
    add("no user", "missing_field", userId=DROP)
    add("no time, only another's", "missing_field", originalTimestamp=DROP, receivedAt=rfc3339(book.now))
    add("id is a number", "wrong_type", messageId=5)
    add("user is a float", "wrong_type", userId=5.5)
    add("user is true", "wrong_type", userId=True)
    add("ip is a list", "wrong_type", context={"ip": [FRENCH], "page": page})
    add("agent is an object", "wrong_type", context={"userAgent": {}, "page": page})
    add("url is a number", "wrong_type", context={"page": {"url": 5}})
    add("referrer is false", "wrong_type", context={"page": page | {"referrer": False}})
    add("type is null in words", type="null")
    add("nul in its ip", "invalid_text", context={"ip": "\0", "page": page})
    add("nul in its user", "invalid_text", userId="a\0")
    add("bad time", "invalid_timestamp", originalTimestamp="now")
    add("bad sentAt", "invalid_timestamp", sentAt="now")
    add("bad url", "invalid_url", context={"page": {"url": "/cart"}})
    add("bad plain url beats a good one", "invalid_url", url="/cart")
