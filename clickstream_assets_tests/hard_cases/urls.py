"""Urls that are refused, that are one page, and that stay apart."""

from clickstream_assets_tests.hard_cases.book import SITE, Book


def urls(book: Book) -> None:
    bad = {
        "ftp": "ftp://hard.example/x",
        "mailto": "mailto:me@hard.example",
        "javascript": "javascript:alert(1)",
        "data": "data:text/html,x",
        "httpx": "httpx://hard.example/",
        "relative": "/x/y",
        "no scheme": "hard.example/x",
        "scheme-relative": "//hard.example/x",
        "one slash": "https:/hard.example/x",
        "no slashes": "https:hard.example",
        "no host": "https:///x",
        "no host but a query": "https://?q=1",
        "no host but a user": "https://me@/x",
        "no host but a port": "https://:8080/x",
        "only the scheme": "https://",
        "space in the path": "https://hard.example/a b",
        "space in the host": "https://hard example/",
        "space in front": " https://hard.example/",
        "space behind": "https://hard.example/ ",
        "only a space": " ",
        "tab": "https://hard.example/a\tb",
        "line feed behind": "https://hard.example/\n",
        "carriage return": "https://hard.example/a\rb",
        "escape": "https://hard.example/\x1b",
        "delete": "https://hard.example/\x7f",
        "next line": "https://hard.example/\x85",
        "no-break space": "https://hard.example/\xa0",
        "line separator": "https://hard.example/\u2028",
        "paragraph separator in the query": "https://hard.example/?q=\u2029",
        "space in the fragment": "https://hard.example/#a b",
        "port of letters": "https://hard.example:abc/",
        "port too high": "https://hard.example:65536/",
        "negative port": "https://hard.example:-1/",
        "port and letters": "https://hard.example:80a/",
        "IPv6 not closed": "https://[2001:db8::1/",
        "IPv6 not opened": "https://2001:db8::1]/",
        "IPv6 of letters": "https://[zz::1]/",
        "8193 bytes": "https://hard.example/" + "x" * (8193 - 21),
        "few characters, many bytes": "https://hard.example/" + "é" * 4100,
    }
    for name, value in bad.items():
        book.add(f"url: {name}", "invalid_url", url=value)

    # Each line: spellings of one page, which must meet in one document
    same = {
        "plain": ["https://hard.example/same", "HTTPS://HARD.example/same", "https://Hard.Example:443/same#top",
                  "https://me:pa:ss@hard.example/same", "https://a@b@hard.example/same", "https://hard.example:/same",
                  "https://hard.example:0443/same", "https://hard.example/same?", "https://hard.example/same?#",
                  "https://hard.example/same?&", "https://hard.example/same?&&&",
                  "https://hard.example/same?utm_source=a&utm_=&UTM_X=1&utm_source", "https://hard.example/same#?a=1",
                  "https://hard.example/same?gclid=1&gbraid=1&wbraid=1&dclid=1&fbclid=1&msclkid=1&yclid=1&mc_cid=1"
                  "&mc_eid=1&igshid=1&_ga=1", "https://hard.example/same?GCLID=1&FbClId=2&_GA=3&gclid#"],
        "http": ["http://hard.example/same", "http://hard.example:80/same", "hTTp://hard.example:080/same"],
        "other port": ["https://hard.example:80/same", "https://HARD.example:0080/same"],
        "http on 443": ["http://hard.example:443/same"],
        "empty path": ["https://empty.hard.example", "https://empty.hard.example/", "https://EMPTY.hard.example#x",
                       "https://empty.hard.example?", "https://empty.hard.example?utm_id=1"],
        "empty path and query": ["https://empty.hard.example?a=1", "https://empty.hard.example/?a=1&",
                                 "https://empty.hard.example/?&a=1&gclid=x"],
        "kept query": ["https://hard.example/q?a=1&b=2", "https://hard.example/q?a=1&&b=2&utm_term=x",
                       "https://hard.example/q?&a=1&b=2&", "https://hard.example/q?Gclid=9&a=1&_ga=2&b=2#z"],
        "other order": ["https://hard.example/q?b=2&a=1"],
        "IPv6": ["https://[2001:DB8::A]/x", "https://[2001:db8::a]:443/x", "https://u@[2001:dB8::a]/x#f"],
        "IPv6 and port": ["http://[2001:db8::a]:8080/x"],
        "IPv4": ["http://192.0.2.1/x", "http://192.0.2.1:80/x"],
        "unicode host": ["https://BÜCHER.example/Ä", "https://bücher.example/Ä"],
        "cyrillic host": ["https://МАГАЗИН.example/", "https://магазин.example"],
        "idn": ["https://XN--BCHER-KVA.example/", "https://xn--bcher-kva.example"],
        "trailing dot": ["https://hard.example./same"],
    }  # fmt: skip
    for page, spellings in same.items():
        for number, url in enumerate(spellings):
            book.add(f"page: {page} {number}", url=url)
    # Each of these is a page of its own: nothing in it may be touched
    for number, rest in enumerate((
        "/%7Euser", "/~user", "/%7euser", "/a/../b", "/a/./b", "/a//b", "//a", "/a/", "/A", "/a;p=1", "/a;p=1?x",
        "/a%2Fb", "/a%20b",
        "/a+b", "/é", "/%C3%A9", "/e\u0301", "/?a", "/?a=", "/?=a", "/?=", "/?a=b=c", "/?a=b?c", "/?a;b",
        "/?utm%5Fsource=1", "/?xutm_a=1", "/?utm=1", "/?gclid2=1", "/?gclid%3D1", "/?ga=1", "/?_gac=1", "/?__ga=1",
        "/?a=utm_x", "/?a=%26&b", "/?a[]=1&a[]=2", "/?A=1", "/?q='\"<>", "/?q=%zz", "/%", "/{x}", "/|", "/^`",
        "/?a=/b//c",
        "/?q=http://x.example/?utm_a=1", "/:80/", "/@", "/*", "/?mc_cidx=1", "/?_gaq=1", "/?+utm_a=1",
    )):  # fmt: skip
        book.add(f"kept: {number} {rest}", url=f"https://kept.hard.example{rest}")
    prefix = "https://hard.example/long?q="
    book.add("url ok: 8192 bytes", url=prefix + "x" * (8192 - len(prefix)))
    book.add("url ok: 8192 bytes of two", url="https://hard.example/lang" + "é" * 4083 + "x")
    book.add("url ok: long only before it is shortened", url=f"{SITE}/shortened?utm_x=" + "x" * 8000)
    book.add("url ok: host of one label", url="http://localhost/x")
    book.add("url ok: port 0", url="http://hard.example:0/x")
    book.add("url ok: highest port", url="http://hard.example:65535/x")
