"""Drawn: addresses behind NAT64 and proxies, real crawlers' user agents, and texts about as long as they may be."""

from random import Random

from crawleruseragents import CRAWLER_USER_AGENTS_DATA

from clickstream_assets_tests.hard_cases.book import (
    BRITISH,
    CHROME,
    DROP,
    FRENCH,
    FRENCH_6,
    GERMAN,
    GOOGLEBOT,
    SITE,
    Book,
    rfc3339,
)

LONG = 2048
NAT64 = ("64:ff9b::568c:101", "64:FF9B::86.140.1.1", "64:ff9b::5a00:1", "64:ff9b::a00:1", "64:ff9b:1::568c:101")
PLACES = (GERMAN, FRENCH, BRITISH, FRENCH_6, f"::ffff:{GERMAN}", *NAT64, *NAT64)
PROXIES = ("10.0.0.7", "::1", "64:ff9b::10.1.1.1", "fe80::1%eth0", "unknown", "", "100.64.0.1:80", "[fd00::1]:443")
PEOPLE = (
    CHROME,
    "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
    "Mozilla/5.0 (iPad; CPU OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 14; SM-S921B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile "
    "Safari/537.36",
)
BOTS = (
    GOOGLEBOT,
    GOOGLEBOT.lower(),
    GOOGLEBOT.upper(),
    CHROME.replace("Chrome", "HeadlessChrome"),
    CHROME + " Chrome-Lighthouse",
    "Mozilla/5.0 (Linux; Android 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Mobile Safari/537.36 (compatible; "
    "Bytespider; spider-feedback@bytedance.com)",
)


def clients(book: Book) -> None:
    """250 views, half of them by crawlers as that package's own list has them, from everywhere."""
    rng = Random("clients")
    crawlers = sorted({agent for entry in CRAWLER_USER_AGENTS_DATA for agent in entry["instances"]})
    for number in range(250):
        at = book.hour(7) + number * 7000
        agent = rng.choice((rng.choice(PEOPLE), rng.choice(PEOPLE), rng.choice(BOTS), rng.choice(crawlers)))
        nat64 = rng.choice(PLACES)
        event = {
            "event_id": f"drawn-client-{number}",
            "user_id": f"client {number % 20}",
            "timestamp": rfc3339(at),
            "url": f"{SITE}/drawn/client/{number % 3}",
            "ip": rng.choice((nat64, f"[{nat64}]", f"[{nat64}]:443", _list(rng, nat64), _list(rng, nat64))),
            "user_agent": agent,
        }
        book.drawn(f"drawn client: {number}", at + 400, event)


def long_texts(book: Book) -> None:
    """120 events with a text around the length that is cut, dropped or refused."""
    rng = Random("long")
    for number in range(120):
        at = book.hour(7) + number * 11_000
        size = rng.choice((LONG - 1, LONG, LONG + 1, 3 * LONG))
        letter = rng.choice(("x", "é", "😀"))
        bot_at = rng.choice((" Googlebot/2.1", " HeadlessChrome/1"))
        head = PEOPLE[1] + " " + letter * (LONG - len(PEOPLE[1]) - 1)
        cut = rng.choice((-len(bot_at), -len(bot_at) + 1, 0, -5))
        event_id = f"drawn-long-{number}"
        event: dict[str, object] = {
            "event_id": rng.choice((event_id, event_id.ljust(128, letter), event_id.ljust(129, letter), DROP)),
            "user_id": f"long {number % 5}",
            "timestamp": rfc3339(at),
            "url": f"{SITE}/drawn/long",
            "ip": rng.choice((DROP, FRENCH.rjust(size), f"{'10.0.0.1,' * 300}{FRENCH}", f"{FRENCH},".ljust(size, ","))),
            "user_agent": rng.choice((DROP, head[: LONG + cut] + bot_at, head + bot_at, letter * size)),
            "referrer": rng.choice((DROP, "https://r.example/".ljust(size, letter))),
            "event_type": rng.choice((DROP, "click", letter * 128, letter * 129)),
            "anonymous_id": rng.choice((DROP, DROP, letter * 128, letter * 129, letter * 512, letter * 513)),
        }
        book.drawn(f"drawn long: {number}", at + 400, event)


def _list(rng: Random, address: str) -> str:
    behind = rng.sample(PROXIES, rng.randrange(4))
    return rng.choice((",", ", ", " ,")).join([*rng.sample(PLACES, rng.randrange(3)), address, *behind])
