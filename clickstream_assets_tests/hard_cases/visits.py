"""Time spent, seen from what follows and as the client measured it."""

from random import Random

from clickstream_assets_tests.hard_cases.book import (
    BRITISH,
    DUPLICATE,
    FRENCH,
    GERMAN,
    GOOGLEBOT,
    HOUR,
    MINUTE,
    SECOND,
    SITE,
    Book,
)


def sessions(book: Book) -> None:
    """Time spent. Each visit is one user's; pages are shared, so that sums catch a wrong one."""

    def visit(name: str, start: int, *steps: tuple[int, str] | tuple[int, str, dict[str, object]]) -> None:
        for number, (offset, kind, *more) in enumerate(steps):
            fields: dict[str, object] = {
                "event_type": kind,
                "user_id": f"visit {name}",
                "url": f"{SITE}/visit/{number}",
            }
            fields |= more[0] if more else {}
            book.add(f"visit: {name} {number}", at=start + offset, **fields)

    half, at = 30 * MINUTE, book.hour(11) + 5 * MINUTE
    view, click, scroll = "page_view", "click", "scroll"
    visit("simple", at, (0, view), (10 * SECOND, view), (25 * SECOND, click), (26 * SECOND, view))
    visit("alone", at, (0, view))
    visit("only signs of life", at, (0, scroll), (SECOND, "heartbeat"))
    visit("gap of 30 min", at, (0, view), (half, view))
    visit("gap of 30 min and 1 ms", at, (0, view), (half + 1, view))
    visit("gap of 30 min less 1 ms", at, (0, view), (half - 1, view))
    visit("sign of life at 30 min", at, (0, view), (half, scroll))
    visit("sign of life after 30 min", at, (0, view), (half + 1, scroll))
    visit(
        "the last sign of life", at, (0, view), (MINUTE, scroll), (5 * MINUTE, "heartbeat"), (29 * MINUTE, "purchase")
    )
    visit("signs of life, some too late", at, (0, view), (MINUTE, scroll), (half + 1, scroll), (half + 2, view))
    visit("click among signs of life", at, (0, view), (MINUTE, scroll), (2 * MINUTE, click), (3 * MINUTE, scroll))
    visit("life after the click but the click counts", at, (0, view), (SECOND, click), (20 * MINUTE, scroll))
    visit("chain over 30 min", at, (0, view), (20 * MINUTE, scroll), (40 * MINUTE, scroll), (41 * MINUTE, view))
    visit("1 ms", at, (0, view), (1, view), (2, view))
    visit("equal times", at, (0, view), (0, view), (0, click), (10 * SECOND, view))
    visit("equal times, only scrolls", at, (0, view), (0, scroll), (0, view))
    visit("equal times at the end", at, (0, view), (SECOND, scroll), (SECOND, view))
    visit("all at once", at, (0, view), (0, view))
    visit("same page", at, (0, view, {"url": f"{SITE}/visit/0"}), (9 * SECOND, view, {"url": f"{SITE}/visit/0#b"}))
    visit("from another country", at, (0, view, {"ip": FRENCH}), (30 * SECOND, view, {"ip": BRITISH}))
    visit("with another browser", at, (0, view), (30 * SECOND, view, {"user_agent": "curl/8.5.0"}))
    for leaving in ("page_leave", "pageleave", "$pageleave"):
        left: dict[str, object] = {"url": f"{SITE}/visit/0"}
        visit(f"{leaving}, then another page", at, (0, view), (20 * SECOND, leaving, left), (50 * SECOND, view))
        visit(f"{leaving} of another page", at, (0, view), (20 * SECOND, leaving), (50 * SECOND, view))
        visit(f"{leaving} at the end", at, (0, view), (5 * SECOND, scroll), (20 * SECOND, leaving, left),
              (25 * SECOND, scroll))  # fmt: skip
        visit(f"{leaving} of another page at the end", at, (0, view), (20 * SECOND, leaving), (21 * SECOND, scroll))
        visit(f"{leaving} too late", at, (0, view), (half + 1, leaving, left))
        visit(f"{leaving} at once", at, (0, view), (0, leaving, left), (9 * SECOND, view))
    bot: dict[str, object] = {"user_agent": GOOGLEBOT}
    visit("a bot in between", at, (0, view), (10 * SECOND, view, bot), (30 * SECOND, view), (31 * SECOND, scroll, bot))
    visit("a bot behind", at, (0, view), (10 * SECOND, click, bot))
    visit("only a bot", at, (0, view, bot), (10 * SECOND, view, bot))
    visit("an unknown type", at, (0, view), (7 * SECOND, "Click"), (9 * SECOND, "pageview"))
    visit("a refused one in between", at, (0, view), (30 * SECOND, view))
    book.add(
        "visit: a refused one in between, refused",
        "invalid_url",
        at=at + 5 * SECOND,
        url="/x",
        user_id="visit a refused one in between",
    )
    visit("a duplicate in between", at, (0, view, {"event_id": "visit-dup"}), (30 * SECOND, view))
    book.add("visit: a duplicate in between, duplicate", DUPLICATE, at=at + 9 * SECOND, event_id="visit-dup",
             user_id="visit a duplicate in between", url=f"{SITE}/visit/0")  # fmt: skip

    # Over the hour's end: the time belongs to the view's own hour
    end = book.hour(9)
    visit("over the hour", end - MINUTE, (0, view), (2 * MINUTE, view), (3 * MINUTE, view))
    visit("over the hour by 1 ms", end - 1, (0, view), (1, view))
    visit("over the hour, 30 min", end - 1, (0, view), (half, view))
    visit("over the hour, 30 min and 1 ms", end - 1, (0, view), (half + 1, view))
    visit("over the hour, a sign of life", end - 10 * MINUTE, (0, view), (5 * MINUTE, scroll), (25 * MINUTE, scroll))
    visit("over the hour, at its 30th minute", end - 5 * MINUTE, (0, view), (half, scroll), (half + 5 * MINUTE, view))
    visit("over the hour, then a click", end - 10 * MINUTE, (0, view), (15 * MINUTE, scroll), (20 * MINUTE, view))
    visit("over two hours", end - MINUTE, (0, view), (61 * MINUTE, view), (62 * MINUTE, view))
    visit("the last minute and the first", end - 1, (0, click), (2, click))
    visit("nothing but the other side", end - 20 * MINUTE, (0, view), (21 * MINUTE, scroll, bot), (25 * MINUTE, scroll))

    # The next hour's minutes come first, those before them later: a closed hour is opened again
    record = book.hour(3)
    for number, offset in enumerate((20 * MINUTE, 1, -10 * MINUTE, -1, 5 * MINUTE)):
        book.add(f"visit: backwards {number}", at=book.hour(8) + offset, record=record + number, user_id="backwards",
                 url=f"{SITE}/visit/{number}")  # fmt: skip
    # A long visit with every kind in it
    rng = Random(7)
    offset = 0
    for number in range(60):
        offset += rng.choice((1, 500, 20 * SECOND, 3 * MINUTE, half, half + 1))
        kind = rng.choice((view, view, click, scroll, "heartbeat"))
        who = rng.choice(("long visit", "long visit", "other long visit"))
        book.add(f"visit: long {number}", at=book.now - 15 * HOUR + offset, event_type=kind, user_id=who,
                 url=f"{SITE}/long/{number % 7}", ip=rng.choice((GERMAN, FRENCH)))  # fmt: skip


def engagement(book: Book) -> None:
    at = book.hour(10) + 10 * MINUTE
    values: dict[str, object] = {
        "0": 0, "1": 1, "1234": 1234, "a float": 1234.9, "a small float": 0.9, "minus zero": -0.0, "exponent": 1e3,
        "30 min": 30 * MINUTE, "30 min and 1": 30 * MINUTE + 1, "an hour": HOUR, "2^63": 1 << 63, "1e308": 1e308,
        "10^300": 10**300, "null": None, "empty": "",
    }  # fmt: skip
    for name, value in values.items():
        page = f"{SITE}/engaged/{name.replace(' ', '-').replace('^', '')}"
        who = f"engaged {name}"
        book.add(f"engaged: {name}", at=at, engagement_time_ms=value, url=page, user_id=who)
        book.add(f"engaged: {name}, next", at=at + 20 * SECOND, url=f"{SITE}/engaged/next", user_id=who)
    book.add("engaged: alone", at=at, engagement_time_ms=5000, url=f"{SITE}/engaged/alone")
    book.add("engaged: a scroll's is no view's", at=at, event_type="scroll", engagement_time_ms=9999)
    book.add("engaged: a bot's", at=at, user_agent=GOOGLEBOT, engagement_time_ms=9999)
