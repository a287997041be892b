"""Drawn: urls put together from pieces, and the places where Segment and others put them."""

from random import Random

from clickstream_assets_tests.hard_cases.book import DROP, SITE, Book, rfc3339

SCHEMES = ("https", "https", "https", "http", "HTTPS", "hTTp", "ftp")
USERS = ("", "", "", "", "me@", "me:s3cret@", "@", "a@b@", "[::1]@", "a\\b@", "%@", ":@")
HOSTS = (
    *("drawn.example", "DRAWN.example", "drawn.example.", "192.0.2.7", "localhost", "bücher.example", "a_b.example"),
    *("[2001:db8::7]", "[2001:DB8::7]", "[::ffff:192.0.2.7]", "[::1%eth0]", "[::1%25eth0]", "[v1.fe]", "[::g]", "[]"),
    *("good.example[::1]", "[::1]good.example", "[::1", "::1]", "[[::1]]", "drawn.example[", "192.0.2.256"),
    *("a%41.example", "a%zz.example", "a%4.example", "%", "a%2Fb.example", "", "drawn.example%"),
    *(f"a{sign}b.example" for sign in "<>\"{}|\\^`!$&'()*+,;=~"),
)
PORTS = ("", "", "", "", ":", ":443", ":80", ":0443", ":8443", ":0", ":65535", ":65536", ":9" + "9" * 30, ":x", ":-1")
ODD_PORTS = (":+80", ":8_0", ":\u0664\u0664\u0663", ":80:80", ":1e3", ": 80")
PATHS = ("", "", "/", "/a", "//a", "/A%zz", "/Cart\\Pay", "\\Cart", "/[x]", "/a|b", "/a:b@c", "/\u00e9", "/;p=1")
TRACKING = (
    *("utm_source", "mtm_campaign", "pk_campaign", "matomo_x", "hsa_acc", "ml_subscriber", "oly_enc_id", "gclid"),
    *("gclsrc", "gbraid", "wbraid", "gad_source", "gad_campaignid", "dclid", "srsltid", "_ga", "_gl", "fbclid"),
    *("msclkid", "yclid", "ysclid", "ttclid", "twclid", "li_fat_id", "igsh", "igshid", "epik", "rdt_cid", "sccid"),
    *("mc_cid", "mc_eid", "mkt_tok", "_hsenc", "_hsmi", "__hssc", "__hstc", "__hsfp", "hsctatracking", "_kx"),
    *("vero_id", "vero_conv", "dm_i", "_openstat", "wickedid", "rb_clickid", "s_kwcid", "ef_id", "irclickid"),
)
KEPT = ("q", "id", "utm", "pk", "gad", "gad_other", "igsh2", "xutm_source", "ampgclid", "amp", "amp;q", "gclid%20")
FRAGMENTS = ("", "", "", "#", "#top", "#/route/7", "#!/route", "#?utm_a=1", "#a#b")


def urls(book: Book) -> None:
    """400 urls. Wherever they end they say which one they were."""
    rng = Random("urls")
    for number in range(400):
        at = book.hour(8) + number * 2000
        port = rng.choice((*PORTS, rng.choice(ODD_PORTS)))
        host = rng.choice(HOSTS) if rng.random() < 0.6 else HOSTS[0]
        path = rng.choice(PATHS) if rng.random() < 0.5 else "/p"
        url = f"{rng.choice(SCHEMES)}://{rng.choice(USERS)}{host}{port}{path}{_query(rng)}{rng.choice(FRAGMENTS)}"
        event = {
            "event_id": f"drawn-url-{number}",
            "user_id": f"url {number % 7}",
            "timestamp": rfc3339(at),
            "url": url,
        }
        book.drawn(f"drawn url: {number}", at + 400, event)


def pages(book: Book) -> None:
    """150 views as ``page``, ``screen`` and ``pageview``, their url at one of four places or at several."""
    rng = Random("pages")
    for number in range(150):
        at = book.hour(8) + number * 9000
        place, referrer = f"{SITE}/drawn/page/{number % 4}", "https://r.example/"
        event: dict[str, object] = {
            "messageId": f"drawn-page-{number}",
            rng.choice(("userId", "anonymousId", "user_id")): f"pages {number % 5}",
            "originalTimestamp": rfc3339(at),
            "event_type": rng.choice((DROP, DROP, DROP, "", "page", "screen", "pageview", "$pageview", "track", 5)),
            "type": rng.choice(("page", "screen", "pageview", "$pageview", "Page", "track", "click", "", None, DROP)),
            "url": rng.choice((DROP, DROP, DROP, "", place + "?plain")),
            "context": rng.choice(
                (DROP, None, {"page": None}, {"page": {"url": place}}, {"page": {"url": "", "referrer": referrer}}, [])
            ),
            "properties": rng.choice(
                (
                    DROP,
                    "",
                    {"url": place + "?properties"},
                    {"url": None},
                    {"url": 7},
                    {"referrer": referrer, "title": "T"},
                )
            ),
        }
        book.drawn(f"drawn page: {number}", at + 400, event)


def _query(rng: Random) -> str:
    if rng.random() < 0.3:
        return ""
    names = [
        rng.choice((rng.choice(TRACKING), rng.choice(TRACKING), rng.choice(KEPT))) for _ in range(rng.randrange(5))
    ]
    return "?" + "&".join(
        rng.choice(("", "", "amp;", "AMP;", "amp;amp;"))
        + rng.choice((name, name, name.upper()))
        + rng.choice(("=1", "=", "", "=a=b", "=%26", "="))
        for name in names
    )
