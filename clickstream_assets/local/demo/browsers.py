"""The user agents of demo traffic, weighted roughly as the web's are, and those of crawlers."""

from random import Random

_WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
_MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
_LINUX = "Mozilla/5.0 (X11; Linux x86_64)"
_KHTML = "AppleWebKit/537.36 (KHTML, like Gecko)"
_WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"


def _chrome(system: str, version: int) -> str:
    return f"{system} {_KHTML} Chrome/{version}.0.0.0 Safari/537.36"


def _android(phone: str, version: int, android: int = 10, browser: str = "") -> str:
    system = f"Mozilla/5.0 (Linux; Android {android}; {phone})"
    return f"{system} {_KHTML} {browser}Chrome/{version}.0.0.0 Mobile Safari/537.36"


def _iphone(system: str, browser: str, behind: str = "Safari/604.1") -> str:
    return f"Mozilla/5.0 (iPhone; CPU iPhone OS {system} like Mac OS X) {_WEBKIT} {browser} Mobile/15E148 {behind}"


def _safari(version: str) -> str:
    return f"{_MAC} {_WEBKIT} Version/{version} Safari/605.1.15"


def _firefox(system: str, version: int) -> str:
    return f"{system[:-1]}; rv:{version}.0) Gecko/20100101 Firefox/{version}.0"


BROWSERS: list[tuple[str, float]] = [
    *((_chrome(_WINDOWS, 142 - age), weight) for age, weight in enumerate((9, 7, 3, 1.5, 1, 0.7, 0.5))),
    *((_chrome(_MAC, 142 - age), weight) for age, weight in enumerate((4, 3, 1, 0.5))),
    *((_chrome(_LINUX, 142 - age), weight) for age, weight in enumerate((1.2, 0.8))),
    (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {_KHTML} Chrome/141.0.0.0 Safari/537.36", 0.6),
    (_android("K", 142), 12),
    (_android("K", 141), 6),
    (_android("K", 139), 2),
    (_android("SM-G991B", 142, 14), 2),
    (_android("SM-S918B", 142, 15), 1.5),
    (_android("SM-A546B", 141, 14), 1.5),
    (_android("Pixel 8", 142, 15), 1),
    (_android("Pixel 6a", 140, 14), 0.6),
    (_android("M2101K6G", 140, 13), 0.8),
    (_android("Redmi Note 12", 141, 13), 0.8),
    (_android("CPH2449", 141, 14), 0.4),
    (_android("moto g(30)", 138, 12), 0.4),
    (_android("SM-T870", 141, 13), 0.5),
    (_iphone("18_6", "Version/18.6"), 8),
    (_iphone("18_5", "Version/18.5"), 4),
    (_iphone("18_1", "Version/18.1"), 2),
    (_iphone("17_6", "Version/17.6"), 2),
    (_iphone("17_4", "Version/17.4"), 1),
    (_iphone("16_7", "Version/16.6"), 0.7),
    (_iphone("15_8", "Version/15.6"), 0.4),
    (_iphone("18_6", "CriOS/142.0.7444.46"), 1.2),
    (f"Mozilla/5.0 (iPad; CPU OS 18_5 like Mac OS X) {_WEBKIT} Version/18.5 Mobile/15E148 Safari/604.1", 1),
    (f"Mozilla/5.0 (iPad; CPU OS 16_7 like Mac OS X) {_WEBKIT} Version/16.6 Mobile/15E148 Safari/604.1", 0.5),
    (_safari("18.6"), 3),
    (_safari("18.4"), 1.5),
    (_safari("17.6"), 1),
    (_safari("16.6"), 0.5),
    (_firefox(_WINDOWS, 144), 2),
    (_firefox(_WINDOWS, 143), 1),
    (_firefox(_WINDOWS, 128), 0.5),
    (_firefox("Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15)", 144), 0.6),
    (_firefox("Mozilla/5.0 (X11; Ubuntu; Linux x86_64)", 144), 0.6),
    (_firefox(_LINUX, 140), 0.3),
    ("Mozilla/5.0 (Android 15; Mobile; rv:144.0) Gecko/144.0 Firefox/144.0", 0.6),
    (_iphone("18_6", "FxiOS/144.0", "Safari/605.1.15"), 0.3),
    (f"{_chrome(_WINDOWS, 142)} Edg/142.0.0.0", 4),
    (f"{_chrome(_WINDOWS, 141)} Edg/141.0.0.0", 2),
    (f"{_chrome(_MAC, 141)} Edg/141.0.0.0", 0.4),
    (f"{_chrome(_WINDOWS, 138)} OPR/122.0.0.0", 0.8),
    (f"{_android('K', 138)} OPR/91.0.0.0", 0.4),
    (f"{_chrome(_WINDOWS, 140)} Vivaldi/7.6.3797.58", 0.2),
    (_android("SAMSUNG SM-G991B", 130, 14, "SamsungBrowser/28.0 "), 2),
    (
        f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) {_WEBKIT} Mobile/15E148 "
        "[FBAN/FBIOS;FBAV/523.0.0.38.96;FBBV/768014958;FBDV/iPhone14,5;FBSN/iOS;FBSV/18.5]",
        0.8,
    ),
    (
        _android("SM-A546B Build/UP1A.231005.007; wv", 141, 14, "Version/4.0 ") + " Instagram 402.0.0.49.69 Android",
        0.6,
    ),
    ("Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko", 0.2),
]

CRAWLERS: list[tuple[str, float]] = [
    ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", 4),
    (
        f"Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) {_KHTML} Chrome/141.0.0.0 Mobile Safari/537.36 "
        "(compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        3,
    ),
    ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", 3),
    ("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", 3),
    ("Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)", 2),
    ("Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)", 1),
    ("Mozilla/5.0 (compatible; MJ12bot/v1.4.8; http://mj12bot.com/)", 1),
    ("DuckDuckBot/1.1; (+http://duckduckgo.com/duckduckbot.html)", 1),
    ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", 1),
]


def draw_browser(rng: Random) -> str:
    """A person's user agent."""
    return _draw(rng, BROWSERS)


def draw_crawler(rng: Random) -> str:
    """A crawler's user agent."""
    return _draw(rng, CRAWLERS)


def _draw(rng: Random, choices: list[tuple[str, float]]) -> str:
    return rng.choices([text for text, _ in choices], [weight for _, weight in choices])[0]
